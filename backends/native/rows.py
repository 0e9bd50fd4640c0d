"""Rows of training data: read from files or the hub, and brought into one shape.

Copied as it stands into every native artifact, so it imports nothing of the compiler. `read_rows` numbers rows the way
the compiler does when it parts training rows from validation rows: over all sources, each after its limit.
"""

from __future__ import annotations

import csv
import gzip
import heapq
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

Record = dict[str, Any]
Message = dict[str, Any]


class DataError(Exception):
    """What is wrong with the data, in words for its owner: the file, the line, what to do."""


@dataclass(frozen=True, slots=True)
class Row:
    """One example. A conversation has `messages`; raw text has `text`, after a `prompt` that may be empty.

    `place` is where it was read, `weight` how often an epoch sees it.
    """

    place: str
    weight: float
    messages: tuple[Message, ...] = ()
    tools: tuple[Record, ...] = ()
    prompt: str = ""
    text: str = ""
    cuttable: bool = False


def read_rows(sources: Sequence[Mapping[str, Any]], system: str | None, templated: bool) -> list[Row]:
    """All rows of all sources, in order. `templated`: whether prompts and completions are rendered as conversations.

    Raises `DataError` for a file that is missing or unreadable, and for a row that is not what its format says.
    """
    return [
        _convert(record, place, source, system, templated) for source in sources for place, record in _limited(source)
    ]


def score(seed: int, row: int) -> float:
    """Where a row falls in [0, 1): the first eight bytes of sha256 of "seed:row", big end first."""
    return int.from_bytes(sha256(f"{seed}:{row}".encode()).digest()[:8], "big") / 2**64


def held_out(rows: int, share: float | int, seed: int) -> frozenset[int]:
    """The numbers of the rows kept for validation: a share of them (float), or so many (int)."""
    if isinstance(share, float):
        return frozenset(row for row in range(rows) if score(seed, row) < share)
    return frozenset(heapq.nsmallest(share, range(rows), key=lambda row: score(seed, row)))


def weighted(rows: Iterable[Row], seed: int) -> Iterator[Row]:
    """Each row as often as its weight says: 2.0 twice, 0.5 every second one, chosen by hash, 1.5 once or twice."""
    for number, row in enumerate(rows):
        whole = int(row.weight)
        extra = score(seed, number) < row.weight - whole
        for _ in range(whole + extra):
            yield row


# --- reading


def _limited(source: Mapping[str, Any]) -> Iterator[tuple[str, Record]]:
    limit = source["limit"]
    records = _records(source)
    if isinstance(limit, float):
        kept = list(records)
        return iter(kept[: int(limit * len(kept))])
    return islice(records, limit)


def _records(source: Mapping[str, Any]) -> Iterator[tuple[str, Record]]:
    if not source["local"]:
        yield from _hub_records(source)
        return
    for path in _files(source["path"]):
        yield from _file_records(path)


def _hub_records(source: Mapping[str, Any]) -> Iterator[tuple[str, Record]]:
    from datasets import load_dataset  # noqa: PLC0415 - two seconds, and only for data on the hub

    path, split = source["path"], source["split"]
    try:
        dataset = load_dataset(path, source["subset"], split=split, revision=source["revision"])
    except Exception as error:  # every kind of network, hub and format trouble ends here
        raise DataError(f'dataset "{path}" (split {split}) cannot be read: {error}') from error
    for number, record in enumerate(dataset):
        yield f"{path}, row {number}", dict(record)


def _files(pattern: str) -> list[Path]:
    path = Path(pattern)
    found = [path] if path.is_file() else [Path(name) for name in sorted(glob(pattern, recursive=True))]
    if not found:
        raise DataError(f'no file matches "{pattern}"')
    return found


def _file_records(path: Path) -> Iterator[tuple[str, Record]]:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes.pop() if suffixes[-1:] in ([".gz"], [".zst"]) else ""
    kind = suffixes[-1] if suffixes else ""
    if kind == ".parquet":
        yield from _parquet(path)
        return
    if kind not in READERS:
        raise DataError(f'"{path}" is none of {", ".join(READERS)}, .parquet')
    try:
        with _open(path, packed) as stream:
            yield from READERS[kind](path, stream)
    except UnicodeDecodeError as error:
        raise DataError(f'"{path}" is not UTF-8: {error.reason} at byte {error.start}') from error
    except (OSError, EOFError) as error:
        raise DataError(f'"{path}" cannot be read: {error}') from error


def _open(path: Path, packed: str) -> TextIO:
    if packed == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    if packed == ".zst":
        import zstandard  # noqa: PLC0415 - installed only where a file is packed so

        return io.TextIOWrapper(zstandard.open(path, "rb"), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _json_lines(path: Path, lines: Iterable[str]) -> Iterator[tuple[str, Record]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            place = f"{path}:{number}"
            yield place, _object(_parsed(line, place), place)


def _json(path: Path, lines: Iterable[str]) -> Iterator[tuple[str, Record]]:
    """A list of objects, or in spite of the name one object a line."""
    text = "".join(lines)
    if not text.lstrip().startswith("["):
        yield from _json_lines(path, text.splitlines(keepends=True))
        return
    for number, item in enumerate(_parsed(text, str(path)), 1):
        place = f"{path}, row {number}"
        yield place, _object(item, place)


def _csv(path: Path, lines: Iterable[str]) -> Iterator[tuple[str, Record]]:
    csv.field_size_limit(sys.maxsize)
    table = csv.reader(lines)
    header = next(table, [])
    for row in table:
        place = f"{path}:{table.line_num}"
        if len(row) != len(header):
            raise DataError(f"{place}: {len(row)} values for {len(header)} columns")
        yield place, dict(zip(header, row, strict=True))


def _text(path: Path, lines: Iterable[str]) -> Iterator[tuple[str, Record]]:
    for number, line in enumerate(lines, 1):
        yield f"{path}:{number}", {"text": line.rstrip("\r\n")}


def _parquet(path: Path) -> Iterator[tuple[str, Record]]:
    from pyarrow import parquet  # noqa: PLC0415 - comes with datasets, and is rarely needed

    number = 0
    for batch in parquet.ParquetFile(path).iter_batches():
        for record in batch.to_pylist():
            number += 1
            yield f"{path}, row {number}", record


READERS: dict[str, Callable[[Path, Iterable[str]], Iterator[tuple[str, Record]]]] = {
    ".jsonl": _json_lines,
    ".json": _json,
    ".csv": _csv,
    ".txt": _text,
}


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not JSON: {error}") from error


def _object(item: object, place: str) -> Record:
    if not isinstance(item, dict):
        raise DataError(f"{place}: this is no object of columns and values")
    return item


# --- one shape

ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "function_response": "tool",
}
"""Other tools' words for who speaks."""


def _convert(record: Record, place: str, source: Mapping[str, Any], system: str | None, templated: bool) -> Row:
    kind, weight = source["format"], source["weight"]
    fields: Record = source["fields"]
    if kind == "text":
        return Row(place, weight, text=_string(record, fields["text"] or "text", place), cuttable=True)
    if kind == "prompt_completion":
        prompt, answer = fields["prompt"] or "prompt", fields["completion"] or "completion"
        if not templated:
            return Row(place, weight, prompt=_string(record, prompt, place), text=_string(record, answer, place))
        messages = _pair(record, prompt, answer, place)
    elif kind == "alpaca":
        messages = _alpaca(record, fields, place)
    elif kind in ("messages", "sharegpt"):
        messages = _conversation(record, fields, kind, place)
    else:
        raise DataError(f'{place}: rows of format "{kind}" compare answers, which is not written yet')
    own = _own_system(record, fields, messages)
    return Row(place, weight, tuple(_with_system(messages, own or system)), _tools(record, fields, place))


def _conversation(record: Record, fields: Record, kind: str, place: str) -> list[Message]:
    sharegpt = kind == "sharegpt"
    column = fields["messages"] or ("conversations" if sharegpt else "messages")
    turns = _column(record, column, place)
    turns = _parsed(turns, place) if isinstance(turns, str) else turns
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise DataError(f'{place}: "{column}" is no list of turns')
    role = fields["role"] or ("from" if sharegpt else "role")
    content = fields["content"] or ("value" if sharegpt else "content")
    return [_message(turn, role, content, fields["thinking"], place) for turn in turns]


def _message(turn: Record, role: str, content: str, thinking: str | None, place: str) -> Message:
    """A turn in the shape that chat templates read; what else it holds (tool calls) stays."""
    if not isinstance(turn.get(role), str):
        raise DataError(f'{place}: a turn without "{role}"')
    said = turn.get(content)
    if not isinstance(said, str) and not (said is None and turn.get("tool_calls")):
        raise DataError(f'{place}: a turn without text in "{content}"')
    rest = {key: value for key, value in turn.items() if key not in (role, content, thinking) and value is not None}
    reasoning = {"reasoning_content": turn[thinking]} if thinking and turn.get(thinking) else {}
    return {"role": ROLES.get(turn[role], turn[role]), "content": said or "", **reasoning, **rest}


def _pair(record: Record, prompt: str, answer: str, place: str) -> list[Message]:
    """A prompt and its completion: two texts, or two lists of messages."""
    asked, said = _column(record, prompt, place), _column(record, answer, place)
    if isinstance(asked, list) and isinstance(said, list):
        return [_message(turn, "role", "content", None, place) for turn in [*asked, *said]]
    return [_says("user", _string(record, prompt, place)), _says("assistant", _string(record, answer, place))]


def _alpaca(record: Record, fields: Record, place: str) -> list[Message]:
    """The task, on a new line what it is about, and the answer."""
    task = _string(record, fields["instruction"] or "instruction", place)
    about = record.get(fields["input"] or "input") or ""
    answer = _string(record, fields["output"] or "output", place)
    return [_says("user", f"{task}\n{about}" if about else task), _says("assistant", answer)]


def _own_system(record: Record, fields: Record, messages: list[Message]) -> str | None:
    """The row's own system text; None where its messages begin with one already."""
    if messages[0]["role"] == "system":
        return messages[0]["content"]
    return record.get(fields["system"] or "system") or None


def _with_system(messages: list[Message], system: str | None) -> list[Message]:
    if system is None or messages[0]["role"] == "system":
        return messages
    return [_says("system", system), *messages]


def _tools(record: Record, fields: Record, place: str) -> tuple[Record, ...]:
    tools = record.get(fields["tools"] or "tools") or ()
    return tuple(_parsed(tools, place) if isinstance(tools, str) else tools)


def _says(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _column(record: Record, name: str, place: str) -> Any:
    if name not in record:
        raise DataError(f'{place}: no column "{name}"; there is {", ".join(map(str, record)) or "nothing"}')
    return record[name]


def _string(record: Record, name: str, place: str) -> str:
    value = _column(record, name, place)
    if not isinstance(value, str):
        raise DataError(f'{place}: "{name}" is no text')
    return value
