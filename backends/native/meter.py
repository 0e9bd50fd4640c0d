# pyright: basic
# Strict typing stops at torch.cuda and at transformers, whose callbacks take untyped keywords.
"""How much memory a run takes in each of its phases, read as it goes and without waiting for the device.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import resource
import sys
from typing import Any

import torch
from transformers import TrainerCallback

from backends.native.gauge import HostGauge

GIB = 1 << 30
Sizes = dict[str, int]


class CardPeaks:
    """The allocator's own peaks since they were last read. It counts as memory is asked for, not as the card computes,
    so nothing is waited for."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)

    def read(self) -> Sizes:
        if not torch.cuda.is_initialized():
            return {}
        stats = torch.cuda.memory_stats_as_nested_dict(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        return {name: stats[f"{name}_bytes"]["all"]["peak"] for name in ("allocated", "reserved")}


class Meter(TrainerCallback):
    """Made before the model is loaded: on a CPU, what the process has by then is its own.

    `phases`: the peaks of each so far, in bytes. On a card `allocated` (live tensors) and `reserved`; on a CPU
    `allocated` is what the process has beyond its own, `device` all that it has.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self._gauge = HostGauge() if device == "cpu" else CardPeaks(device)
        self.phases: dict[str, Sizes] = {}
        self._since: dict[str, int] = {}
        self._gauge.read()

    def end(self, phase: str) -> None:
        """What was taken since the last phase ended was this one's."""
        found, before = self._gauge.read(), self.phases.get(phase, {})
        self.phases[phase] = {name: max(size, before.get(name, 0)) for name, size in found.items()}
        self._since[phase] = max(found.get("allocated", 0), self._since.get(phase, 0))

    def since(self) -> dict[str, float]:
        """Live tensors of each phase since this was last asked, GiB."""
        found, self._since = self._since, {}
        return {phase: gib(size) for phase, size in found.items()}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.end("load")

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.end("step")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.end("optimizer")

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.end("save")

    def peak(self, name: str) -> int:
        """The most of a kind that any phase took."""
        return max((sizes.get(name, 0) for sizes in self.phases.values()), default=0)

    @property
    def taken(self) -> float:
        """GiB so far: live tensors of a card, or this process on a CPU."""
        return gib(self.peak("device" if self.device == "cpu" else "allocated"))

    def measured(self) -> dict[str, float]:
        """Peaks so far in GiB: of the card as allocator and driver see it, and of this process."""
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        found = {"resident_gib": gib(max(resident, self.peak("device")))}
        if self.device == "cpu":
            return found
        free, total = torch.cuda.mem_get_info(torch.device(self.device))
        # By now the allocator may have given memory back: what is beside it, and the most that it had.
        now, most = torch.cuda.memory_reserved(torch.device(self.device)), self.peak("reserved")
        named = {"allocated": self.peak("allocated"), "reserved": most, "device": total - free - now + max(now, most)}
        return {**{f"{name}_gib": gib(size) for name, size in named.items()}, **found}

    def by_phase(self) -> dict[str, float]:
        """Live tensors of each phase at most, GiB."""
        return {phase: gib(sizes.get("allocated", 0)) for phase, sizes in self.phases.items()}


def gib(size: int) -> float:
    """Bytes in GiB, as they are written."""
    return round(size / GIB, 3)
