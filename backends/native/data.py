"""Training data: rendering, and which tokens are trained.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch. Masks are made here
and not by the trainer: a label is a token of the answer, its end-of-turn token included, or -100.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from backends.native.formats import DataError, Message, Row

IGNORED = -100
"""The label of a token that is not trained."""

BATCH = 512
"""Rows tokenised in one call."""

GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Tokens:
    """One training row: as many labels as token ids."""

    ids: list[int]
    labels: list[int]

    @property
    def trained(self) -> int:
        """How many tokens the loss sees."""
        return sum(label != IGNORED for label in self.labels)


@dataclass(slots=True)
class Counts:
    """What became of the rows. `untrained`: rows in which nothing is to be learned."""

    read: int = 0
    kept: int = 0
    dropped: int = 0
    truncated: int = 0
    split: int = 0
    untrained: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    longest: int = field(default=0)


@dataclass(frozen=True, slots=True)
class Rules:
    """How rows become tokens: the recipe's `data.loss_on`, `data.max_length`, `data.overlong`."""

    loss_on: str
    max_length: int
    overlong: str


def prepare(rows: Iterable[Row], tokenizer: Any, rules: Rules) -> tuple[list[Tokens], Counts]:
    """Rows as token ids and labels, none longer than `rules.max_length`.

    Raises `DataError` where a row is too long and that is an error, where the template cannot say which tokens are the
    answer, and where no token at all would be trained.
    """
    counts = Counts()
    kept: list[Tokens] = []
    for row, tokens in encode(rows, tokenizer, rules.loss_on):
        counts.read += 1
        counts.longest = max(counts.longest, len(tokens.ids))
        for piece in _fit(tokens, row, rules, counts):
            if piece.trained:
                kept.append(piece)
                counts.tokens += len(piece.ids)
                counts.trained_tokens += piece.trained
            else:
                counts.untrained += 1
    counts.kept = len(kept)
    if not kept:
        raise DataError(_nothing(counts, rules))
    return kept, counts


def _nothing(counts: Counts, rules: Rules) -> str:
    if not counts.read:
        return "there are no rows to train on"
    return (
        f"no token would be trained: of {counts.read} rows {counts.dropped} are longer than data.max_length = "
        f"{rules.max_length} and {counts.untrained} have nothing that data.loss_on = {rules.loss_on} trains"
    )


def _fit(tokens: Tokens, row: Row, rules: Rules, counts: Counts) -> Iterator[Tokens]:
    limit = rules.max_length
    if len(tokens.ids) <= limit:
        yield tokens
    elif rules.overlong == "truncate":
        counts.truncated += 1
        yield Tokens(tokens.ids[:limit], tokens.labels[:limit])
    elif rules.overlong == "split" and row.cuttable:
        counts.split += 1
        yield from _pieces(tokens, limit)
    elif rules.overlong == "error":
        raise DataError(
            f"{row.place}: {len(tokens.ids)} tokens, more than data.max_length = {limit}; "
            "raise it, or choose data.overlong = drop or truncate"
        )
    else:
        counts.dropped += 1


def _pieces(tokens: Tokens, limit: int) -> Iterator[Tokens]:
    for start in range(0, len(tokens.ids), limit):
        labels = tokens.labels[start : start + limit]
        # Nothing comes before a piece's first token from which it could be predicted.
        yield Tokens(tokens.ids[start : start + limit], [IGNORED, *labels[1:]])


def encode(rows: Iterable[Row], tokenizer: Any, loss_on: str) -> Iterator[tuple[Row, Tokens]]:
    """Each row with its token ids and labels, however long. `tokenizer` must be a fast one."""
    if not tokenizer.is_fast:
        raise DataError("this tokenizer cannot say which characters a token stands for; only fast tokenizers can")
    remaining = iter(rows)
    renderer: Renderer | None = None
    while batch := list(islice(remaining, BATCH)):
        chats = [row for row in batch if row.messages]
        plain = [row for row in batch if not row.messages]
        coded = {id(row): tokens for row, tokens in _encode_plain(plain, tokenizer, loss_on)}
        if chats:
            renderer = renderer or Renderer(tokenizer)
            coded |= {id(row): tokens for row, tokens in _encode_chats(chats, renderer, loss_on)}
        yield from ((row, coded[id(row)]) for row in batch)


def _encode_chats(rows: Sequence[Row], renderer: Renderer, loss_on: str) -> Iterator[tuple[Row, Tokens]]:
    drawn = [renderer.render(row) for row in rows]
    coded = renderer.tokenizer([text for text, _ in drawn], add_special_tokens=False, return_offsets_mapping=True)
    for row, (text, spans), ids, offsets in zip(rows, drawn, coded["input_ids"], coded["offset_mapping"], strict=True):
        wanted = _wanted(text, spans, loss_on)
        yield row, Tokens(ids, _labels(ids, offsets, wanted))


def _wanted(text: str, spans: list[Span], loss_on: str) -> list[Span]:
    """The stretches of a rendered conversation that are trained."""
    if loss_on == "all":
        return [(0, len(text))]
    return spans if loss_on == "assistant" else spans[-1:]


def _encode_plain(rows: Sequence[Row], tokenizer: Any, loss_on: str) -> Iterator[tuple[Row, Tokens]]:
    """Raw text, ended by the end-of-sequence token. A prompt in front is trained only where everything is."""
    if not rows:
        return
    end = tokenizer.eos_token or ""
    texts = [text if (text := row.prompt + row.text).endswith(end) else text + end for row in rows]
    coded = tokenizer(texts, return_offsets_mapping=True)
    for row, text, ids, offsets in zip(rows, texts, coded["input_ids"], coded["offset_mapping"], strict=True):
        start = 0 if loss_on == "all" else len(row.prompt)
        yield row, Tokens(ids, _labels(ids, offsets, [(start, len(text))]))


def _labels(ids: list[int], offsets: list[Span], spans: list[Span]) -> list[int]:
    """The ids inside the spans, -100 elsewhere. A token that reaches into a span from before belongs to it.

    The first token has no label: there is nothing from which it could be predicted.
    """
    starts, ends = [start for start, _ in offsets], [end for _, end in offsets]
    labels = [IGNORED] * len(ids)
    for start, end in spans:
        first, last = bisect_right(ends, start), bisect_left(starts, end)
        labels[first:last] = ids[first:last]
    labels[:1] = [IGNORED] * len(labels[:1])
    return labels


class Renderer:
    """A tokenizer's chat template, and where in its text the answers are."""

    def __init__(self, tokenizer: Any) -> None:
        if not tokenizer.chat_template:
            raise DataError(
                "the tokenizer has no chat template; set model.chat_template to chatml, alpaca or a .jinja file"
            )
        self.tokenizer = tokenizer
        self.template: str = tokenizer.get_chat_template()
        self.marked = bool(GENERATION.search(self.template))
        self.specials = tuple(sorted(map(str, tokenizer.get_added_vocab()), key=len, reverse=True))

    def render(self, row: Row) -> tuple[str, list[Span]]:
        """The text of a conversation and the stretches of the assistant, end-of-turn tokens included."""
        if self.marked:
            text, spans = self._text(row.messages, row, marked=True)
            return text, [self._closed(text, start, end) for start, end in spans]
        text, _ = self._text(row.messages, row)
        return text, [
            self._trimmed(text, *self._found(row, number, text))
            for number, message in enumerate(row.messages)
            if message["role"] == "assistant"
        ]

    def _text(
        self, messages: Sequence[Message], row: Row, *, marked: bool = False, ask: bool = False
    ) -> tuple[str, list[Span]]:
        from transformers.utils.chat_template_utils import (
            render_jinja_template,  # pyright: ignore[reportUnknownVariableType] (its own types have gaps)
        )

        try:
            drawn: Any = render_jinja_template(
                conversations=[list(messages)],
                tools=list(row.tools) or None,
                chat_template=self.template,
                return_assistant_tokens_mask=marked,
                add_generation_prompt=ask,
                **self.tokenizer.special_tokens_map,
            )
        except Exception as error:  # a template may raise whatever it likes
            raise DataError(f"{row.place}: the chat template refuses this conversation: {error}") from error
        texts, spans = drawn
        return texts[0], [(start, end) for start, end in spans[0]] if marked else []

    def _found(self, row: Row, number: int, text: str) -> Span:
        """An answer in a template that does not mark it: from the end of its invitation to the end of its turn."""
        before, _ = self._text(row.messages[:number], row, ask=True)
        through, _ = self._text(row.messages[: number + 1], row)
        if not (text.startswith(before) and text.startswith(through) and len(before) < len(through)):
            raise DataError(
                f"{row.place}: this chat template renders a turn differently once others follow, so the answers cannot "
                "be told apart; name a template with {% generation %} marks in model.chat_template"
            )
        return len(before), len(through)

    def _trimmed(self, text: str, start: int, end: int) -> Span:
        """Without the white space that some templates put after the end-of-turn token: nobody waits for it."""
        said = text[start:end].rstrip()
        return (start, start + len(said)) if said.endswith(self.specials) else (start, end)

    def _closed(self, text: str, start: int, end: int) -> Span:
        """With the end-of-sequence token, where a template's mark stops just short of it."""
        closing = self.tokenizer.eos_token
        if closing and not text[start:end].rstrip().endswith(self.specials) and text.startswith(closing, end):
            return start, end + len(closing)
        return self._trimmed(text, start, end)
