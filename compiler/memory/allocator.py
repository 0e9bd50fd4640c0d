"""From live tensors to what the driver reports: the CUDA context, and memory the caching allocator cannot reuse.

Fragmentation is made by logits-sized blocks. On 101 published runs on one A100 (benchmarks of
foundation-model-stack/fms-acceleration) and 11 on an RTX 4080 (DaoyuanLi2816/can-i-finetune-this), the gap less the
context was 0.1-0.6 of one float32 logits tensor (4 V T bytes) with a fused loss, and 0.2-3.7 with full logits.
"""

from __future__ import annotations

from msgspec import Struct

from compiler.memory.stacks import Profile
from schemas.facts import GIB, Gpu
from schemas.plan import Plan
from schemas.recipe import Loss

CONTEXT = GIB // 2
"""Bytes of a CUDA context on Ampere and later."""
CONTEXT_CPU = GIB // 2
"""Bytes of Python with torch, transformers, peft and trl: 0.54 to 0.64 GiB resident in runs of models of a few MiB."""
CONTEXT_OLD = GIB // 5
"""On Turing and Volta: 0.14 GiB was read on a T4, and libraries add to it."""
LOGITS = (0.2, 1.1, 2.6)
"""Low, expected and high gap with full logits, in float32 logits tensors."""
GENERAL = (0.01, 0.05, 0.1)
"""The same of everything else, as a share of live tensors."""
SMALL = 20 * (1 << 20)
"""Bytes of the allocator's smallest large segment: there is always part of one unused."""
SEVERAL_CARDS = 1.5
"""How much larger the gap is on several cards."""
EXPANDABLE = 0.5
"""What expandable segments leave of the gap."""

CUBLAS = 2 * 8_519_680
"""Bytes of cuBLAS workspaces, one for the forward and one for the backward thread: torch's default, :4096:2:16:8."""
CUBLAS_HOPPER = 2 * 32 * (1 << 20)
"""The same from compute capability 9 on."""


class Gap(Struct, frozen=True):
    """Reserved but unused bytes: a low, an expected and a high figure."""

    low: int
    expected: int
    high: int


def context(gpu: Gpu | None) -> int:
    """Bytes that a process takes on the card before its first tensor; on a CPU, the process itself."""
    if gpu is not None and gpu.is_cpu:
        return CONTEXT_CPU
    old = gpu is not None and gpu.compute_capability is not None and gpu.compute_capability < 8
    return CONTEXT_OLD if old else CONTEXT


def cublas(gpu: Gpu | None) -> int:
    """Bytes that cuBLAS takes from torch's own allocator."""
    if gpu is not None and gpu.is_cpu:
        return 0
    new = gpu is not None and gpu.compute_capability is not None and gpu.compute_capability >= 9
    return CUBLAS_HOPPER if new else CUBLAS


def gap(plan: Plan, stack: Profile, allocated: int, logits: int, loss: Loss) -> Gap:
    """Fragmentation. `logits`: bytes of one float32 logits tensor. Several cards have more of it: the same runs on two
    and four cards under FSDP had a median ratio of 1.32 and 1.37 where one card had 1.22."""
    scale = (EXPANDABLE if stack.expandable_segments else 1) * (SEVERAL_CARDS if plan.devices > 1 else 1)
    least = 0 if plan.gpu is not None and plan.gpu.is_cpu else SMALL
    whole = loss == "full" or (stack.tile.whole > 0 and plan.training.kernels != "liger")
    blocks = logits if whole else 0
    low, expected, high = (
        int(scale * (share * allocated + factor * blocks)) + least
        for share, factor in zip(GENERAL, LOGITS, strict=True)
    )
    return Gap(low, expected, high)
