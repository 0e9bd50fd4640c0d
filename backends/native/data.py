"""Which tokens are trained: rows as token ids with labels, none longer than the recipe allows.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch. Masks are made here
and not by the trainer: a label is a token of the answer, its end-of-turn token included, or -100.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate, islice
from typing import Any
from unicodedata import is_normalized

from backends.native.chat import Renderer, Span
from backends.native.findings import DataError, RowError
from backends.native.formats import Row

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

    def _chats(self, rows: Sequence[Row]) -> Iterator[Tokens | RowError]:
        if not rows:
            return
        # Made when it is needed: raw text asks for no chat template.
        self._renderer = self._renderer or Renderer(self.tokenizer, self.loss_on)
        drawn = self._renderer.render(rows)
        texts = [found for found in drawn if not isinstance(found, RowError)]
        coded = self._tokens(texts, special=False)
        yield from (found if isinstance(found, RowError) else next(coded) for found in drawn)

    def _plain(self, rows: Sequence[Row]) -> Iterator[Tokens]:
        """Raw text, ended by the end-of-sequence token. A prompt in front is trained only where everything is."""
        end = self.tokenizer.eos_token or ""
        texts = [text if (text := row.prompt + row.text).endswith(end) else text + end for row in rows]
        starts = [0 if self.loss_on == "all" else len(row.prompt) for row in rows]
        drawn = [(text, [(start, len(text))]) for text, start in zip(texts, starts, strict=True)]
        return self._tokens(drawn, special=True)

    def _tokens(self, drawn: Sequence[tuple[str, list[Span]]], *, special: bool) -> Iterator[Tokens]:
        """`special`: with the tokens that the tokenizer puts around a text."""
        backend = self.tokenizer.backend_tokenizer
        # A tokenizer's file may ask for both.
        backend.no_truncation()
        backend.no_padding()
        if special or not self._sizes:
            yield from _slowly(backend, drawn, special)
            return
        coded = backend.encode_batch_fast([text for text, _ in drawn], add_special_tokens=False)
        ids = [found.ids for found in coded]
        spans = [self._sizes.spans(*each) for each in zip(ids, drawn, strict=True)]
        others = _slowly(backend, [each for each, found in zip(drawn, spans, strict=True) if found is None], special)
        if spans.count(None) > len(spans) // 2:
            self._sizes = None  # it is no use for such texts
        yield from (next(others) if span is None else Tokens(row, span) for row, span in zip(ids, spans, strict=True))


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many bytes each token stands for, of a tokenizer whose tokens are the text's bytes one after the other.

    Where a token begins is then a sum, and need not be kept by the tokenizer, which takes a quarter of its time.
    `trims`: whether spaces around a token are no part of it.
    """

    each: list[int]
    trims: bool

    @classmethod
    def of(cls, backend: Any) -> Sizes | None:
        """None where it may be otherwise."""
        from tokenizers import decoders, normalizers

        added = backend.get_added_tokens_decoder()
        swallows = any(each.lstrip or each.rstrip or each.content != each.content.strip() for each in added.values())
        bare = backend.normalizer is None or isinstance(backend.normalizer, normalizers.NFC)
        if swallows or not bare or not isinstance(backend.decoder, decoders.ByteLevel):
            return None
        if _has(backend.pre_tokenizer, b'"add_prefix_space":true'):
            return None
        sizes = {number: len(token) for token, number in backend.get_vocab(with_added_tokens=False).items()}
        sizes |= {number: len(token.content.encode()) for number, token in added.items()}
        each = [sizes.get(number, 0) for number in range(max(sizes) + 1)]
        return cls(each, _has(backend.post_processor, b'"trim_offsets":true'))

    def spans(self, ids: Sequence[int], drawn: tuple[str, list[Span]]) -> list[Span] | None:
        """As `_span` has them; None where the tokens are not the text's bytes after all."""
        text, wanted = drawn
        ends = list(accumulate(map(self.each.__getitem__, ids)))
        plain = text.isascii()
        if (ends[-1] if ends else 0) != (len(text) if plain else len(text.encode())) or not is_normalized("NFC", text):
            return None
        found: list[Span] = []
        for start, end in wanted:
            if self.trims and " " in (text[start : start + 1], text[end - 1 : end]):
                return None
            a, b = (start, end) if plain else (len(text[:start].encode()), len(text[:end].encode()))
            last = bisect_left(ends, b) + 1 if end < len(text) else len(ids)
            found.append((bisect_right(ends, a), last))
        return _learnable(found)


def _has(part: Any, setting: bytes) -> bool:
    """Whether a part of a tokenizer is set so."""
    return part is not None and setting in part.__getstate__()


def _learnable(spans: Iterable[Span]) -> list[Span]:
    """In order, none of them empty, no token in two of them. Without the first token of a row: there is nothing from
    which it could be predicted."""
    found: list[Span] = []
    behind = 1
    for start, end in spans:
        first = max(start, behind)
        if first < end:
            found.append((first, end))
            behind = end
    return found


def _slowly(backend: Any, drawn: Sequence[tuple[str, list[Span]]], special: bool) -> Iterator[Tokens]:
    """By where the tokenizer says that each token begins and ends."""
    coded = backend.encode_batch([text for text, _ in drawn], add_special_tokens=special)
    for (text, wanted), found in zip(drawn, coded, strict=True):
        yield Tokens(found.ids, _learnable(_span(found, start, end, len(text)) for start, end in wanted))


def _span(coded: Any, start: int, end: int, length: int) -> Span:
    """The tokens that stand for a stretch of characters; one that reaches into it from before belongs to it."""
    first, last = coded.char_to_token(start), coded.char_to_token(end) if end < length else len(coded.ids)
    if first is None or last is None:
        first, last = _slow_span(coded.offsets, start, end)
    elif end < length and coded.token_to_chars(last)[0] < end:
        last += 1
    return first, last


def _slow_span(offsets: Sequence[Span], start: int, end: int) -> Span:
    """The same where a character stands for no token, as white space does for some tokenizers."""
    inside = [number for number, (a, b) in enumerate(offsets) if b > start and a < end and a < b]
    return (inside[0], inside[-1] + 1) if inside else (0, 0)
