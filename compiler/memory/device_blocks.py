"""Blocks of device memory, the free ones in best-fit order, and the driver that gives their bytes."""

from __future__ import annotations

from bisect import bisect_left, insort

from msgspec import Struct, field

MIB = 1 << 20
LEAST = 512
"""Bytes that every size is rounded up to, and the least that is split off."""
SMALL = MIB
"""Largest size of the small pool."""
SMALL_SEGMENT = 2 * MIB
LARGE_SEGMENT = 20 * MIB
BOUNDLESS = 1 << 50
"""Bytes of an expandable segment's addresses when the device has no stated capacity."""


class Driver(Struct):
    """What the driver can give: bytes up to a capacity, and addresses that are never given twice.

    CUDA may hand out a freed address again; the allocator sees addresses in one place only, between free blocks of the
    same size.
    """

    capacity: int | None
    reserved: int = 0
    peak: int = 0
    address: int = 0

    def take(self, size: int) -> bool:
        """Reserve `size` bytes; False when there is no room."""
        if self.capacity is not None and self.reserved + size > self.capacity:
            return False
        self.reserved += size
        self.peak = max(self.peak, self.reserved)
        return True

    def give_back(self, size: int) -> None:
        self.reserved -= size

    def addresses(self, size: int) -> int:
        """The first of `size` new addresses, a multiple of the large page."""
        start = self.address
        self.address += up(size, LARGE_SEGMENT)
        return start


class Block(Struct, eq=False):
    """A range of addresses between its neighbours of the same segment. Not mapped: addresses without bytes."""

    address: int
    size: int
    before: Block | None = None
    after: Block | None = None
    free: bool = True
    mapped: bool = True

    def absorb(self, other: Block) -> None:
        """Take over a neighbour's range and its place between neighbours."""
        if other is self.before:
            self.address, self.before = other.address, other.before
            if other.before is not None:
                other.before.after = self
        else:
            self.after = other.after
            if other.after is not None:
                other.after.before = self
        self.size += other.size

    def cut(self, size: int) -> Block:
        """Keep the first `size` bytes and return the rest as the next neighbour."""
        rest = Block(self.address + size, self.size - size, self, self.after, self.free, self.mapped)
        if self.after is not None:
            self.after.before = rest
        self.after, self.size = rest, size
        return rest


class Cache(Struct, eq=False):
    """Free mapped blocks of one pool, smallest first and by address among equals."""

    order: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    at: dict[int, Block] = field(default_factory=dict[int, Block])

    def add(self, block: Block) -> None:
        insort(self.order, (block.size, block.address))
        self.at[block.address] = block

    def remove(self, block: Block) -> None:
        del self.order[bisect_left(self.order, (block.size, block.address))]
        del self.at[block.address]

    def merge(self, block: Block) -> None:
        """Add a block joined with its free neighbours."""
        for other in (block.before, block.after):
            if other is not None and other.free and other.mapped:
                self.remove(other)
                block.absorb(other)
        self.add(block)

    def blocks(self) -> list[Block]:
        """All of them, smallest first."""
        return [self.at[address] for _, address in self.order]


def up(size: int, unit: int) -> int:
    """`size` rounded up to a multiple of `unit`."""
    return -(-size // unit) * unit
