"""Rules about files that a recipe names: are they there, and do they hold what the recipe says?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import schemas
from compiler.dataset import SUFFIXES
from compiler.rules.context import Context, Rule, Seen
from schemas.diagnostic import Finding
from schemas.recipe import DataFormat

COLUMNS: Final[dict[DataFormat, tuple[str, ...]]] = {
    "alpaca": ("instruction", "output"),
    "prompt_completion": ("prompt", "completion"),
    "text": ("text",),
    "preference": ("chosen", "rejected"),
    "kto": ("completion", "label"),
}
"""The columns that a row of a format must have; conversations are told by their turns."""

TEMPLATES: Final = Path(schemas.__file__).parent / "catalog" / "chat_templates"


def missing_files(context: Context) -> Iterator[Finding]:
    for seen in context.sources:
        if not seen.local or seen.files:
            continue
        path = seen.source.path
        where = context.folder / Path(path)
        if any(mark in path for mark in "*?["):
            yield Finding("FTC502", f"{seen.path}.path", f'no file matches "{path}"', _missing_hint(where.parent))
        elif where.is_dir():
            hint = f"write {path.rstrip('/')}/*.jsonl"
            yield Finding("FTC502", f"{seen.path}.path", f'"{path}" is a folder', hint)
        else:
            yield Finding("FTC501", f"{seen.path}.path", f'no file "{path}"', _missing_hint(where))


def _missing_hint(where: Path) -> str:
    from compiler.hints import closest  # only where something is wrong

    folder = where.parent
    try:
        near = closest(where.name, [item.name for item in folder.iterdir() if item.suffix[1:] in SUFFIXES][:200])
    except (OSError, ValueError):
        return f"looked in {folder}; paths are relative to the recipe"
    return f'did you mean "{near}"?' if near else f"looked in {folder}; paths are relative to the recipe"


def unreadable_rows(context: Context) -> Iterator[Finding]:
    for seen in context.sources:
        if seen.row.problem:
            message = f"{seen.files[0].name}: {seen.row.problem}"
            yield Finding("FTC503", f"{seen.path}.path", message, "`ftc data` shows what is read")


def unknown_rows(context: Context) -> Iterator[Finding]:
    for seen in context.sources:
        if not (seen.clear and seen.files) or seen.row.problem or seen.source.format != "auto" or seen.row.format:
            continue
        columns = ", ".join(seen.row.columns[:8])
        saw = f"its first row has {columns}" if columns else "its first row cannot be looked at here"
        message = f"the format of {seen.files[0].name} is not clear: {saw}"
        hint = "write format: messages (or another), and under fields what its columns are called"
        yield Finding("FTC504", f"{seen.path}.path", message, hint)


def other_rows(context: Context) -> Iterator[Finding]:
    """A stated format that the first row does not have."""
    for seen in context.sources:
        missing = _missing_columns(seen)
        if not missing:
            continue
        columns = ", ".join(seen.row.columns[:8])
        message = f"{seen.files[0].name} has no column {' and no '.join(missing)}; its first row has {columns}"
        hint = f"write format: {seen.row.format}" if seen.row.format else f"write fields: {{{missing[0]}: its name}}"
        yield Finding("FTC505", f"{seen.path}.format", message, hint)


def _missing_columns(seen: Seen) -> tuple[str, ...]:
    stated = seen.source.format
    if not seen.clear or stated in ("auto", seen.row.format) or not seen.row.columns:
        return ()
    fields = seen.source.fields
    if stated in ("messages", "sharegpt"):
        turns = fields.messages or ("conversations" if stated == "sharegpt" else "messages")
        return () if {turns, "messages", "conversations"} & set(seen.row.columns) else (turns,)
    names = [getattr(fields, name) or name for name in COLUMNS[stated]]
    return tuple(str(name) for name in names if name not in seen.row.columns)


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
    if asked == "auto":
        return
    if asked.endswith(".jinja") or "/" in asked:
        if not _file(context, asked):
            yield Finding("FTC506", "model.chat_template", f'no file "{asked}"', "paths are relative to the recipe")
        return
    known = _template_names()
    if asked not in known:
        from compiler.hints import closest  # only where something is wrong

        meant = closest(asked, known)
        hint = f'did you mean "{meant}"?' if meant else f"known: {', '.join(known)}, or the path of a .jinja file"
        yield Finding("FTC240", "model.chat_template", f'unknown chat template "{asked}"', hint)


def _template_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in TEMPLATES.glob("*.jinja")))


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
    Rule((), unreadable_rows),
    Rule((), unknown_rows),
    Rule((), other_rows),
    Rule((), hub_leaves_of_files),
    Rule(("model.chat_template",), chat_template),
    Rule(("model.tokenizer",), tokenizer_folder),
    Rule(("checkpoint.resume",), checkpoint_folder),
)
