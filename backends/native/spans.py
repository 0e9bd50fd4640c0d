"""Which tokens stand for a stretch of text: asked of the tokenizer, or summed up where tokens are the text's bytes.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any
from unicodedata import is_normalized

from backends.native.chat import Drawn, Span


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

    def spans(self, ids: Sequence[int], drawn: Drawn) -> list[Span] | None:
        """As `slowly` has them; None where the tokens are not the text's bytes after all."""
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


def slowly(backend: Any, drawn: Sequence[Drawn], special: bool) -> Iterator[tuple[list[int], list[Span]]]:
    """The tokens of texts and those that are trained, by where the tokenizer says that each begins and ends."""
    coded = backend.encode_batch([text for text, _ in drawn], add_special_tokens=special)
    for (text, wanted), found in zip(drawn, coded, strict=True):
        yield found.ids, _learnable(_span(found, start, end, len(text)) for start, end in wanted)


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
