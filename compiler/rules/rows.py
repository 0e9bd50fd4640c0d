"""Rules about what the first rows of files show: do they hold what the recipe says?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from compiler.data.recognise import FirstRow, bad_row, likely
from compiler.rules.context import Context, Rule, Seen
from compiler.rules.data import COLUMNS as LEAVES_OF
from compiler.rules.data import SOURCES
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

FEW: Final = 5
"""In so many files of a pattern more than the first row is looked at."""


def unreadable_rows(context: Context) -> Iterator[Finding]:
    dropped = context.recipe.data.bad_rows == "drop"
    for seen in _tables(context):
        # Where a later row shows the format, the first one alone is bad.
        broken = next(
            ((file.name, row.problem) for file, row in seen.rows if row.problem and not (dropped and row.format)), None
        )
        if broken:
            name, problem = broken
            message = problem if problem.startswith(f"{name}:") else f"{name}: {problem}"
            yield Finding("FTC503", f"{seen.path}.path", message, "mend the file, or name another")


def _tables(context: Context) -> Iterator[Seen]:
    """The sources whose rows can be told apart into columns."""
    return (seen for seen in context.sources if not _parted_otherwise(seen))


def _parted_otherwise(seen: Seen) -> tuple[Path, FirstRow] | None:
    """The first file whose columns are separated by something else than commas, so that it shows no format."""
    return next((pair for pair in seen.rows if pair[1].separator), None) if seen.clear else None


def empty_files(context: Context) -> Iterator[Finding]:
    """Files without rows beside others: what writes them may have failed."""
    for seen in context.sources:
        names = [file.name for file in seen.empty]
        if not names:
            continue
        listed = ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")
        message = f"{listed} {'has' if len(names) == 1 else 'have'} no rows"
        hint = "see whether what should have written rows there failed, or name the other files alone"
        yield Finding("FTC244", f"{seen.path}.path", message, hint, "warning")


def other_separators(context: Context) -> Iterator[Finding]:
    """Tables whose columns are not separated by commas: what looks like one name are several."""
    for seen in context.sources:
        parted = _parted_otherwise(seen)
        if parted:
            file, row = parted
            message = f"the columns of {file.name} are separated by {row.separator}, and ftc reads commas"
            code = "FTC504" if seen.source.format == "auto" else "FTC505"
            yield Finding(code, f"{seen.path}.path", message, "write the file anew with commas between its columns")


def unknown_rows(context: Context) -> Iterator[Finding]:
    for seen in _tables(context):
        if not (seen.clear and seen.files) or seen.row.problem or seen.source.format != "auto" or seen.row.format:
            continue
        if _misnamed(seen):
            continue
        columns = ", ".join(seen.row.columns[:8])
        saw = f"its first row has {columns}" if columns else "its first row cannot be looked at here"
        message = f"the format of {seen.file.name} is not clear: {saw}"
        hint = "write format: messages (or another), and under fields what its columns are called"
        meant = likely(seen.row.columns)
        hint = f"write {meant}" if meant else hint
        if seen.row.missing:
            message = f"the format of {seen.file.name} is not clear: {seen.row.missing}, which reads it, is missing"
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
    for seen in _tables(context):
        first = seen.row.format
        if not seen.clear or seen.source.format != "auto" or first is None:
            continue
        other = next(((file, row) for file, row in seen.rows if row.format != first and row.columns), None)
        if other:
            columns = ", ".join(other[1].columns[:8])
            message = f"{other[0].name} is not like {seen.file.name} ({first}): its first row has {columns}"
            yield Finding("FTC504", f"{seen.path}.path", message, "name files of one format in each source")


def other_rows(context: Context) -> Iterator[Finding]:
    """A stated format that the first row of a file does not have."""
    for seen in _tables(context):
        wrong = next(((file, row) for file, row in seen.rows if _missing_columns(seen, row)), None)
        if wrong is None or _misnamed(seen):
            continue
        file, row = wrong
        missing = _missing_columns(seen, row)
        columns = ", ".join(row.columns[:8])
        message = f"{file.name} has no column {' and no '.join(missing)}; its first row has {columns}"
        leaf = "format" if file == seen.file else "path"
        hint = f"write format: {row.format}" if row.format else f"write fields: {{{missing[0]}: its name}}"
        yield Finding("FTC505", f"{seen.path}.{leaf}", message, hint)


def bad_first_rows(context: Context) -> Iterator[Finding]:
    """Rows at the beginning of a file that are not what the format says, where they are not left out anyway."""
    if context.recipe.data.bad_rows == "drop":
        return
    for seen in _tables(context):
        kind = seen.format
        told = _misnamed(seen) or any(row.problem or _missing_columns(seen, row) for _, row in seen.rows)
        if kind is None or told:
            continue
        alike = [file for file, row in seen.rows if seen.source.format != "auto" or row.format == kind]
        for file in alike[:FEW]:
            wrong = bad_row(file, kind, seen.source.fields, templated=context.templated)
            if wrong:
                hint = _hint_of_row(context, seen, file)
                yield Finding("FTC503", f"{seen.path}.path", wrong, hint)
                break


def _hint_of_row(context: Context, seen: Seen, file: Path) -> str:
    """What to do about a bad row; one with turns where the first has texts is none to a chat template."""
    kind, fields = seen.format, seen.source.fields
    if kind and not context.templated and bad_row(file, kind, fields, templated=True) is None:
        return "write model.chat_template: tokenizer, which takes texts as well as lists of turns"
    return "mend the row; ftc data looks at all of them, and bad_rows: drop leaves such rows out"


def columns_of_fields(context: Context) -> Iterator[Finding]:
    """A column that `fields` names, and the first row does not have."""
    for seen in _tables(context):
        for leaf in _misnamed(seen):
            from compiler.hints import closest  # only where something is wrong

            name = str(getattr(seen.source.fields, leaf))
            meant = closest(name, seen.row.columns)
            hint = f'did you mean "{meant}"?' if meant else f"its first row has {', '.join(seen.row.columns[:8])}"
            message = f'{seen.file.name} has no column "{name}"'
            yield Finding("FTC505", f"{seen.path}.fields.{leaf}", message, hint)


def _missing_columns(seen: Seen, row: FirstRow) -> tuple[str, ...]:
    stated = seen.source.format
    if not seen.clear or stated in ("auto", row.format) or not row.columns:
        return ()
    fields = seen.source.fields
    if stated in ("messages", "sharegpt"):
        turns = fields.messages or ("conversations" if stated == "sharegpt" else "messages")
        return () if {turns, "messages", "conversations"} & set(row.columns) else (turns,)
    talks = stated == "kto" and (fields.messages or "messages") in row.columns
    names = [getattr(fields, name) or name for name in (("label",) if talks else COLUMNS[stated])]
    return tuple(str(name) for name in names if name not in row.columns)


RULES: Final = (
    Rule((), unreadable_rows),
    Rule((), empty_files),
    Rule((), other_separators),
    Rule((), unknown_rows),
    Rule((), rows_of_two_formats),
    Rule((), other_rows),
    Rule(("data.bad_rows", "model.chat_template", *SOURCES), bad_first_rows),
    Rule((), columns_of_fields),
)
