"""The interval around what the driver is expected to report."""

from __future__ import annotations

from math import hypot
from typing import Final

from msgspec import Struct

from compiler.memory.allocator import Gap
from compiler.memory.phases import Moment
from schemas.footprint import Confidence

SPREAD: Final[dict[Confidence, float]] = {"high": 0.03, "medium": 0.05, "low": 0.15}
"""How far live tensors may be from the formula, as a share. Traces differ from it by 3 % at most where it was checked;
published readings of live tensors, taken on other versions of the libraries, by 5 %."""
CONTEXT: Final = 0.3
"""How far the CUDA context may be from its usual size, as a share: it grows with the kernels that are loaded."""


class Spread(Struct, frozen=True):
    """`ground`: bytes beside torch's. `share`: how far live tensors may be off. `doubled`: bytes that may be there
    twice, where the model's layers were assumed to be like others."""

    peak: Moment
    loose: Gap
    ground: int
    share: float
    doubled: int

    @property
    def device(self) -> int:
        """What the driver is expected to report."""
        return self.peak.total + self.loose.expected + self.ground

    @property
    def low(self) -> int:
        """The lower end. Live tensors, unused memory and the context do not depend on each other."""
        off = hypot(self.share * self.peak.total, self.loose.below, CONTEXT * self.ground)
        return max(self.device - int(off), int(self.peak.total * (1 - self.share)))

    @property
    def high(self) -> int:
        """The upper end."""
        return (
            self.device
            + int(hypot(self.share * self.peak.total, self.loose.above, CONTEXT * self.ground))
            + self.doubled
        )
