"""Rows to evaluate on, prepared by the code that prepares rows for training: the same tokens count."""

from __future__ import annotations

from dataclasses import replace as with_changed
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from backends.native.amounts import many
from backends.native.data import Counts, Rules, Tokens
from backends.native.examine import Examined, Examiner, Job, judged
from backends.native.findings import DataError, FileError, Tally
from backends.native.rows import stretches
from compiler.after.finished import Finished
from compiler.data.recognise import bad_row, first_row
from compiler.errors import FtcError
from compiler.exit import INVALID, MISSING, USAGE
from schemas.recipe import DataFormat, Fields

COMPARED: Final = ("preference", "kto")


class Question(Struct, frozen=True):
    """`question`: the turn before the answer. `prompt`: all that stands before the answer, as tokens."""

    place: str
    question: str
    prompt: list[int]
    answer: list[int]


class Rows(Struct):
    """`pieces`: what is trained of each row, in order; of answers that are compared the chosen and the rejected one.
    `questions`: of rows that have an answer of their own. `format`: as recognised."""

    format: DataFormat
    pieces: list[list[Tokens]]
    questions: list[Question]
    counts: Counts
    met: Tally


def read(run: Finished, tokenizer: Any, file: Path, limit: int | None) -> Rows:
    """The rows of a file as the run would train on them; `FtcError` where they cannot be read."""
    source = _source(run, file, limit)
    job = with_changed(Job.of(run.plan), train=[source], validation=None)
    try:
        found = _read(job, tokenizer, source["format"])
    except DataError as error:
        raise FtcError(str(error), exit_code=USAGE if isinstance(error, FileError) else INVALID) from error
    except ImportError as error:
        raise FtcError(f"the data cannot be read here: {error}", f"pip install {error.name}", MISSING) from error
    if found.met.bad and not job.drop_bad:
        raise FtcError(str(found.met.refusal()))
    if not found.pieces:
        raise FtcError(
            f'no token of "{file}" would be trained: it has {many(found.counts.read, "row")}', _why(found.counts)
        )
    return found


def _why(counts: Counts) -> str:
    return (
        f"{counts.bad} cannot be trained on, {counts.dropped} are too long for data.max_length, "
        f"{counts.untrained} have nothing to learn"
    )


def _source(run: Finished, file: Path, limit: int | None) -> dict[str, Any]:
    """How the file is read: as the run's own rows where it is like them, else as it is recognised."""
    if not file.is_file():
        raise FtcError(f'there is no file "{file}"', exit_code=USAGE)
    templated = run.plan["model"]["chat_template"] is not None
    for known in run.plan["data"]["train"]:
        fields = Fields(**known["fields"])
        if bad_row(file, known["format"], fields, templated=templated) is None:
            return _said(file, known["format"], fields, limit)
    seen = first_row(file, Fields())
    if seen.missing:
        raise FtcError(f'"{file}" cannot be read here', f"pip install {seen.missing}", MISSING)
    if seen.format is None:
        what = seen.problem or f"its columns are {', '.join(seen.columns)}"
        hint = "ftc data reads rows of messages, sharegpt, alpaca, prompt_completion, text, preference and kto"
        raise FtcError(f'the format of "{file}" is not recognised: {what}', hint)
    return _said(file, seen.format, Fields(), limit)


def _said(file: Path, kind: DataFormat, fields: Fields, limit: int | None) -> dict[str, Any]:
    return {
        "path": str(file.absolute()),
        "local": True,
        "format": kind,
        "weight": 1.0,
        "limit": limit,
        "fields": fields.model_dump(),
    }


def _read(job: Job, tokenizer: Any, kind: DataFormat) -> Rows:
    found = Rows(kind, [], [], Counts(), Tally())
    # Where everything is trained, the answer has to be looked for by itself.
    apart = job.rules.loss_on == "all" and kind not in (*COMPARED, "text")
    asking = (
        with_changed(job, rules=Rules("last_assistant", job.rules.max_length, job.rules.overlong)) if apart else job
    )
    examiner, asker = (Examiner(each, each.train, tokenizer) for each in (job, asking))
    for stretch in stretches(job.train):
        rows = examiner.examine(stretch)
        for item, again in zip(rows, asker.examine(stretch) if apart else rows, strict=True):
            found.counts.read += 1
            kept = judged(item, job.rules, found.counts)
            for note in item.met:
                found.met.add(note)
            if kept and not (item.row and item.row.label is False):
                found.pieces.append(kept)
                found.questions += _question(again, kind)
    return found


def _question(item: Examined, kind: DataFormat) -> list[Question]:
    """The last answer of a row, where there is one that follows a prompt."""
    if kind in COMPARED or item.row is None or item.row.cuttable or not item.tokens or not item.tokens[0].spans:
        return []
    tokens = item.tokens[0]
    start, end = tokens.spans[-1]
    if start <= 1 and not item.row.messages and not item.row.prompt:
        return []
    asked = next((turn["content"] for turn in reversed(item.row.messages[:-1])), item.row.prompt)
    return [Question(str(item.row.place), asked, tokens.ids[:start], tokens.ids[start:end])]
