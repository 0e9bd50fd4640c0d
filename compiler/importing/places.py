"""Files beside another tool's config, and what its relative paths become in a recipe, which stands elsewhere.

The tools read paths from the folder that they are started in, which is mostly the config's own or one above it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, cast

from msgspec import Struct

from backends.reading import Leaf
from compiler.data.files import is_local
from compiler.errors import FtcError
from compiler.exit import USAGE

INFO: Final = "dataset_info.json"
ABOVE: Final = 4
"""How many folders above the config's own are looked at."""


class Places(Struct, frozen=True):
    """`config`: the folder of the config. `recipe`: the one that the recipe will stand in. `data`: of
    dataset_info.json."""

    config: Path
    recipe: Path
    data: Path | None = None

    def folders(self) -> Iterator[Path]:
        """Where a tool may have been started, the likeliest first."""
        yield Path.cwd()
        yield self.config
        yield from list(self.config.parents)[:ABOVE]

    def found(self, path: str) -> Path | None:
        """The file or folder that a relative path leads to."""
        places = (folder / Path(path).expanduser() for folder in self.folders())
        return next((place for place in places if _exists(place)), None)

    def is_folder(self, name: str) -> bool:
        """Whether what may be a hub id is a folder, as the tool sees it."""
        return any(_exists(folder / name) and (folder / name).is_dir() for folder in (Path.cwd(), self.config))

    def moved(self, path: str) -> str:
        """A path as the recipe has it."""
        place = self.found(path) or Path.cwd() / path
        if Path(path).is_absolute() or path.startswith("~"):
            return path
        return Path(os.path.relpath(place, self.recipe)).as_posix()


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:
        return False


def dataset_info(config: Mapping[str, object], places: Places, named: Path | None) -> tuple[object, Path | None]:
    """What LLaMA-Factory's dataset_info.json says, and its folder; None where it is not there."""
    folder = config.get("dataset_dir", "data")
    file = named or next(
        (
            found
            for place in (f"{folder}/{INFO}", INFO)
            if (not str(folder).startswith(("REMOTE:", "ONLINE")) and (found := places.found(place)))
        ),
        None,
    )
    if file is None:
        return None, None
    try:
        return json.loads(file.read_text(encoding="utf-8")), file.parent
    except (OSError, ValueError) as error:
        raise FtcError(f"cannot read {file}: {error}", exit_code=USAGE) from None


def with_deepspeed(config: Mapping[str, object], places: Places) -> dict[str, object]:
    """The config with what stands in DeepSpeed's file in the place of its name, where it is there."""
    told = config.get("deepspeed")
    file = places.found(told) if isinstance(told, str) and told else None
    if file is None or not file.is_file():
        return dict(config)
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return dict(config)
    return {**config, "deepspeed": read} if isinstance(read, dict) else dict(config)


SOURCES: Final = ("data.train", "data.validation")
FOLDERS: Final = ("model.base", "model.tokenizer")


def moved(leaves: Mapping[str, Leaf], places: Places) -> dict[str, Leaf]:
    """The leaves with their paths as the recipe has them."""
    return {path: Leaf(_moved(path, leaf.value, places), leaf.keys) for path, leaf in leaves.items()}


def _moved(path: str, value: object, places: Places) -> object:
    if path in SOURCES and isinstance(value, list):
        return [_source(cast("dict[str, object]", item), places) for item in cast("list[object]", value)]
    if not isinstance(value, str):
        return value
    if path == "output.dir" or (path == "model.chat_template" and value.endswith(".jinja")):
        return value if value == "./chat_template.jinja" else places.moved(value)
    if path in FOLDERS and (value.startswith((".", "~", "/")) or places.is_folder(value)):
        found = places.moved(value)
        return found if found.startswith((".", "~", "/")) else f"./{found}"
    return value


def _source(source: Mapping[str, object], places: Places) -> dict[str, object]:
    told = {name: value for name, value in source.items() if name != "local"}
    path = str(source.get("path"))
    known = source.get("local")
    if known and places.data and not Path(path).is_absolute():
        path = str(places.data / path)
    if known is False or (known is None and not is_local(path) and places.found(path) is None):
        return told
    here = places.moved(path) if not Path(path).is_absolute() else _near(path, places)
    found = places.found(path)
    if found is not None and found.is_dir():
        here = f"{here}/*.{_kind(found)}"
    return {**told, "path": here if is_local(here) else f"./{here}"}


def _near(path: str, places: Places) -> str:
    """An absolute path of ours as a relative one."""
    if places.data and Path(path).is_relative_to(places.data):
        return Path(os.path.relpath(path, places.recipe)).as_posix()
    return path


def _kind(folder: Path) -> str:
    """What most of a folder's files end with, of what ftc reads."""
    kinds = [
        item.suffix[1:] for item in sorted(folder.iterdir()) if item.suffix in (".jsonl", ".json", ".parquet", ".csv")
    ]
    return max(kinds, key=kinds.count, default="jsonl")
