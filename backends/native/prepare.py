# pyright: basic
# Strict typing stops at JSON, whose shape formats.py finds out.
"""Writes the rows that another tool reads: sources in, a file of training rows and one of validation rows out.

All rows get one shape whatever their columns were, the system text is put in front, weights are applied, and validation
rows are chosen by hash: what the tool itself would do differently is done before it starts. ftc does this when it
builds; where rows come from the hub, this file is copied into the artifact and does it before the tool starts.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from backends.native.files import Advance, unseen
from backends.native.findings import DataError, RowError, Tally
from backends.native.formats import Message, Row
from backends.native.readers import Record
from backends.native.rows import chooser, parted, read_rows, sound, weighted

JOB = "prepare.json"
DATE = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}(:\d{2}(:\d{2}(\.\d+)?)?)?(Z|[+-]\d{2}:?\d{2})?)?")


class Written(NamedTuple):
    """How many rows went into each file, and what was met in those that did not."""

    train: int
    validation: int
    met: Tally


def write_rows(job: Mapping[str, Any], folder: Path, advance: Advance = unseen) -> Written:
    """Write the job's files into the folder. `DataError` where rows cannot be trained on and are not to be dropped."""
    train, validation = folder / job["train_file"], folder / job["validation_file"]
    if job["validation"] is not None and not isinstance(job["validation"], list):
        return _part(job, train, validation, advance)
    drop, met = job["bad_rows"] == "drop", Tally()
    rows = sound(_rows(job, "train", advance), met, drop_bad=drop)
    written = _write(weighted(rows, job["seed"]), train, job)
    if not job["validation"]:
        return Written(written, 0, met)
    held = sound(_rows(job, "validation", advance), met, drop_bad=drop)
    return Written(written, _write(held, validation, job), met)


def _part(job: Mapping[str, Any], train: Path, validation: Path, advance: Advance) -> Written:
    """The rows of one list of sources, some of them kept back by hash."""
    held, met = chooser(job["train"], job["validation"], job["seed"]), Tally()
    rows = parted(_rows(job, "train", advance), held, met, drop_bad=job["bad_rows"] == "drop")
    kept = 0
    with _create(validation) as file:

        def training() -> Iterable[Row]:
            nonlocal kept
            for chosen, row in rows:
                if chosen:
                    kept += 1
                    file.write(line(_record(row, job)))
                else:
                    yield row

        written = _write(weighted(training(), job["seed"]), train, job)
    if not written or not kept:
        raise DataError(
            f"data.validation = {job['validation']} parts {written + kept} rows into {written} to train on and {kept} "
            "to validate with; write a number of rows, or null for no validation"
        )
    return Written(written, kept, met)


def _rows(job: Mapping[str, Any], part: str, advance: Advance) -> Iterable[Row | RowError]:
    rows = read_rows(job[part], job["system"], job["templated"], advance)
    return map(in_pairs, rows) if job["paired"] else rows


def in_pairs(row: Row | RowError) -> Row | RowError:
    """An error in the place of a conversation that LLaMA-Factory would leave out: its turns must come in pairs of a
    question or a tool's answer, and the model's; or in which it would not see what the model says: calls of tools."""
    if isinstance(row, RowError) or not row.messages:
        return row
    turns = row.messages[row.messages[0]["role"] == "system" :]
    asking, answering = turns[::2], turns[1::2]
    # Answers that are compared stand beside the turns.
    paired = len(asking) - len(answering) == bool(row.chosen)
    if (
        not paired
        or any(turn["role"] == "assistant" for turn in asking)
        or any(turn["role"] != "assistant" for turn in answering)
    ):
        return RowError("FTC528", row.place, "the turns are no pairs of a question and an answer")
    if any(turn.get("tool_calls") for turn in (*turns, *row.chosen, *row.rejected)):
        return RowError("FTC528", row.place, "calls of tools beside the text of a turn")
    return row


def _write(rows: Iterable[Row], path: Path, job: Mapping[str, Any]) -> int:
    count, columns = 0, Columns()
    with _create(path) as file:
        for row in rows:
            record = _record(row, job)
            columns.see(record)
            file.write(line(record))
            count += 1
    columns.refuse_dates()
    return count


class Columns:
    """Looks for columns of nothing but dates: the readers of the tools' data sets would make times of them, and train
    "2011-09-13 00:00:00" where "2011-09-13" stands (pyarrow's JSON, which `datasets` reads with)."""

    def __init__(self) -> None:
        self._dates: dict[str, bool] = {}

    def see(self, value: Any, path: str = "") -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                self.see(item, f"{path}.{name}" if path else name)
        elif isinstance(value, list):
            for item in value:
                self.see(item, path)
        elif isinstance(value, str) and self._dates.get(path, True):
            self._dates[path] = bool(DATE.fullmatch(value))

    def refuse_dates(self) -> None:
        """`DataError` where there is such a column."""
        found = [path for path, all_dates in self._dates.items() if all_dates]
        if found:
            raise DataError(
                f"every {found[0]} is a date, and the tool's reader makes times of such a column; put a word beside "
                "the date in one row at least, or train with the native target"
            )


def _create(path: Path) -> TextIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("w", encoding="utf-8", newline="\n")


def line(record: Record) -> str:
    """A line of JSON."""
    text = json.dumps(record, ensure_ascii=False)
    # Half of a surrogate pair is fine in JSON's escapes, but no UTF-8.
    plain = all(not "\ud800" <= char <= "\udfff" for char in text)
    return (text if plain else json.dumps(record)) + "\n"


def _record(row: Row, job: Mapping[str, Any]) -> Record:
    """`messages`, `prompt` and `completion`, `text`, or answers that are compared. Tools stay JSON inside JSON: their
    parameters differ from row to row."""
    if row.chosen or row.label is not None:
        record = _turns(row) if job["answers"] == "turns" else _turn(row)
    elif row.messages:
        record = {"messages": _marked(row.messages) if job["marked"] else list(row.messages)}
    else:
        record = {"text": row.text} if row.cuttable else {"prompt": row.prompt, "completion": row.text}
    return {**record, "tools": json.dumps(row.tools, ensure_ascii=False)} if row.tools else record


def _marked(messages: tuple[Message, ...]) -> list[Message]:
    """Each turn with whether it is trained: the last answer alone."""
    last = max((number for number, turn in enumerate(messages) if turn["role"] == "assistant"), default=-1)
    return [{**turn, "train": number == last} for number, turn in enumerate(messages)]


def _turns(row: Row) -> Record:
    if row.label is None:
        return {"prompt": list(row.messages), "chosen": list(row.chosen), "rejected": list(row.rejected)}
    return {"prompt": list(row.messages[:-1]), "completion": list(row.messages[-1:]), "label": row.label}


def _turn(row: Row) -> Record:
    if row.label is None:
        answers = {"chosen": _answer(row.chosen, row), "rejected": _answer(row.rejected, row)}
        return {"messages": list(row.messages), **answers}
    return {"messages": list(row.messages), "label": row.label}


def _answer(turns: tuple[Message, ...], row: Row) -> Message:
    if len(turns) != 1:
        raise DataError(f"{row.place}: an answer of {len(turns)} turns; this target compares single ones")
    return turns[0]


def main() -> int:
    """Prepare once: a job that is done stays done."""
    here = Path(__file__).resolve().parent
    text = (here / JOB).read_text(encoding="utf-8")
    done = here / "data" / "prepared.json"
    if done.is_file() and done.read_text(encoding="utf-8") == text:
        return 0
    try:
        written = write_rows(json.loads(text), here)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    done.write_text(text, encoding="utf-8")
    print(f"{written.train} rows to train on, {written.validation} to validate with")
    if written.met.bad:
        print(written.met.left_out())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
