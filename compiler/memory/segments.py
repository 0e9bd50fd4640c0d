"""Bytes that PyTorch's CUDA caching allocator reserves for a sequence of allocations and frees.

The rules of c10/cuda/CUDACachingAllocator.cpp for one device, one stream and default settings, plus the two settings
that training tools change: `expandable_segments` and `roundup_power2_divisions`. Source: that file at ROCm/pytorch
08b2238 and c10/core/AllocatorConfig.h of torch 2.13.0 (cf30153). Reserved and allocated bytes were compared after every
event of thousands of random sequences with the compiled allocator of torch 2.13.0 over a driver that only counts.

- Sizes are rounded to 512 bytes. Up to 1 MiB they come from the small pool, whose segments are 2 MiB; larger ones from
  the large pool, in segments of 20 MiB below 10 MiB and of the size rounded to 2 MiB from there on.
- The smallest free block that fits is taken. It is split when 512 bytes (small pool, or expandable) or more than 1 MiB
  (large pool) would remain. A freed block joins its free neighbours.
- When the driver has no more, whole free segments are given back once and the driver is asked again.

No garbage collection and no `max_split_size_mb`: both are off by default.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from msgspec import Struct, field

from compiler.memory.device_blocks import LARGE_SEGMENT, LEAST, MIB, SMALL, SMALL_SEGMENT, Block, Cache, Driver, up
from compiler.memory.expandable import Expandable

OWN_SEGMENT = 10 * MIB
"""Sizes from here on get a segment of their own."""


class Reserved(Struct, frozen=True):
    """What a replay needed, in bytes."""

    reserved: int
    """Peak of bytes held from the driver: `torch.cuda.max_memory_reserved`."""
    allocated: int
    """Peak of live blocks, rounding included: `torch.cuda.max_memory_allocated`."""
    inactive: int
    """Reserved less live bytes right after the allocation that first reached the reserved peak."""
    retries: int
    """Times that cached segments were given back to try again: `num_alloc_retries`."""


class OutOfMemoryError(Exception):
    """The driver had no room for an event, even without cached segments. `event`: its index; `size`: bytes it asked;
    `reserved`: bytes that were held and could not be given back."""

    def __init__(self, event: int, size: int, driver: Driver) -> None:
        super().__init__(
            f"out of memory at event {event}: {size} bytes asked with {driver.reserved} of {driver.capacity} bytes "
            "reserved; raise the capacity or shrink the allocations"
        )
        self.event, self.size, self.reserved = event, size, driver.reserved


class Segments(Struct, eq=False):
    """One pool of segments that the driver gives and takes back whole (cudaMalloc, cudaFree)."""

    driver: Driver
    small: bool
    cache: Cache = field(default_factory=Cache)

    def find(self, size: int) -> Block | None:
        """Take the smallest free block that fits, the lowest address among equals."""
        order = self.cache.order
        index = bisect_left(order, (size, 0))
        return self.cache.at.pop(order.pop(index)[1]) if index < len(order) else None

    def grow(self, size: int) -> Block | None:
        """A new segment; None when the driver has no room for it."""
        length = _segment(size)
        return Block(self.driver.addresses(length), length) if self.driver.take(length) else None

    def splits(self, rest: int) -> bool:
        """Whether `rest` bytes of a found block become a free block."""
        return rest >= LEAST if self.small else rest > SMALL

    def release(self) -> None:
        """Give back every segment without a live block."""
        for block in self.cache.blocks():
            if block.before is None and block.after is None:
                self.cache.remove(block)
                self.driver.give_back(block.size)


class _Allocator(Struct, eq=False):
    driver: Driver
    small: Segments | Expandable
    large: Segments | Expandable
    live: int = 0
    allocated: int = 0
    inactive: int = 0
    retries: int = 0

    def allocate(self, size: int) -> Block | None:
        pool = self.small if size <= SMALL else self.large
        peak = self.driver.peak
        block = pool.find(size) or pool.grow(size) or self._retry(pool, size)
        if block is None:
            return None
        if pool.splits(block.size - size):
            pool.cache.add(block.cut(size))
        block.free = False
        self.live += block.size
        self.allocated = max(self.allocated, self.live)
        if self.driver.peak > peak:
            self.inactive = self.driver.peak - self.live
        return block

    def _retry(self, pool: Segments | Expandable, size: int) -> Block | None:
        self.large.release()
        self.small.release()
        self.retries += 1
        return pool.grow(size)

    def free(self, block: Block, small: bool) -> None:
        self.live -= block.size
        block.free = True
        (self.small if small else self.large).cache.merge(block)


def replay(
    events: Sequence[tuple[int, int]],
    *,
    expandable: bool = False,
    capacity: int | None = None,
    roundup_divisions: int = 0,
) -> Reserved:
    """Peaks of a sequence of (id, size): a positive size allocates that many bytes under the id, another frees it.

    `capacity`: bytes the driver can give, without the CUDA context; None has no end. `roundup_divisions`: the setting
    `roundup_power2_divisions`, a power of two; 0 is its default, off. Raises OutOfMemoryError when the capacity is too
    small, ValueError for divisions that torch refuses, an id allocated while live and an id freed while not live.
    """
    if roundup_divisions < 0 or roundup_divisions & (roundup_divisions - 1):
        raise ValueError(f"roundup_divisions is {roundup_divisions}; give a power of two, or 0 for none")
    driver = Driver(capacity)
    kind = Expandable if expandable else Segments
    allocator = _Allocator(driver, kind(driver, small=True), kind(driver, small=False))
    blocks: dict[int, tuple[Block, bool]] = {}
    for event, (key, size) in enumerate(events):
        if (size > 0) == (key in blocks):
            raise ValueError(f"event {event}: id {key} is {'not ' * (size <= 0)}live; free each allocation once")
        if size > 0:
            rounded = round_size(size, roundup_divisions)
            block = allocator.allocate(rounded)
            if block is None:
                raise OutOfMemoryError(event, size, driver)
            blocks[key] = block, rounded <= SMALL
        else:
            allocator.free(*blocks.pop(key))
    return Reserved(driver.peak, allocator.allocated, allocator.inactive, allocator.retries)


def round_size(size: int, divisions: int = 0) -> int:
    """Bytes that the allocator looks for when `size` are asked: a multiple of 512, or of one of the equal `divisions`
    between two powers of two."""
    if divisions <= 1 or size <= LEAST * divisions:
        return up(size, LEAST)
    return up(size, (1 << (size.bit_length() - 1)) // divisions)


def _segment(size: int) -> int:
    """Bytes of the new segment for a rounded size."""
    if size <= SMALL:
        return SMALL_SEGMENT
    return LARGE_SEGMENT if size < OWN_SEGMENT else up(size, SMALL_SEGMENT)
