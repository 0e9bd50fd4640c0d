"""Which tokens are trained: rows as token ids with labels, none longer than the recipe allows.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch. Masks are made here
and not by the trainer: a label is a token of the answer, its end-of-turn token included, or -100.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import islice, starmap
from typing import Any

from backends.native.chat import Drawn, Renderer, Span
from backends.native.findings import DataError, RowError
from backends.native.formats import Row
from backends.native.spans import Sizes, slowly

IGNORED = -100
"""The label of a token that is not trained."""

BATCH = 512
"""Rows tokenised in one call."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """One training row: token ids, and the stretches of them that are trained, in order."""

    ids: list[int]
    spans: list[Span]

    @property
    def trained(self) -> int:
        """How many tokens the loss sees."""
        return sum(end - start for start, end in self.spans)

    @property
    def labels(self) -> list[int]:
        """The ids that are trained, -100 elsewhere; as many as ids."""
        labels = [IGNORED] * len(self.ids)
        for start, end in self.spans:
            labels[start:end] = self.ids[start:end]
        return labels

    def cut(self, start: int, end: int) -> Tokens:
        """A part of the row. Its first token is not trained: nothing comes before from which it could be predicted."""
        inside = ((max(first, start + 1) - start, min(last, end) - start) for first, last in self.spans)
        return Tokens(self.ids[start:end], [(first, last) for first, last in inside if first < last])


@dataclass(slots=True)
class Counts:
    """What became of the rows. `bad`: what cannot be trained on; `untrained`: rows in which nothing is to be learned;
    `kept`: rows and pieces of rows that are trained on, each once."""

    read: int = 0
    kept: int = 0
    bad: int = 0
    dropped: int = 0
    truncated: int = 0
    split: int = 0
    untrained: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    longest: int = 0

    def merge(self, other: Counts) -> None:
        """Add what became of other rows."""
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            setattr(self, field.name, max(mine, theirs) if field.name == "longest" else mine + theirs)


@dataclass(frozen=True, slots=True)
class Rules:
    """How rows become tokens: the recipe's `data.loss_on`, `data.max_length`, `data.overlong`."""

    loss_on: str
    max_length: int
    overlong: str


def fit(tokens: Tokens, row: Row, rules: Rules, counts: Counts) -> list[Tokens]:
    """What is trained of a row: itself, or what the rules leave of it if it is too long. Adds to `counts`.

    Raises `RowError` where a row is too long and that is an error.
    """
    counts.longest = max(counts.longest, len(tokens.ids))
    pieces = list(_pieces(tokens, row, rules, counts))
    kept = [piece for piece in pieces if piece.trained]
    # The last piece of a text that is split may be too short to learn from: the row is not.
    counts.untrained += bool(pieces) and not kept
    counts.kept += len(kept)
    counts.tokens += sum(len(piece.ids) for piece in kept)
    counts.trained_tokens += sum(piece.trained for piece in kept)
    return kept


def _pieces(tokens: Tokens, row: Row, rules: Rules, counts: Counts) -> Iterable[Tokens]:
    limit, length = rules.max_length, len(tokens.ids)
    if length <= limit:
        return (tokens,)
    if rules.overlong == "truncate":
        counts.truncated += 1
        return (tokens.cut(0, limit),)
    if rules.overlong == "split" and row.cuttable:
        counts.split += 1
        return (tokens.cut(start, min(start + limit, length)) for start in range(0, length, limit))
    if rules.overlong == "error":
        raise RowError(
            "FTC525",
            row.place,
            f"{length} tokens, more than data.max_length = {limit}; raise it, or choose data.overlong = drop or "
            "truncate",
        )
    counts.dropped += 1
    return ()


def nothing(counts: Counts, rules: Rules, part: str) -> DataError | None:
    """Why no token of `part` ("train", "validation") would be trained; None where some are."""
    if counts.kept:
        return None
    if not counts.read:
        return DataError(f"there are no rows to {'train on' if part == 'train' else 'validate with'}")
    return DataError(
        f"{part}: no token would be trained: of {counts.read} rows {counts.dropped} are left out and "
        f"{counts.truncated} cut, as they are longer than data.max_length = {rules.max_length}, {counts.untrained} "
        f"have nothing that data.loss_on = {rules.loss_on} trains, and {counts.bad} cannot be read"
    )


class Encoder:
    """Rows to tokens, by a tokenizer that must be a fast one."""

    def __init__(self, tokenizer: Any, loss_on: str) -> None:
        if not tokenizer.is_fast:
            raise DataError("this tokenizer cannot say which characters a token stands for; only fast tokenizers can")
        self.tokenizer, self.loss_on = tokenizer, loss_on
        self._renderer: Renderer | None = None
        self._sizes = Sizes.of(tokenizer.backend_tokenizer)

    def encode(self, rows: Iterable[Row]) -> Iterator[tuple[Row, Tokens | RowError]]:
        """Each row with its tokens, however many; for one that cannot be rendered, the error."""
        remaining = iter(rows)
        while batch := list(islice(remaining, BATCH)):
            chats = iter(self._chats([row for row in batch if row.messages]))
            plain = iter(self._plain([row for row in batch if not row.messages]))
            yield from ((row, next(chats if row.messages else plain)) for row in batch)

    @property
    def ignored(self) -> frozenset[str]:
        """What of a conversation the chat template never writes."""
        return self._rendered.ignored

    @property
    def _rendered(self) -> Renderer:
        # Made when it is needed: raw text asks for no chat template.
        self._renderer = self._renderer or Renderer(self.tokenizer, self.loss_on)
        return self._renderer

    def _chats(self, rows: Sequence[Row]) -> Iterator[Tokens | RowError]:
        if not rows:
            return
        drawn = self._rendered.render(rows)
        texts = [found for found in drawn if not isinstance(found, RowError)]
        coded = self._tokens(texts, special=False)
        yield from (found if isinstance(found, RowError) else next(coded) for found in drawn)

    def _plain(self, rows: Sequence[Row]) -> Iterator[Tokens]:
        """Raw text, ended by the end-of-sequence token. A prompt in front is trained only where everything is."""
        return self._tokens([self._bounded(row) for row in rows], special=True)

    def _bounded(self, row: Row) -> Drawn:
        """A text that the tokenizer begins and ends with one token each, whether they stand there or not."""
        begins, ends = self._around
        end = self.tokenizer.eos_token or ""
        # What it ends a text with itself must not be there, of anything else there must be one.
        prompt, text = row.prompt, row.text.removesuffix(end) + end * (not ends)
        if begins and (prompt or text).startswith(begins):
            prompt, text = prompt.removeprefix(begins), text if prompt else text.removeprefix(begins)
        return prompt + text, [(0 if self.loss_on == "all" else len(prompt), len(prompt + text))]

    @cached_property
    def _around(self) -> tuple[str, bool]:
        """The token that this tokenizer puts before every text, "" where it puts none; whether it ends texts itself."""
        ids = _whole(self.tokenizer).encode("a").ids
        begin, end = self.tokenizer.bos_token, self.tokenizer.eos_token_id
        return begin if begin and ids[:1] == [self.tokenizer.bos_token_id] else "", ids[-1:] == [end]

    def _tokens(self, drawn: Sequence[Drawn], *, special: bool) -> Iterator[Tokens]:
        """`special`: with the tokens that the tokenizer puts around a text."""
        backend = _whole(self.tokenizer)
        if special or not self._sizes:
            yield from starmap(Tokens, slowly(backend, drawn, special))
            return
        coded = backend.encode_batch_fast([text for text, _ in drawn], add_special_tokens=False)
        ids = [found.ids for found in coded]
        spans = [self._sizes.spans(*each) for each in zip(ids, drawn, strict=True)]
        unsummed = [each for each, found in zip(drawn, spans, strict=True) if found is None]
        others = starmap(Tokens, slowly(backend, unsummed, special))
        if spans.count(None) > len(spans) // 2:
            self._sizes = None  # it is no use for such texts
        yield from (next(others) if span is None else Tokens(row, span) for row, span in zip(ids, spans, strict=True))


def _whole(tokenizer: Any) -> Any:
    """What makes the tokens, all of them and no others: a tokenizer's file may ask to cut and to pad."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    return backend
