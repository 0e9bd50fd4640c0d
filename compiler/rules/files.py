"""Rules about files that a recipe names: are they there, and do they hold what the recipe says?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import schemas
from compiler.data.files import SUFFIXES
from compiler.data.recognise import FirstRow, bad_row, likely
from compiler.rules.context import Context, Rule, Seen
from compiler.rules.data import COLUMNS as LEAVES_OF
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

COLUMN_LEAVES: Final = (
    *("messages", "instruction", "output", "prompt", "completion"),
    *("chosen", "rejected", "label", "text"),
)
"""The leaves of `fields` that name a column which every row has."""

CLOSE: Final = 0.7
"""How alike two names must be (difflib's ratio) for one to be meant by the other."""

FEW: Final = 5
"""In so many files of a pattern more than the first row is looked at."""

TEMPLATES: Final = Path(schemas.__file__).parent / "catalog" / "chat_templates"


def missing_files(context: Context) -> Iterator[Finding]:
    for seen in context.sources:
        if not seen.local or seen.files:
            continue
        path = seen.source.path
        where = context.folder / Path(path)
        if any(mark in path for mark in "*?["):
            yield Finding("FTC502", f"{seen.path}.path", f'no file matches "{path}"', f"looked in {where.parent}")
        elif where.is_dir():
            hint = f"write {path.rstrip('/')}/*.jsonl"
            yield Finding("FTC502", f"{seen.path}.path", f'"{path}" is a folder', hint)
        else:
            message = f'"{path}" is a pipe or a device' if where.exists() else f'no file "{path}"'
            yield Finding("FTC501", f"{seen.path}.path", message, _missing_hint(context, path))


def _missing_hint(context: Context, path: str) -> str:
    from compiler.hints import closest  # only where something is wrong

    where = context.folder / Path(path)
    try:
        files = (item.name for item in where.parent.iterdir() if item.suffix[1:] in SUFFIXES and item.is_file())
        near = closest(where.name, list(islice(files, 200)))
    except (OSError, ValueError):
        near = None
    if near and _alike(near, where.name):
        return f'did you mean "{path.removesuffix(where.name)}{near}"?'
    return f"looked in {where.parent}; paths are relative to the recipe"


def _alike(name: str, other: str) -> bool:
    """Whether the names are close without their ending, which files of one folder share."""
    from difflib import SequenceMatcher  # only where something is wrong

    stem, meant = (word.lower().partition(".")[0] for word in (name, other))
    return SequenceMatcher(None, stem, meant).ratio() >= CLOSE


def unreadable_rows(context: Context) -> Iterator[Finding]:
    dropped = context.recipe.data.bad_rows == "drop"
    for seen in context.sources:
        # Where a later row shows the format, the first one alone is bad.
        broken = next(
            ((file.name, row.problem) for file, row in seen.rows if row.problem and not (dropped and row.format)), None
        )
        if broken:
            name, problem = broken
            message = problem if problem.startswith(f"{name}:") else f"{name}: {problem}"
            yield Finding("FTC503", f"{seen.path}.path", message, "mend the file, or name another")


def unknown_rows(context: Context) -> Iterator[Finding]:
    for seen in context.sources:
        if not (seen.clear and seen.files) or seen.row.problem or seen.source.format != "auto" or seen.row.format:
            continue
        if _misnamed(seen):
            continue
        columns = ", ".join(seen.row.columns[:8])
        saw = f"its first row has {columns}" if columns else "its first row cannot be looked at here"
        message = f"the format of {seen.files[0].name} is not clear: {saw}"
        hint = "write format: messages (or another), and under fields what its columns are called"
        meant = likely(seen.row.columns)
        hint = f"write {meant}" if meant else hint
        if seen.row.missing:
            message = f"the format of {seen.files[0].name} is not clear: {seen.row.missing}, which reads it, is missing"
            hint = f"pip install {seen.row.missing}, or write format: messages (or another)"
        yield Finding("FTC504", f"{seen.path}.path", message, hint)


def _misnamed(seen: Seen) -> tuple[str, ...]:
    """The leaves of `fields` that name a column which is not there."""
    columns, fields = seen.row.columns, seen.source.fields
    if not seen.clear or not columns:
        return ()
    own = COLUMN_LEAVES if seen.format is None else LEAVES_OF[seen.format]
    named = ((leaf, getattr(fields, leaf)) for leaf in COLUMN_LEAVES if leaf in own)
    return tuple(leaf for leaf, name in named if name and name not in columns)


def rows_of_two_formats(context: Context) -> Iterator[Finding]:
    """The files of a pattern are read as one set of rows."""
    for seen in context.sources:
        first = seen.row.format
        if not seen.clear or seen.source.format != "auto" or first is None:
            continue
        other = next(((file, row) for file, row in seen.rows if row.format != first and row.columns), None)
        if other:
            columns = ", ".join(other[1].columns[:8])
            message = f"{other[0].name} is not like {seen.files[0].name} ({first}): its first row has {columns}"
            yield Finding("FTC504", f"{seen.path}.path", message, "name files of one format in each source")


def other_rows(context: Context) -> Iterator[Finding]:
    """A stated format that the first row of a file does not have."""
    for seen in context.sources:
        wrong = next(((file, row) for file, row in seen.rows if _missing_columns(seen, row)), None)
        if wrong is None or _misnamed(seen):
            continue
        file, row = wrong
        missing = _missing_columns(seen, row)
        columns = ", ".join(row.columns[:8])
        message = f"{file.name} has no column {' and no '.join(missing)}; its first row has {columns}"
        leaf = "format" if file == seen.files[0] else "path"
        hint = f"write format: {row.format}" if row.format else f"write fields: {{{missing[0]}: its name}}"
        yield Finding("FTC505", f"{seen.path}.{leaf}", message, hint)


def bad_first_rows(context: Context) -> Iterator[Finding]:
    """Rows at the beginning of a file that are not what the format says, where they are not left out anyway."""
    if context.recipe.data.bad_rows == "drop":
        return
    for seen in context.sources:
        kind = seen.format
        told = _misnamed(seen) or any(row.problem or _missing_columns(seen, row) for _, row in seen.rows)
        if kind is None or told:
            continue
        alike = [file for file, row in seen.rows if seen.source.format != "auto" or row.format == kind]
        bad = (bad_row(file, kind, seen.source.fields) for file in alike[:FEW])
        wrong = next((what for what in bad if what), None)
        if wrong:
            hint = "mend the row; ftc data looks at all of them, and bad_rows: drop leaves such rows out"
            yield Finding("FTC503", f"{seen.path}.path", wrong, hint)


def columns_of_fields(context: Context) -> Iterator[Finding]:
    """A column that `fields` names, and the first row does not have."""
    for seen in context.sources:
        for leaf in _misnamed(seen):
            from compiler.hints import closest  # only where something is wrong

            name = str(getattr(seen.source.fields, leaf))
            meant = closest(name, seen.row.columns)
            hint = f'did you mean "{meant}"?' if meant else f"its first row has {', '.join(seen.row.columns[:8])}"
            message = f'{seen.files[0].name} has no column "{name}"'
            yield Finding("FTC505", f"{seen.path}.fields.{leaf}", message, hint)


def _missing_columns(seen: Seen, row: FirstRow) -> tuple[str, ...]:
    stated = seen.source.format
    if not seen.clear or stated in ("auto", row.format) or not row.columns:
        return ()
    fields = seen.source.fields
    if stated in ("messages", "sharegpt"):
        turns = fields.messages or ("conversations" if stated == "sharegpt" else "messages")
        return () if {turns, "messages", "conversations"} & set(row.columns) else (turns,)
    names = [getattr(fields, name) or name for name in COLUMNS[stated]]
    return tuple(str(name) for name in names if name not in row.columns)


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
    Rule((), rows_of_two_formats),
    Rule((), other_rows),
    Rule(("data.bad_rows",), bad_first_rows),
    Rule((), columns_of_fields),
    Rule((), hub_leaves_of_files),
    Rule(("model.chat_template",), chat_template),
    Rule(("model.tokenizer",), tokenizer_folder),
    Rule(("checkpoint.resume",), checkpoint_folder),
)
