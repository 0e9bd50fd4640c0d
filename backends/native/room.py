# pyright: basic, reportPrivateImportUsage=false
# Strict typing stops at torch, whose errors are untyped.
"""In words, that memory ran out: what was planned, what there is, and which change of the recipe helps.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

import torch

GIB = 1 << 30
TORCH = ("DefaultCPUAllocator", "CUDA out of memory", "CUDA error: out of memory")
"""By which torch's errors tell it where their type does not."""
USUAL = (
    "lower training.micro_batch_size, turn training.gradient_checkpointing on, or lower data.max_length",
    "close what else runs there, or plan for less with hardware.reserve",
)
Plan = dict[str, Any]


def is_short(error: BaseException) -> bool:
    """Whether memory ran out."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in str(error) for word in TORCH)


def shortage(error: BaseException, plan: Plan) -> str:
    """What to know of it, in a paragraph."""
    memory, lines = plan["derived"]["memory"], str(error).splitlines()
    planned = memory.get("device_gib")
    on_card = isinstance(error, torch.OutOfMemoryError) and torch.cuda.is_available()
    what, actual = ("GPU", _of_card()) if on_card else ("machine", _of_machine())
    return (
        f"the {what} ran out of memory. Planned: {f'{planned:.2f} GiB' if planned else 'unknown'}; {actual}.\n"
        + "".join(f"  {line}\n" for line in _fixes(memory.get("fixes") or ()))
        + (f"({lines[0]})" if lines else "")
    ).rstrip()


def _fixes(fixes: Any) -> list[str]:
    """The plan's own changes, each with what it would need; where it has none, what usually helps."""
    if not fixes:
        return list(USUAL)
    said = [
        f"{', '.join(f'{path} = {json.dumps(value)}' for path, value in fix['set'].items())}: "
        f"about {fix['device_gib']:.2f} GiB; {fix['costs']}"
        for fix in fixes
    ]
    return [*said, f"or {USUAL[1]}"]


def _of_card() -> str:
    free, total = (size / GIB for size in torch.cuda.mem_get_info())
    ours, held = torch.cuda.max_memory_allocated() / GIB, torch.cuda.max_memory_reserved() / GIB
    others = total - free - torch.cuda.memory_reserved() / GIB
    return (
        f"this run had {ours:.2f} GiB at most, {held:.2f} GiB with what its allocator held, of the card's {total:.1f} "
        f"GiB; others and the driver have {max(0.0, others):.1f} GiB"
    )


def _of_machine() -> str:
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    allowed = f", and may have {limit / GIB:.1f} GiB of addresses" if limit != resource.RLIM_INFINITY else ""
    return f"this run had {resident / GIB:.2f} GiB at most, of the machine's {total / GIB:.1f} GiB{allowed}"
