"""Why each open leaf became what it did, in words with numbers, and what came second."""

from __future__ import annotations

from typing import Final

from compiler.memory.batch import batch
from compiler.memory.stacks import profile
from compiler.solve.search import SAME, Found, Point, Search
from compiler.solve.space import (
    ADAPTERS,
    ATTENTION,
    CHECKPOINTING,
    EVALUATION,
    KERNELS,
    LOSS,
    MICRO,
    OPTIMIZER,
    STRATEGY,
    faster_attention,
    with_setting,
)
from schemas.facts import GIB
from schemas.plan import Decision, RunnerUp, leaf

ORDER: Final = (ATTENTION, STRATEGY, CHECKPOINTING, LOSS, KERNELS, ADAPTERS, OPTIMIZER, MICRO, EVALUATION)

MEANS: Final[dict[tuple[str, object], str]] = {
    (CHECKPOINTING, False): "nothing has to be computed again",
    (CHECKPOINTING, "selective"): "attention is kept, all else is computed again",
    (CHECKPOINTING, True): "layers are computed again",
    (CHECKPOINTING, "offload"): "layers are computed again, and their inputs wait in main memory",
    (LOSS, "full"): "the logits fit as a whole",
    (LOSS, "chunked"): "the logits are never there as a whole",
    (KERNELS, "none"): "the model's own kernels",
    (KERNELS, "liger"): "fused norms, rotations and mlp from the package liger-kernel",
    (ADAPTERS, "float32"): "small updates are lost in 16 bit, and adapters are small",
    (ADAPTERS, "bfloat16"): "nothing fits with float32",
    (OPTIMIZER, "adamw"): "its state fits as it is",
    (OPTIMIZER, "paged_adamw"): "its state may wait in main memory",
    (OPTIMIZER, "adamw_8bit"): "nothing fits with its state in 32 bit",
    (OPTIMIZER, "paged_adamw_8bit"): "nothing fits without its state in 8 bit and in main memory",
    (STRATEGY, "ddp"): "each card can hold everything, and nothing is faster than that",
    (STRATEGY, "fsdp"): "weights and state are spread over the cards",
}
"""What a value does for the run, where it fits."""


def reasons(search: Search, found: Found) -> list[Decision]:
    """A decision for each open leaf, in the order of the plan's cost."""
    return [_decision(path, search, found) for path in ORDER if path in search.within.open]


def _decision(path: str, search: Search, found: Found) -> Decision:
    best = found.best
    value = leaf(best.plan, path)
    if path == ATTENTION:
        return _attention(search, best)
    if path == EVALUATION:
        same = value == best.micro
        said = "as in training" if same else "as many rows at once as in training need more"
        return Decision(path, value, said)
    other = _other(path, value, found)
    second = _runner_up(other, leaf(other.plan, path), best) if other else None
    said = _micro(search, found) if path == MICRO else _because(path, value, found)
    return Decision(path, value, "; ".join(filter(None, (said, _compared(path, second, best)))), second)


def _attention(search: Search, best: Point) -> Decision:
    """It is not searched: what torch brings is taken, and what would be gained by a package is said."""
    said = "it comes with torch and takes the flash kernel where it can"
    setting = faster_attention(best.plan, search.target, search.stack)
    if setting is None:
        return Decision(ATTENTION, best.plan.model.attention, said)
    other = search.weighed(with_setting(best.plan, setting), setting)
    second = _runner_up(other, "flash_attention_2", best)
    if second.slower < -SAME:
        gain = 1 / (1 + second.slower) - 1
        said += f"; flash_attention_2 would be {gain:.0%} faster, from a package that is built for each torch"
    return Decision(ATTENTION, best.plan.model.attention, said, second)


def _because(path: str, value: object, found: Found) -> str:
    best = found.best
    if not best.fits:
        return f"this needs least, and even so {_needs(best)}"
    if path == CHECKPOINTING and value is not False:
        return f"{MEANS[path, value]}: {_kept(found)}"
    if path == STRATEGY and value != "ddp":
        return f"{MEANS[path, value]}: a whole copy on each card needs more"
    return MEANS[path, value]


def _kept(found: Found) -> str:
    """What it would take to keep everything."""
    kept = [point for point in found.points if point.plan.training.gradient_checkpointing is False]
    least = min(kept, key=lambda point: point.footprint.high, default=None)
    if least is None:
        return "the target cannot do without"
    if not least.fits:
        return f"without it a micro batch of {least.micro} {_needs(least)}"
    largest = max(point.micro for point in kept if point.fits)
    return f"without it a micro batch of {largest} is the most, which is slower"


def _micro(search: Search, found: Found) -> str:
    best, within = found.best, search.within
    if not best.fits:
        return f"the smallest there is, and even that {_needs(best)}"
    if best.micro == within.largest:
        return f"the target takes no more at once here: {_needs(best)}"
    if best.micro == within.micros[-1] == best.plan.training.global_batch_size // best.plan.devices:
        share = "the whole global batch" if best.plan.devices == 1 else "a card's whole share of the global batch"
        return f"{share} at once: {_needs(best)}"
    alike = [point for point in found.points if point.setting == best.setting and point.micro > best.micro]
    larger = min(alike, key=lambda point: point.micro, default=None)
    if larger is None or larger.fits:
        tokens = batch(best.plan, best.micro, profile(search.stack)).tokens
        return f"{_needs(best)}; more than {tokens:,} tokens at once are no faster"
    return f"{_needs(best)}; {larger.micro} would need {_gib(larger.footprint.high)}"


def _other(path: str, value: object, found: Found) -> Point | None:
    """The best plan with another value at this path: the fastest that fits; else the one that would need least."""
    others = [point for point in found.points if leaf(point.plan, path) != value]
    fitting = [point for point in others if point.fits]
    if fitting:
        return min(fitting, key=lambda point: (point.pace, point.footprint.high))
    return min(others, key=lambda point: (point.footprint.high, point.pace), default=None)


def _runner_up(other: Point, value: object, best: Point) -> RunnerUp:
    return RunnerUp(value, round(other.pace / best.pace - 1, 4), other.footprint.high, other.fits)


def _compared(path: str, second: RunnerUp | None, best: Point) -> str | None:
    """What the runner-up would have been."""
    if second is None or path == MICRO:
        return None
    name = _spelled(second.value)
    if not second.fits:
        return f"{name} would need {_gib(second.needs)} at least" if best.fits else None
    if second.slower > SAME:
        return f"{name} would be {second.slower:.0%} slower"
    return f"{name} would be as fast" if second.slower > -SAME else f"{name} is faster and rounds more"


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _needs(point: Point) -> str:
    """Up to how much a plan needs of what there is."""
    capacity = point.footprint.capacity
    room = f" of {_gib(capacity)}" if capacity is not None else ""
    return f"needs up to {_gib(point.footprint.high)}{room}"


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
