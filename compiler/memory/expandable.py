"""A pool of `expandable_segments:True`: ranges of addresses whose pages get memory as they are needed.

Source: as `compiler.memory.segments`: ExpandableSegment, find_expandable_block, map_block and unmap_block there.
"""

from __future__ import annotations

from bisect import bisect_left

from msgspec import Struct, field

from compiler.memory.device_blocks import BOUNDLESS, LARGE_SEGMENT, LEAST, SMALL_SEGMENT, Block, Cache, Driver, up


class Expandable(Struct, eq=False):
    """One pool: pages of 2 MiB for small blocks, of 20 MiB for large ones. `holes`: unmapped blocks by address."""

    driver: Driver
    small: bool
    cache: Cache = field(default_factory=Cache)
    holes: dict[int, Block] = field(default_factory=dict[int, Block])

    @property
    def page(self) -> int:
        """Bytes that are mapped and unmapped at once."""
        return SMALL_SEGMENT if self.small else LARGE_SEGMENT

    def find(self, size: int) -> Block | None:
        """Best fit, where a block before a hole counts as large as it could grow: the tail is kept for growth."""
        order, at = self.cache.order, self.cache.at
        index = bisect_left(order, (size, 0))
        if index == len(order):
            return None
        block = at[order[index][1]]
        while index + 1 < len(order) and _reach(at[order[index + 1][1]]) < _reach(block):
            index += 1
            block = at[order[index][1]]
        self.cache.remove(block)
        return block

    def grow(self, size: int) -> Block | None:
        """Map pages at the lowest addresses with room for `size`, the free block before them included. None when the
        driver has no more: what was mapped so far stays, as free blocks."""
        block = self._room(size)
        if not block.mapped and not self._map(block, min(block.size, size)):
            return None
        while block.size < size:
            hole = block.after
            if hole is None or not self._map(hole, min(hole.size, size - block.size)):
                return None
            block = hole
        self.cache.remove(block)
        return block

    def splits(self, rest: int) -> bool:
        """Whether `rest` bytes of a found block become a free block."""
        return rest >= LEAST

    def release(self) -> None:
        """Unmap every page that no live block touches."""
        for block in self.cache.blocks():
            self._unmap(block)

    def _room(self, size: int) -> Block:
        for address in sorted(self.holes):
            hole = self.holes[address]
            start = hole.before if hole.before is not None and hole.before.free else hole
            if _free_run(start, size):
                return start
        capacity = self.driver.capacity
        # torch takes addresses for 9/8 of the card, so that pages unmapped early can be mapped again at the end.
        length = BOUNDLESS if capacity is None else up(capacity + capacity // 8, self.page)
        block = Block(self.driver.addresses(length), length, mapped=False)
        self.holes[block.address] = block
        return block

    def _map(self, hole: Block, size: int) -> bool:
        mapped = up(size, self.page)
        if not self.driver.take(mapped):
            return False
        del self.holes[hole.address]
        if mapped < hole.size:
            rest = hole.cut(mapped)
            self.holes[rest.address] = rest
        hole.mapped = True
        self.cache.merge(hole)
        return True

    def _unmap(self, block: Block) -> None:
        page, end = self.page, block.address + block.size
        start, stop = up(block.address, page), end // page * page
        if start >= stop:
            return
        self.cache.remove(block)
        if stop < end:
            self.cache.add(block.cut(stop - block.address))
        hole = block
        if block.address < start:
            hole = block.cut(start - block.address)
            self.cache.add(block)
        self.driver.give_back(hole.size)
        self._open(hole)

    def _open(self, hole: Block) -> None:
        """Join a hole with the holes beside it; a segment that is one hole is given up."""
        hole.mapped = False
        for other in (hole.before, hole.after):
            if other is not None and not other.mapped:
                del self.holes[other.address]
                hole.absorb(other)
        if hole.before is not None or hole.after is not None:
            self.holes[hole.address] = hole


def _reach(block: Block) -> int:
    """Bytes a free block could grow to."""
    after = block.after
    return block.size + (after.size if after is not None and not after.mapped else 0)


def _free_run(block: Block | None, size: int) -> bool:
    """Whether free blocks and holes from `block` on have `size` bytes of addresses in a row."""
    found = 0
    while found < size and block is not None and block.free:
        found += block.size
        block = block.after
    return found >= size
