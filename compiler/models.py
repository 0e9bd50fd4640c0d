"""Finds a base model's facts, without weights: a local folder, the hub cache, the bundled catalog, the hub.

An id of the catalog never causes a network request, so that the same recipe gets the same answer anywhere.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, cast

from msgspec import Struct

from compiler.checkpoint.chat_format import chat_format, chat_format_of_folder, folder_has_tokenizer
from compiler.checkpoint.facts import Label, facts_from_config
from compiler.model_catalog import Listed, look_up, names, nearest
from schemas.facts import ModelFacts

HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
OFFLINE: Final = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})


class ModelNotFound(Struct, frozen=True):
    """`tried`: a sentence for each place that was looked at, in order. `suggestion`: a listed name spelled alike."""

    base: str
    tried: tuple[str, ...]
    suggestion: str | None


class Found(Struct, frozen=True):
    """A config.json and what it says."""

    config: Mapping[str, object]
    facts: ModelFacts


def find_model(
    base: str, folder: Path, *, revision: str = "main", online: bool | None = None
) -> ModelFacts | ModelNotFound:
    """Facts of `base`, which is a path (relative to `folder`), a catalog name or a hub id.

    `online`: whether the hub may be asked; None: unless HF_HUB_OFFLINE says no.
    """
    found = _search(base, folder, revision, online)
    return found.facts if isinstance(found, Found) else found


def find_config(
    base: str, folder: Path, *, revision: str = "main", online: bool | None = None
) -> Mapping[str, object] | ModelNotFound:
    """The config.json that `find_model` reads the facts from, as it stands there."""
    found = _search(base, folder, revision, online)
    return found.config if isinstance(found, Found) else found


def _search(base: str, folder: Path, revision: str, online: bool | None) -> Found | ModelNotFound:
    tried: list[str] = []
    for step in _steps(base, folder, revision, online):
        found = step()
        if isinstance(found, Found):
            return found
        tried.append(found)
    return ModelNotFound(base, tuple(tried), nearest(base))


def all_models() -> tuple[ModelFacts, ...]:
    """Every named model of the catalog, in its order."""
    listed = (look_up(name) for name in names())
    return tuple(found.facts for each in listed if each and isinstance(found := _of_catalog(each, "main"), Found))


Step = Callable[[], Found | str]


def _steps(base: str, folder: Path, revision: str, online: bool | None) -> tuple[Step, ...]:
    path = _path(base, folder)
    if path is None:
        return (lambda: f"folder {base}: no such home directory",)
    local = partial(_of_folder, base, path)
    if base.startswith((".", "/", "~")) or (path / "config.json").is_file():
        return (local,)
    listed = look_up(base)
    hub_id = listed.hub_id if listed else base
    cached = partial(_of_cache, hub_id, revision, listed)
    last = partial(_of_catalog, listed, revision) if listed else partial(_of_hub, base, revision, online)
    unlisted = () if listed else (lambda: f'catalog: no name or id "{base}"',)
    return (*((local,) if path.is_dir() else ()), cached, *unlisted, last)


def _path(base: str, folder: Path) -> Path | None:
    try:
        return folder / Path(base).expanduser()
    except RuntimeError:
        return None


def _of_folder(base: str, path: Path) -> Found | str:
    where, config = f"folder {base}", _read_config(path)
    if isinstance(config, str):
        return f"{where}: {config}"
    label = Label(path.resolve().name, None, "folder", f"config.json in {base}", chat_format_of_folder(path))
    return _read_off(where, config, label)


def _of_cache(hub_id: str, revision: str, listed: Listed | None) -> Found | str:
    root = cache_root()
    snapshot = _snapshot(root, hub_id, revision)
    if snapshot is None:
        return f'hub cache {root}: no "{hub_id}" at revision {revision}'
    where, config = f"hub cache, snapshot {snapshot.name[:12]}", _read_config(snapshot)
    if isinstance(config, str):
        return f"{where}: {config}"
    # A cache may hold config.json alone; then the catalog knows whether the tokenizer has a template.
    known = listed.chat_format if listed else None
    template = chat_format_of_folder(snapshot) if folder_has_tokenizer(snapshot) else known
    label = Label(listed.name if listed else hub_id, hub_id, "cache", f"config.json in the {where}", template)
    return _read_off(where, config, label)


def _of_catalog(listed: Listed, revision: str) -> Found | str:
    asked = "" if revision == "main" else f" (it describes main, not {revision})"
    source = f"catalog{asked}: {', '.join(listed.sources)}"
    label = Label(listed.name, listed.hub_id, "catalog", source, listed.chat_format, listed.prequantized)
    return _read_off("catalog", listed.config, label)


def _of_hub(hub_id: str, revision: str, online: bool | None) -> Found | str:
    if not HUB_ID.fullmatch(hub_id):
        return f'hub: not asked, "{hub_id}" is not an id (owner/name)'
    if online is False or (online is None and told_to_be_offline()):
        return "hub: not asked, this is offline"
    # Imported here: urllib.request is the slowest import of all, and most recipes name a model of the catalog.
    from compiler.hub import HubFailure, read_chat_template, read_text

    text = read_text(hub_id, revision, "config.json")
    if isinstance(text, HubFailure):
        return f"hub: {text.reason}"
    config = _parse_config(text)
    if isinstance(config, str):
        return f"hub: {config}"
    template = chat_format(read_chat_template(hub_id, revision))
    label = Label(hub_id, hub_id, "hub", f"config.json on the hub at {revision}", template)
    return _read_off("hub", config, label)


def _read_off(where: str, config: Mapping[str, object], label: Label) -> Found | str:
    facts = facts_from_config(config, label)
    return f"{where}: config.json: {facts}" if isinstance(facts, str) else Found(config, facts)


def told_to_be_offline() -> bool:
    """Whether the environment says that the hub is not to be asked."""
    return any(os.environ.get(name, "").upper() in TRUE for name in OFFLINE)


def cache_root() -> Path:
    """Where huggingface_hub keeps its files: its own order of variables."""
    said = os.environ.get("HF_HUB_CACHE")
    if said:
        return Path(said).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(home).expanduser() / "hub"


def snapshot(hub_id: str, revision: str) -> Path | None:
    """The folder in which the hub's files of a revision lie on this machine; None where there are none."""
    return _snapshot(cache_root(), hub_id, revision)


def _snapshot(root: Path, hub_id: str, revision: str) -> Path | None:
    """The snapshot of a revision: a branch or tag by its ref, a commit by its name."""
    if not HUB_ID.fullmatch(hub_id) or ".." in Path(revision).parts:
        return None
    repository = root / f"models--{hub_id.replace('/', '--')}"
    ref = repository / "refs" / revision
    commit = ref.read_text(encoding="utf-8", errors="replace").strip() if ref.is_file() else revision
    snapshot = repository / "snapshots" / commit
    return snapshot if snapshot.is_dir() else None


def _read_config(folder: Path) -> Mapping[str, object] | str:
    """The config.json of a folder, or what is wrong with it."""
    file = folder / "config.json"
    if not folder.is_dir():
        return "there is no such folder"
    if not file.is_file():
        adapter = (folder / "adapter_config.json").is_file()
        return "it holds an adapter, not a base model" if adapter else "it has no config.json"
    try:
        return _parse_config(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        return f"config.json cannot be read ({type(error).__name__})"


def _parse_config(text: str) -> Mapping[str, object] | str:
    try:
        config: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"config.json is not JSON ({error})"
    if not isinstance(config, dict):
        return "config.json is not an object"
    return cast("dict[str, object]", config)
