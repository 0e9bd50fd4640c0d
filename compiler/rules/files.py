"""Rules about files that a recipe names: are they there?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import schemas
from compiler.data.files import MOST, SUFFIXES, is_too_wide, place
from compiler.rules.context import Context, Rule
from schemas.diagnostic import Finding

CLOSE: Final = 0.7
"""How alike two names must be (difflib's ratio) for one to be meant by the other."""

TEMPLATES: Final = Path(schemas.__file__).parent / "catalog" / "chat_templates"


def missing_files(context: Context) -> Iterator[Finding]:
    for seen in context.sources:
        if not seen.local or seen.files:
            continue
        path = seen.source.path
        where = place(path, context.folder)
        if any(mark in path for mark in "*?["):
            yield _without_match(context, f"{seen.path}.path", path)
        elif where.is_dir():
            hint = f"write {path.rstrip('/')}/*.jsonl"
            yield Finding("FTC502", f"{seen.path}.path", f'"{path}" is a folder', hint)
        else:
            message = f'"{path}" is a pipe or a device' if where.exists() else f'no file "{path}"'
            yield Finding("FTC501", f"{seen.path}.path", message, _missing_hint(context, path))


def _without_match(context: Context, leaf: str, path: str) -> Finding:
    if is_too_wide(path, context.folder):
        message = f'"{path}" looks through over {MOST:,} folders and names, and files are sought no further'
        return Finding("FTC502", leaf, message, "begin the pattern in the folder that holds the files")
    return Finding("FTC502", leaf, f'no file matches "{path}"', f"looked in {place(path, context.folder).parent}")


def _missing_hint(context: Context, path: str) -> str:
    from compiler.hints import closest  # only where something is wrong

    where = place(path, context.folder)
    try:
        files = (item.name for item in where.parent.iterdir() if item.suffix[1:] in SUFFIXES and item.is_file())
        near = closest(where.name, list(islice(files, 200)))
    except (OSError, ValueError):
        near = None
    if near and _alike(near, where.name):
        return f'did you mean "{path.removesuffix(where.name)}{near}"?'
    relative = "" if path.startswith(("/", "~")) else "; paths are relative to the recipe"
    return f"looked in {where.parent}{relative}"


def _alike(name: str, other: str) -> bool:
    """Whether the names are close without their ending, which files of one folder share."""
    from difflib import SequenceMatcher  # only where something is wrong

    stem, meant = (word.lower().partition(".")[0] for word in (name, other))
    return SequenceMatcher(None, stem, meant).ratio() >= CLOSE


def hub_leaves_of_files(context: Context) -> Iterator[Finding]:
    for seen in context.sources:
        if not seen.local:
            continue
        source = seen.source
        named = source.split.isidentifier() and source.split != "train"
        asked = (("split", named), ("subset", source.subset), ("revision", source.revision))
        for leaf, given in asked:
            if given:
                message = f"{leaf} belongs to datasets of the hub, and {seen.source.path} is a file"
                yield Finding("FTC508", f"{seen.path}.{leaf}", message, "remove it", at="key")


def chat_template(context: Context) -> Iterator[Finding]:
    asked = context.recipe.model.chat_template
    if asked in ("auto", "tokenizer"):
        return
    if asked.endswith(".jinja") or "/" in asked:
        if not _file(context, asked):
            yield Finding("FTC506", "model.chat_template", f'no file "{asked}"', "paths are relative to the recipe")
        return
    known = template_names()
    if asked not in known:
        from compiler.hints import closest  # only where something is wrong

        meant = closest(asked, known)
        hint = f'did you mean "{meant}"?' if meant else f"known: {', '.join(known)}, or the path of a .jinja file"
        yield Finding("FTC240", "model.chat_template", f'unknown chat template "{asked}"', hint)


def template_names() -> tuple[str, ...]:
    """What `model.chat_template` may be called beside the path of a file."""
    return ("tokenizer", *sorted(path.stem for path in TEMPLATES.glob("*.jinja")))


def tokenizer_folder(context: Context) -> Iterator[Finding]:
    asked = context.recipe.model.tokenizer
    if asked and asked.startswith((".", "/", "~")) and not _folder(context, asked):
        yield Finding("FTC507", "model.tokenizer", f'no folder "{asked}"', "paths are relative to the recipe")


def checkpoint_folder(context: Context) -> Iterator[Finding]:
    asked = context.recipe.checkpoint.resume
    if asked not in ("auto", "never") and not _folder(context, asked):
        message = f'no checkpoint "{asked}"'
        yield Finding("FTC509", "checkpoint.resume", message, "write auto, never, or a folder relative to the recipe")


def _file(context: Context, path: str) -> bool:
    try:
        return (context.folder / Path(path).expanduser()).is_file()
    except (OSError, ValueError, RuntimeError):
        return False


def _folder(context: Context, path: str) -> bool:
    try:
        return (context.folder / Path(path).expanduser()).is_dir()
    except (OSError, ValueError, RuntimeError):
        return False


RULES: Final = (
    Rule((), missing_files),
    Rule((), hub_leaves_of_files),
    Rule(("model.chat_template",), chat_template),
    Rule(("model.tokenizer",), tokenizer_folder),
    Rule(("checkpoint.resume",), checkpoint_folder),
)
