"""What a run asks of the machines that it is started on. All sizes in bytes."""

from __future__ import annotations

from math import ceil
from typing import Final

from msgspec import Struct

from schemas.facts import GIB, Gpu

PACKAGES: Final = "packages"
"""The environment that a run makes for itself."""


class Part(Struct, frozen=True):
    """Something that lies on the disk: what, how much, and how that is known."""

    what: str
    size: int
    because: str


class Needs(Struct, frozen=True):
    """Of each of `nodes` machines: `count` cards, `cores`, `memory` and the `disk`, part by part. `hours`: of the whole
    run at the most, None where nobody knows."""

    gpu: Gpu
    nodes: int
    count: int
    cores: int
    memory: int
    disk: tuple[Part, ...]
    hours: float | None

    @property
    def memory_gib(self) -> int:
        """Main memory in whole GiB."""
        return ceil(self.memory / GIB)

    @property
    def packages_gib(self) -> int:
        """What lies on the machine's own disk in any case, in whole GiB."""
        return ceil(sum(part.size for part in self.disk if part.what == PACKAGES) / GIB)

    @property
    def disk_gib(self) -> int:
        """All that lies on the disk, in whole tens of GiB."""
        return 10 * ceil(sum(part.size for part in self.disk) / GIB / 10)
