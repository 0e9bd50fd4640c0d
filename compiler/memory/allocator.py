"""From live tensors to what the driver reports: the CUDA context, and memory the caching allocator cannot reuse.

How much that is was read off traces: the allocations of some 280 traced runs (`bench/memory.py`, seed 1) were replayed
through the allocator's model (`segments`), and what was reserved beside live tensors was fitted by two terms. No
published reading is among them.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from compiler.memory.stacks import Profile
from schemas.facts import GIB, Gpu
from schemas.plan import Plan
from schemas.recipe import Loss

CONTEXT = GIB // 2
"""Bytes of a CUDA context on Ampere and Ada."""
CONTEXT_HOPPER = 73 * GIB // 100
"""On Hopper and later: 0.73 to 0.80 GiB were read in 18 runs on an H100 (bench/results/h100.jsonl)."""
CONTEXT_CPU = GIB // 2
"""Bytes of Python with torch, transformers, peft and trl: 0.54 to 0.64 GiB resident in runs of models of a few MiB."""
CONTEXT_OLD = GIB // 5
"""On Turing and Volta: 0.14 GiB was read on a T4, and libraries add to it."""


class Fit(Struct, frozen=True):
    """Reserved but unused bytes: `logits` float32 logits tensors and a share `live` of live tensors beside the base's
    weights. `below`, `above`: shares of live tensors between which 19 of 20 replays lay around that."""

    logits: float
    live: float
    below: float
    above: float


FITS: Final[dict[tuple[bool, bool], Fit]] = {
    (True, False): Fit(0.41, 0.095, below=0.09, above=0.27),
    (False, False): Fit(0.0, 0.095, below=0.065, above=0.10),
    (True, True): Fit(0.40, 0.038, below=0.095, above=0.09),
    (False, True): Fit(0.0, 0.038, below=0.025, above=0.11),
}
"""By whether logits exist as a whole, and whether segments can grow."""
VARIED = 0.3
"""Share of live tensors beside the base's weights that rows of different length may add where whole logits meet
segments that cannot grow. Of eight runs replayed over eleven steps of random length six took nothing more, one with
adapters 0.2 and one that trained all weights 0.8; segments that grow took nothing more in any. Segments that are all
free are given back before memory runs out, so that the last figure is no requirement."""
SMALL = 20 * (1 << 20)
"""Bytes of the allocator's smallest large segment: there is always part of one unused."""
SEVERAL_CARDS = 1.5
"""How much larger the gap is on several cards."""

CUBLAS = 2 * 8_519_680
"""Bytes of cuBLAS workspaces, one for the forward and one for the backward thread: torch's default, :4096:2:16:8."""
CUBLAS_HOPPER = 2 * 32 * (1 << 20)
"""The same from compute capability 9 on."""


class Live(Struct, frozen=True):
    """Bytes of live tensors at the peak: `total`, of the base's weights among them, and of one float32 tensor of all
    logits, whether there is one or not."""

    total: int
    weights: int
    logits: int


class Gap(Struct, frozen=True):
    """Reserved but unused bytes: `expected`, and by how much they may be less or more."""

    expected: int
    below: int
    above: int


def context(gpu: Gpu | None) -> int:
    """Bytes that a process takes on the card before its first tensor; on a CPU, the process itself."""
    if gpu is not None and gpu.is_cpu:
        return CONTEXT_CPU
    capability = gpu.compute_capability if gpu is not None and gpu.compute_capability is not None else None
    if capability is None or 8 <= capability < 9:
        return CONTEXT
    return CONTEXT_OLD if capability < 8 else CONTEXT_HOPPER


def cublas(gpu: Gpu | None) -> int:
    """Bytes that cuBLAS takes from torch's own allocator."""
    if gpu is not None and gpu.is_cpu:
        return 0
    new = gpu is not None and gpu.compute_capability is not None and gpu.compute_capability >= 9
    return CUBLAS_HOPPER if new else CUBLAS


def gap(plan: Plan, stack: Profile, live: Live, loss: Loss, *, varied: bool) -> Gap:
    """Fragmentation. `varied`: whether rows differ in length. Several cards have more of it: the same runs on two and
    four cards under FSDP had a median ratio of 1.32 and 1.37 where one card had 1.22."""
    if plan.gpu is not None and plan.gpu.is_cpu:
        return Gap(live.total // 20, live.total // 25, live.total // 20)
    whole = loss == "full" or (stack.tile.whole > 0 and plan.training.kernels != "liger")
    fit = FITS[whole, stack.expandable_segments]
    scale = SEVERAL_CARDS if plan.devices > 1 else 1
    expected = fit.logits * live.logits + fit.live * (live.total - live.weights)
    holes = VARIED if varied and whole and not stack.expandable_segments else 0
    return Gap(
        int(scale * expected) + SMALL,
        int(fit.below * live.total),
        int(scale * fit.above * live.total + holes * (live.total - live.weights)),
    )
