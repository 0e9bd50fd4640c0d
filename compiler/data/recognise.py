"""What the first rows of a file show: their format, on what evidence, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast

from msgspec import Struct
from msgspec.structs import replace

from backends.native.files import blocks, records
from backends.native.findings import DamagedError, RowError
from backends.native.formats import convert
from backends.native.readers import parsed
from compiler.data.stamps import seen_once
from schemas.recipe import DataFormat, Fields

LOOK: Final = 20
"""How many rows at the beginning of a file are looked at."""

MOST_FILES: Final = 50
"""How many files of a pattern are looked at."""

COLUMNS: Final[tuple[tuple[DataFormat, tuple[str, ...]], ...]] = (
    ("preference", ("chosen", "rejected")),
    ("kto", ("completion", "label")),
    ("prompt_completion", ("prompt", "completion")),
    ("alpaca", ("instruction", "output")),
    ("text", ("text",)),
)
"""The columns that tell a format. Those of the answer pairs come first, since they too may have a `prompt`."""

PLAIN: Final[tuple[DataFormat, ...]] = ("text", "prompt_completion")
"""Formats whose rows need no chat template."""

PROMPTS: Final = ("prompt", "question", "query", "instruction", "input", "source", "problem")
ANSWERS: Final = ("completion", "answer", "response", "output", "target", "solution", "reply")
"""What others call a prompt and its completion."""


class FirstRow(Struct, frozen=True):
    """What the first row of a file shows. `format` is None where it fits none, or cannot be looked at.

    `columns`: its keys. `problem`: why the file cannot be right, in words; None where nothing speaks against it.
    `speakers`: the roles of its turns, as written; empty for other rows. `evidence`: what the format is told by.
    `missing`: a package without which the file cannot be read here. `empty`: it has no rows. `turns`: its prompt and
    its completion are lists of turns. `separator`: what stands between a table's columns, where that is no comma.
    """

    format: DataFormat | None
    columns: tuple[str, ...] = ()
    problem: str | None = None
    speakers: tuple[str, ...] = ()
    evidence: str = ""
    missing: str = ""
    empty: bool = False
    turns: bool = False
    separator: str = ""


def first_rows(files: Iterable[Path], fields: Fields) -> Iterator[tuple[Path, FirstRow]]:
    """Each file with its first row: of the first files, and of those after them up to one that has rows."""
    reached = False
    for number, file in enumerate(files):
        if number >= MOST_FILES and reached:
            return
        row = first_row(file, fields)
        reached = reached or not row.empty
        yield file, row


@seen_once
def first_row(path: Path, fields: Fields) -> FirstRow:
    """Look at the first row. `fields`: the columns' names where they are not ours."""
    try:
        seen = _looked_at(path, fields)
    except DamagedError as error:
        seen = FirstRow(None, problem=f"the file {error.what}")
    except ImportError as error:
        seen = FirstRow(None, missing=str(error.name))
    if _ending(path) == ".txt" and not seen.empty:
        return replace(seen, format="text", columns=(), evidence="a .txt file has a text a line")
    return seen


def _looked_at(path: Path, fields: Fields) -> FirstRow:
    looked_at = islice((record for block in blocks(path) for _, record in records(block)), LOOK)
    first = next(looked_at, None)
    if first is None:
        return FirstRow(None, problem="the file has no rows", empty=True)
    seen = FirstRow(None) if isinstance(first, RowError) else _of_record(first, fields)
    if seen.format is None:
        seen = _later(looked_at, fields) or seen
    if seen.format is None:
        seen = replace(seen, separator=_separator(path))
    return replace(seen, problem=f"{_where(first)}: {first.what}") if isinstance(first, RowError) else seen


def _ending(path: Path) -> str:
    """The ending that tells how a file is read; that of a compressed one is the one before."""
    endings = [ending.lower() for ending in path.suffixes]
    if endings[-1:] in ([".gz"], [".zst"]):
        endings.pop()
    return endings[-1] if endings else ""


def _separator(path: Path) -> str:
    """What stands between the columns of a table whose header is one name with semicolons or tabs in it."""
    if _ending(path) != ".csv":
        return ""
    header, _ = next(blocks(path)).rows
    name = header[0] if len(header) == 1 else ""
    return '";"' if ";" in name else "tabs" if "\t" in name else ""


def _later(looked_at: Iterable[dict[str, Any] | RowError], fields: Fields) -> FirstRow | None:
    """What the first of the later rows shows that has a format: the very first may be a bad one."""
    rows = (_of_record(record, fields) for record in looked_at if not isinstance(record, RowError))
    found = next((row for row in rows if row.format), None)
    return found and replace(found, evidence=f"nothing, but a later one {found.evidence}")


@seen_once
def bad_row(path: Path, kind: DataFormat, fields: Fields, *, templated: bool) -> str | None:
    """What is wrong with the first of the first rows that is not what the format says, and where.

    `templated`: whether the plan has a chat template.
    """
    source = {"format": kind, "weight": 1.0, "fields": fields.model_dump()}
    try:
        for place, record in islice((pair for block in blocks(path) for pair in records(block)), LOOK):
            if isinstance(record, RowError):
                return f"{_where(record)}: {record.what}"
            convert(record, place, source, None, templated=templated)
    except RowError as error:
        return f"{_where(error)}: {error.what}"
    except (DamagedError, ImportError):
        return None
    return None


def _where(error: RowError) -> str:
    return str(error.place).rpartition("/")[2].rpartition("\\")[2]


def _of_record(row: dict[str, Any], fields: Fields) -> FirstRow:
    columns = cast("dict[str, object]", row)
    found, evidence = _format(columns, fields)
    speakers = _speakers(columns, fields) if found in ("messages", "sharegpt") else ()
    return FirstRow(found, tuple(map(str, columns)), None, speakers, evidence, turns=_is_talk(columns, fields))


def _is_talk(row: dict[str, object], fields: Fields) -> bool:
    """Whether a prompt and its completion are lists of turns, which only a chat template can render."""
    return all(
        isinstance(row.get(name), list) for name in (fields.prompt or "prompt", fields.completion or "completion")
    )


def _speakers(row: dict[str, object], fields: Fields) -> tuple[str, ...]:
    keys = (fields.role,) if fields.role else ("role", "from")
    spoken = (cast("dict[str, object]", turn).get(key) for turn in _turns(row, fields) for key in keys)
    return tuple(said for said in spoken if isinstance(said, str))


def _turns(row: dict[str, object], fields: Fields) -> list[object]:
    """The turns of a conversation; nothing where there is none."""
    turns = row.get(fields.messages or "messages", row.get("conversations"))
    turns = _of_text(turns) if isinstance(turns, str) else turns
    found = cast("list[object]", turns) if isinstance(turns, list) else []
    return [turn for turn in found if isinstance(turn, dict)] if found and isinstance(found[0], dict) else []


def _of_text(said: str) -> object:
    """The turns of a table or a text, in which they are JSON."""
    try:
        return parsed(said, "")
    except RowError:
        return None


def _format(row: dict[str, object], fields: Fields) -> tuple[DataFormat | None, str]:
    """The format, and what tells it."""
    turns = _turns(row, fields)
    if turns:
        return _turns_format(cast("dict[str, object]", turns[0]), row, fields)
    for kind, names in COLUMNS:
        theirs = [getattr(fields, name) or name for name in names]
        if all(name in row for name in theirs):
            return kind, _evidence(row, theirs)
    return None, ""


def _evidence(row: dict[str, object], names: list[str]) -> str:
    said = " and ".join(f'"{name}"' for name in names)
    turns = " with lists of turns" if isinstance(row[names[0]], list) else ""
    return f"{'column' if len(names) == 1 else 'columns'} {said}{turns}"


def _turns_format(turn: dict[str, object], row: dict[str, object], fields: Fields) -> tuple[DataFormat | None, str]:
    """ShareGPT's column is `conversations`, and its keys are other ones."""
    column = fields.messages or ("messages" if "messages" in row else "conversations")
    if "from" in turn and "value" in turn and fields.role in (None, "from"):
        return "sharegpt", f'turns with "from" and "value" in "{column}"'
    role, content = fields.role or "role", fields.content or "content"
    named = fields.messages or "messages" in row
    known = named and role in turn and (content in turn or "tool_calls" in turn)
    return ("messages", f'turns with "{role}" and "{content}" in "{column}"') if known else (None, "")


def likely(columns: tuple[str, ...]) -> str | None:
    """What to write for a prompt and an answer that others call otherwise; None where they are not to be seen."""
    lower = {column.lower(): column for column in reversed(columns)}
    prompt = next((lower[name] for name in PROMPTS if name in lower), None)
    answer = next((lower[name] for name in ANSWERS if name in lower), None)
    if prompt is None or answer is None:
        return None
    return f"format: prompt_completion, fields: {{prompt: {prompt}, completion: {answer}}}"
