"""What may be chosen: for each open leaf the values that the target takes, and which of them round the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from backends import TARGETS, load
from backends.base import pattern, refused
from backends.kernels import LIGER
from compiler.memory.stacks import PLAIN, profile
from schemas.artifact import Target
from schemas.footprint import Stack
from schemas.plan import Plan, leaf

ATTENTION: Final = "model.attention"
MICRO: Final = "training.micro_batch_size"
CHECKPOINTING: Final = "training.gradient_checkpointing"
LOSS: Final = "training.loss"
KERNELS: Final = "training.kernels"
OPTIMIZER: Final = "training.optimizer"
ADAPTERS: Final = "method.adapter_dtype"
STRATEGY: Final = "hardware.strategy"
EVALUATION: Final = "evaluation.batch_size"

AXES: Final[Mapping[str, tuple[object, ...]]] = {
    STRATEGY: ("ddp", "fsdp"),
    CHECKPOINTING: (False, "selective", True, "offload"),
    LOSS: ("full", "chunked"),
    KERNELS: ("none", "liger"),
    ADAPTERS: ("float32", "bfloat16"),
    OPTIMIZER: ("adamw", "paged_adamw", "adamw_8bit", "paged_adamw_8bit"),
}
"""Values of open leaves beside the micro batch, those that need most memory first."""
ROUNDING: Final[Mapping[str, tuple[object, ...]]] = {
    ADAPTERS: ("bfloat16",),
    OPTIMIZER: ("adamw_8bit", "paged_adamw_8bit"),
}
"""Values that change the result, if little. They are chosen only where nothing fits without them."""
MOST_TOKENS: Final = 65_536
"""Tokens of a forward pass beyond which nothing is gained: reading all weights takes less than a hundredth of it."""

Setting = tuple[tuple[str, object], ...]
"""A value for each open leaf but the micro batch."""
Barred = frozenset[tuple[str, object]]
"""Paths with values that are not to be chosen."""


class Space(Struct, frozen=True):
    """`settings`: what is tried, those that round nothing first, each group with how much it rounds. `micros`: sizes of
    the micro batch, ascending. `largest`: what the target takes at most, where it has a limit of its own."""

    open: frozenset[str]
    settings: tuple[tuple[Setting, ...], ...]
    micros: tuple[int, ...]
    largest: int | None


def space(plan: Plan, open_leaves: frozenset[str], target: Target | None, stack: Stack, barred: Barred) -> Space:
    """Everything that may be chosen for this plan. `target`: None where a loop is weighed that no target is behind.
    `barred`: what is not to be chosen."""
    axes = {path: tuple(_able(plan, path, target, stack, barred)) for path in AXES if path in open_leaves}
    largest = load(target).largest_micro(plan) if target else None
    return Space(open_leaves, _groups(axes), _micros(plan, open_leaves, largest), largest)


def faster_attention(plan: Plan, target: Target | None, stack: Stack) -> Setting | None:
    """Flash attention 2 where card, target and stack take it; None elsewhere. It is never chosen, as its package is
    built for each version of torch, often by hand: whoever has it says so."""
    gpu, value = plan.gpu, "flash_attention_2"
    able = gpu is not None and (gpu.compute_capability or 0) >= 8 and plan.model.dtype != "float32"
    if not able or any(name and _refused(name, ATTENTION, value) for name in (target, stack)):
        return None
    setting: Setting = ((ATTENTION, value),)
    return setting if lost(with_setting(plan, setting), target) <= lost(plan, target) else None


def with_setting(plan: Plan, setting: Setting) -> Plan:
    """The plan with these leaves."""
    for path, value in setting:
        section, _, name = path.partition(".")
        plan = replace(plan, **{section: replace(getattr(plan, section), **{name: value})})
    return plan


def _groups(axes: Mapping[str, tuple[object, ...]]) -> tuple[tuple[Setting, ...], ...]:
    """Settings by how many of their leaves round, least first."""
    found: dict[int, list[Setting]] = {}
    for values in product(*axes.values()):
        setting = tuple(zip(axes, values, strict=True))
        found.setdefault(sum(value in ROUNDING.get(path, ()) for path, value in setting), []).append(setting)
    return tuple(tuple(found[count]) for count in sorted(found))


def _able(plan: Plan, path: str, target: Target | None, stack: Stack, barred: Barred) -> Iterator[object]:
    """Values that the language, the target and the stack that is weighed take; what stands there, where none is."""
    found = [
        value
        for value in AXES[path]
        if (path, value) not in barred
        and _suits(plan, path, value, stack)
        and not (target and _refused(target, path, value))
        and not _refused(stack, path, value)
    ]
    yield from found or [leaf(plan, path)]


def _suits(plan: Plan, path: str, value: object, stack: Stack) -> bool:
    """Whether the value means something for this plan."""
    if path == LOSS:
        return value in profile(stack).losses
    if path == ADAPTERS:
        return value == "float32" or plan.model.dtype == "bfloat16"
    if path == KERNELS:
        return value == "none" or _liger(plan, stack)
    on_cpu = plan.gpu is not None and plan.gpu.is_cpu
    if path == OPTIMIZER:
        return value == "adamw" or not on_cpu
    return value not in ("selective", "offload") or not on_cpu


def _liger(plan: Plan, stack: Stack) -> bool:
    """On cards with bfloat16: Triton's kernels gain little before. Beside torch's compiler they are slower than it is
    alone (bench/results/h100.speed.json)."""
    gpu, known = plan.gpu, plan.facts.family in LIGER.get(stack, ())
    return known and gpu is not None and gpu.has_bf16 and not gpu.is_cpu and not plan.training.compile


def _refused(stack: Stack, path: str, value: object) -> bool:
    if stack not in TARGETS:
        return value in PLAIN.get(path, ())
    return refused(load(stack).TABLE[pattern(path)], value) is not None


def lost(plan: Plan, target: Target | None) -> frozenset[str]:
    """Paths of what the target cannot do in combination."""
    if target is None:
        return frozenset()
    return frozenset(item.path for item in load(target).losses(plan) if item.level == "error")


def _micros(plan: Plan, open_leaves: frozenset[str], largest: int | None) -> tuple[int, ...]:
    """Micro batches that divide a device's share of the global batch. KTO needs two rows: it compares them."""
    if MICRO not in open_leaves:
        return (plan.training.micro_batch_size,)
    share = max(plan.training.global_batch_size // plan.devices, 1)
    least = 2 if plan.training.objective == "kto" and share % 2 == 0 else 1
    most = min(share, largest or share, max(MOST_TOKENS // plan.data.max_length, least))
    sizes = tuple(size for size in range(1, most + 1) if share % size == 0 and size >= least)
    return sizes or (least,)
