"""The rows that a plan means: token ids, and which of them are trained, as the native target has them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from reading_rows import shown

from backends.alike import own_template
from backends.native.corpus import Part, read_parts, repeated
from backends.native.data import IGNORED
from backends.native.examine import Examiner, Job, kept_for_validation
from backends.native.findings import Tally
from backends.native.formats import Row
from backends.native.rows import parted, read_rows, sound, weighted
from compiler.data.job import job
from schemas.plan import Plan

Rows = list[dict[str, Any]]


def expected_rows(plan: Plan) -> tuple[Rows, Rows]:
    """Rows to train on and rows to validate on, as `reading_rows.py` shows them."""
    tokenizer = _tokenizer(plan.model.tokenizer or plan.model.base, own_template(plan), plan.model.tokens.add)
    asked = job(plan)
    return _compared(asked, tokenizer) if plan.training.preference else _trained(asked, tokenizer)


@cache
def _tokenizer(folder: str, template: Path | None, added: tuple[str, ...]) -> Any:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(list(added))
    if template:
        tokenizer.chat_template = template.read_text(encoding="utf-8")
    return tokenizer


def _trained(asked: Job, tokenizer: Any) -> tuple[Rows, Rows]:
    train: Rows = []
    held: Rows = []
    first = 0
    for part, kept in read_parts(Examiner(asked, asked.train, tokenizer), kept_for_validation(asked), 1):
        train += _shown(part, tokenizer, repeated(part, first, asked.seed))
        held += _shown(kept, tokenizer, np.ones(len(kept.lengths), np.int64))
        first += part.rows
    if isinstance(asked.validation, list):
        for part, _ in read_parts(Examiner(asked, asked.validation, tokenizer), lambda _: False, 1):
            held += _shown(part, tokenizer, np.ones(len(part.lengths), np.int64))
    return train, held


def _shown(part: Part, tokenizer: Any, times: Any) -> Rows:
    ends = np.cumsum(part.lengths)
    pieces = [
        (part.ids[end - size : end], part.labels[end - size : end])
        for end, size in zip(ends, part.lengths, strict=True)
    ]
    return [
        shown(ids.tolist(), labels.tolist(), tokenizer)
        for (ids, labels), often in zip(pieces, times, strict=True)
        for _ in range(often)
    ]


def _compared(asked: Job, tokenizer: Any) -> tuple[Rows, Rows]:
    rows = read_rows(asked.train, asked.system, asked.templated)
    parts = list(parted(rows, kept_for_validation(asked), Tally(), drop_bad=asked.drop_bad))
    train = weighted((row for held, row in parts if not held), asked.seed)
    held = [row for held, row in parts if held]
    if isinstance(asked.validation, list):
        held = list(sound(read_rows(asked.validation, asked.system, asked.templated), Tally(), drop_bad=asked.drop_bad))
    return _answers(train, tokenizer), _answers(held, tokenizer)


def _answers(rows: Iterable[Row], tokenizer: Any) -> Rows:
    return [shown(ids, labels, tokenizer) for row in rows for ids, labels in _each(row, tokenizer)]


def _each(row: Row, tokenizer: Any) -> Iterable[tuple[list[int], list[int]]]:
    """A conversation for each answer, of which the answer is trained."""
    asked = list(row.messages) if row.label is None else list(row.messages[:-1])
    answers = [list(row.chosen), list(row.rejected)] if row.label is None else [list(row.messages[-1:])]
    before = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=True, return_dict=False)
    for answer in answers:
        ids = tokenizer.apply_chat_template([*asked, *answer], tokenize=True, return_dict=False)
        yield ids, [IGNORED] * len(before) + ids[len(before) :]
