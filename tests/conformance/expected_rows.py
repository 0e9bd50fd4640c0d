"""The rows that a plan means: token ids, and which of them are trained, as the native target has them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from reading_rows import shown

from backends.alike import own_template, told
from backends.native.data import IGNORED, Rules, prepare
from backends.native.formats import Row
from backends.native.rows import held_out, read_rows, weighted
from schemas.plan import Plan, is_sources

Rows = list[dict[str, Any]]


def expected_rows(plan: Plan) -> tuple[Rows, Rows]:
    """Rows to train on and rows to validate on, as `reading_rows.py` shows them."""
    templated = plan.model.chat_template is not None
    rows = read_rows([told(source) for source in plan.data.train], plan.data.system, templated)
    held: list[Row] = []
    validation = plan.data.validation
    if is_sources(validation):
        held = read_rows([told(source) for source in validation], plan.data.system, templated)
    elif validation is not None:
        numbers = held_out(len(rows), validation, plan.training.seed)
        held = [row for number, row in enumerate(rows) if number in numbers]
        rows = [row for number, row in enumerate(rows) if number not in numbers]
    tokenizer = _tokenizer(plan.model.tokenizer or plan.model.base, own_template(plan), plan.model.tokens.add)
    return _shown(list(weighted(rows, plan.training.seed)), plan, tokenizer), _shown(held, plan, tokenizer)


@cache
def _tokenizer(folder: str, template: Path | None, added: tuple[str, ...]) -> Any:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(list(added))
    if template:
        tokenizer.chat_template = template.read_text(encoding="utf-8")
    return tokenizer


def _shown(rows: list[Row], plan: Plan, tokenizer: Any) -> Rows:
    if not rows:
        return []
    if plan.training.preference:
        return [shown(ids, labels, tokenizer) for row in rows for ids, labels in _compared(row, tokenizer)]
    rules = Rules(plan.data.loss_on, plan.data.max_length, plan.data.overlong)
    pieces, _ = prepare(rows, tokenizer, rules)
    return [shown(piece.ids, piece.labels, tokenizer) for piece in pieces]


def _compared(row: Row, tokenizer: Any) -> Iterable[tuple[list[int], list[int]]]:
    """A conversation for each answer, of which the answer is trained."""
    asked = list(row.messages) if row.label is None else list(row.messages[:-1])
    answers = [list(row.chosen), list(row.rejected)] if row.label is None else [list(row.messages[-1:])]
    before = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=True, return_dict=False)
    for answer in answers:
        ids = tokenizer.apply_chat_template([*asked, *answer], tokenize=True, return_dict=False)
        yield ids, [IGNORED] * len(before) + ids[len(before) :]
