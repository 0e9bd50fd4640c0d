# pyright: basic
# Strict typing stops at numpy, whose types are loose.
"""Rows that are nearly the same: an estimate, in memory that does not grow with their number.

A row's sketch are the least values of several hash functions over all stretches of eight bytes of its text (MinHash,
Broder 1997): two rows agree in each with the probability of the share of stretches that they have in common. Of many
rows those with the least first values are kept: rows that are alike are kept together.
"""

from __future__ import annotations

import heapq
import json
import re
from collections.abc import Container
from typing import Any, Final

from msgspec import Struct

from backends.native.formats import Message, Row

AGREEING: Final = 7
"""So many values of two sketches are the same where rows are called nearly the same: about nine tenths of the text."""
STRETCH: Final = 8
"""Bytes."""
KEPT: Final = 20_000
"""Rows of which the sketch is kept."""
FACTORS: Final = (
    *(0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93),
    *(0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB),
)
"""Odd, their bits well mixed: constants of published hash functions (splitmix64, MurmurHash3, xxHash)."""

Sketch = tuple[int, ...]
_SPACE: Final = re.compile(r"\s+")


class Alike(Struct, frozen=True):
    """How many of the `looked_at` rows are nearly the same as an earlier one, and the first such pairs by their order
    among all rows. `looked_at` is fewer than there are where there are many."""

    rows: int
    looked_at: int
    pairs: tuple[tuple[int, int], ...]


def sketch(row: Row) -> Sketch | None:
    """A row's sketch; None for a text that is too short to have one."""
    import numpy as np

    turns = (*row.messages, *row.chosen, *row.rejected)
    text = " ".join([row.prompt, row.text, *(_said(turn) for turn in turns if turn["role"] != "system")])
    data = np.frombuffer(_SPACE.sub(" ", text.lower()).strip().encode("utf-8", "replace"), np.uint8)
    if len(data) < 2 * STRETCH:
        return None
    windows: Any = np.lib.stride_tricks.sliding_window_view(data, STRETCH)
    stretches = np.ascontiguousarray(windows).view(np.uint64).ravel()
    return tuple(int(_mixed(stretches, factor).min()) for factor in FACTORS)


def _said(turn: Message) -> str:
    """A turn's text and its calls: answers that consist of nothing else differ in them alone."""
    called = (call.get("function", call) for call in turn.get("tool_calls") or ())
    return " ".join([turn["content"], *(f"{each['name']} {_as_json(each.get('arguments'))}" for each in called)])


def _as_json(arguments: Any) -> str:
    """Arguments of a call, which may be JSON already."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, default=str)


def _mixed(values: Any, factor: int) -> Any:
    import numpy as np

    mixed = values * np.uint64(factor)
    mixed ^= mixed >> np.uint64(32)
    return mixed * np.uint64(factor)


class Sketches:
    """Add every row's sketch, then ask."""

    def __init__(self) -> None:
        # The greatest first value on top, so that it is the one to go.
        self._heap: list[tuple[int, int, Sketch]] = []
        self._seen = 0

    def add(self, order: int, found: Sketch) -> None:
        """Remember a row."""
        self._seen += 1
        item = (-found[0], -order, found)
        if len(self._heap) < KEPT:
            heapq.heappush(self._heap, item)
        elif item > self._heap[0]:
            heapq.heapreplace(self._heap, item)

    @property
    def orders(self) -> frozenset[int]:
        """The rows that are looked at."""
        return frozenset(-order for _, order, _ in self._heap)

    def alike(self, repeated: Container[int], shown: int) -> Alike:
        """Rows that are nearly the same as an earlier one, those that are the same (`repeated`) left out."""
        kept = sorted((-order, found) for _, order, found in self._heap)
        buckets: dict[tuple[int, int], int] = {}
        pairs: list[tuple[int, int]] = []
        sketches = dict(kept)
        for order, found in kept:
            near = {buckets.setdefault((at, value), order) for at, value in enumerate(found)} - {order}
            earlier = next((other for other in sorted(near) if _agree(sketches[other], found)), None)
            if earlier is not None and order not in repeated:
                pairs.append((earlier, order))
        return Alike(len(pairs), len(kept), tuple(pairs[:shown]))


def _agree(one: Sketch, other: Sketch) -> bool:
    return sum(a == b for a, b in zip(one, other, strict=True)) >= AGREEING
