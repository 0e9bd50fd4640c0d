"""Rows that stand in the data more than once, found in memory that does not grow with their number.

A row is remembered as a hash and its place. The pairs go into files by the hash's first bits, so that each file alone
holds all that can be alike.
"""

from __future__ import annotations

import heapq
import json
from array import array
from collections.abc import Iterator
from hashlib import blake2b
from tempfile import SpooledTemporaryFile
from typing import Final

from msgspec import Struct

from backends.native.findings import SHOWN
from backends.native.formats import Row

BUCKETS: Final = 64
IN_MEMORY: Final = 1 << 18
"""Bytes of a bucket before it goes to the disk."""
AT_ONCE: Final = 1 << 12
"""Numbers that are written at once."""


class Seen(Struct, frozen=True):
    """A row by its order among all that were added, and whether it is one to validate with."""

    order: int
    held: bool


class FirstPairs:
    """Pairs of rows by their order, of which there may be many: the first ones are kept, the others counted."""

    def __init__(self) -> None:
        self._last: list[tuple[int, int]] = []
        self.count = 0

    def add(self, row: int, other: int) -> None:
        """Count a row that is like another."""
        self.count += 1
        heapq.heappush(self._last, (-row, other))
        if len(self._last) > SHOWN:
            heapq.heappop(self._last)

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The first ones, in order."""
        return sorted((-row, other) for row, other in self._last)


def fingerprint(row: Row) -> int:
    """64 bits of a row's content, whatever its place and weight."""
    said = [row.messages, row.tools, row.prompt, row.text, row.chosen, row.rejected, row.label]
    text = json.dumps(said, ensure_ascii=False, sort_keys=True, default=str)
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


class Fingerprints:
    """Add every row, then ask once. An order must be below 2**62."""

    def __init__(self) -> None:
        self._files = [SpooledTemporaryFile[bytes](IN_MEMORY) for _ in range(BUCKETS)]
        self._waiting = [array("Q") for _ in range(BUCKETS)]

    def add(self, mark: int, order: int, *, held: bool) -> None:
        """Remember a row by its fingerprint."""
        bucket = mark % BUCKETS
        waiting = self._waiting[bucket]
        waiting.extend((mark, order << 1 | held))
        if len(waiting) >= AT_ONCE:
            self._files[bucket].write(waiting.tobytes())
            del waiting[:]

    def repeated(self) -> Iterator[tuple[Seen, ...]]:
        """All rows that are the same, wherever there are several, in order."""
        for file, waiting in zip(self._files, self._waiting, strict=True):
            file.write(waiting.tobytes())
            file.seek(0)
            yield from _groups(array("Q", file.read()))
            file.close()


def _groups(pairs: array[int]) -> Iterator[tuple[Seen, ...]]:
    first: dict[int, int] = {}
    more: dict[int, list[int]] = {}
    for at in range(0, len(pairs), 2):
        mark, packed = pairs[at], pairs[at + 1]
        earlier = first.setdefault(mark, packed)
        if earlier != packed:
            more.setdefault(mark, [earlier]).append(packed)
    for packed in more.values():
        yield tuple(Seen(each >> 1, bool(each & 1)) for each in packed)
