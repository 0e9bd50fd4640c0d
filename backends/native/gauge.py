# pyright: basic
# Strict typing stops at torch.cuda, some of whose results are untyped.
"""Gauges of memory: each reads the peaks since it was last read, in bytes.

`allocated`: live tensors. `reserved`: what the allocator holds. `device`: what the driver, or the kernel, counts.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

QUERY = ("nvidia-smi", "--query-gpu=uuid,memory.used", "--format=csv,noheader,nounits")
QUERY_SECONDS = 10
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FORGET_PEAK = "5"
"""What Linux wants to be told to begin a new peak (proc_pid_clear_refs(5))."""


def others_use() -> dict[str, int]:
    """Bytes in use on each card, by its UUID, asked before this process has anything there; empty if nobody answers."""
    try:
        answer = subprocess.run(QUERY, capture_output=True, text=True, timeout=QUERY_SECONDS, check=True)  # noqa: S603 (a constant)
    except (OSError, subprocess.SubprocessError):
        return {}
    lines = [line.partition(",") for line in answer.stdout.splitlines()]
    return {uuid.strip().removeprefix("GPU-"): int(used) << 20 for uuid, _, used in lines if used.strip().isdigit()}


class CardGauge:
    """Of a CUDA card. `used`: what `others_use` said before."""

    def __init__(self, device: str, used: dict[str, int]) -> None:
        self.device = torch.device(device)
        self.properties = torch.cuda.get_device_properties(self.device)
        self.before = used.get(str(self.properties.uuid))
        self.total = torch.cuda.mem_get_info(self.device)[1]
        self.read()

    def read(self) -> dict[str, int]:
        """The peaks; of the driver's figure the present one: the allocator gives nothing back between phases."""
        torch.cuda.synchronize(self.device)
        free, total = torch.cuda.mem_get_info(self.device)
        found = {
            "allocated": torch.cuda.max_memory_allocated(self.device),
            "reserved": torch.cuda.max_memory_reserved(self.device),
            "device": total - free - (self.before or 0),
        }
        torch.cuda.reset_peak_memory_stats(self.device)
        return found

    def about(self) -> dict[str, Any]:
        if self.before is None:
            how = "device: the driver's total less free, with what other processes use: nvidia-smi did not answer"
        else:
            how = (
                f"device: the driver's total less free, and less {self.before >> 20} MiB that nvidia-smi saw in use "
                "before"
            )
        return {
            "kind": "cuda",
            "name": self.properties.name,
            "total": self.total,
            "before": self.before,
            "how": how,
        }


class HostGauge:
    """Of main memory, where there is no card. What of it are tensors nobody counts: what the process did not have
    before is taken for them."""

    def __init__(self) -> None:
        self.anew = _forget_peak()
        self.before = _resident("VmRSS")

    def read(self) -> dict[str, int]:
        peak = _resident("VmHWM")
        _forget_peak()
        tensors = max(peak - self.before, 0)
        return {"allocated": tensors, "reserved": tensors, "device": peak}

    def about(self) -> dict[str, Any]:
        since = "a phase" if self.anew else "the process, as phases cannot be told apart here"
        return {
            "kind": "cpu",
            "name": platform.processor() or platform.machine(),
            "total": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "before": self.before,
            "how": (
                f"host memory: device is the resident peak of {since}; allocated and reserved are what it has "
                f"beyond the {self.before >> 20} MiB of the process before the model"
            ),
        }


def _forget_peak() -> bool:
    """Begin a new peak; False where the system cannot."""
    try:
        CLEAR.write_text(FORGET_PEAK, "ascii")
    except OSError:
        return False
    return True


def _resident(field: str) -> int:
    """Bytes of this process in main memory: `VmRSS` now, `VmHWM` at most; without /proc at most in both cases."""
    try:
        lines = STATUS.read_text("ascii").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(field))
