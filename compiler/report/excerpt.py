"""Rows that are too long to show whole: question, answer and end of them, and how much lies between."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from compiler.data.showing import Stretch

WORDS: Final = 300
"""Characters of a message that are shown: a message may hold what a row holds."""


class Gap(Struct, frozen=True):
    """So many characters that are not shown."""

    characters: int


Piece = Stretch | Gap


def excerpt(stretches: Sequence[Stretch], most: int) -> list[Piece]:
    """All of a short row. In a long one first the middle of each long stretch is left out, then the row's own."""
    whole: list[Piece] = [stretch for stretch in stretches if stretch.text]
    if sum(map(_shown, whole)) <= most:
        return whole
    shorter = [piece for stretch in stretches if stretch.text for piece in _ends(stretch, most // 4)]
    reached = list(accumulate(map(_shown, shorter)))
    if reached[-1] <= most:
        return shorter
    head = sum(end <= most * 3 // 4 for end in reached)
    tail = next(at for at, end in enumerate(reached) if reached[-1] - end <= most // 4) + 1
    return [*shorter[:head], Gap(sum(map(_length, shorter[head:tail]))), *shorter[tail:]]


def brief(said: str) -> str:
    """A message without the rest of what is long in it."""
    return said if len(said) <= WORDS else f"{said[: WORDS * 2 // 3]} … {said[-WORDS // 3 :]}"


def _ends(stretch: Stretch, most: int) -> list[Piece]:
    text, third = stretch.text, most // 3
    if len(text) <= most:
        return [stretch]
    first, last = text[: 2 * third], text[-third:]
    return [replace(stretch, text=first), Gap(len(text) - 3 * third), replace(stretch, text=last)]


def _shown(piece: Piece) -> int:
    return len(piece.text) if isinstance(piece, Stretch) else 0


def _length(piece: Piece) -> int:
    return len(piece.text) if isinstance(piece, Stretch) else piece.characters
