"""How much memory a run needs, and whether that fits. All sizes in bytes, of the fullest card."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Stack = Literal["native", "axolotl", "llamafactory", "unsloth", "peft"]
Verdict = Literal["fits", "tight", "does_not_fit", "unknown"]
Confidence = Literal["high", "medium", "low"]


class Phases(Struct, frozen=True):
    """Peak of live tensors in each phase; 0 where the run has no such phase."""

    load: int
    step: int
    optimizer: int
    eval: int
    merge: int


class Parts(Struct, frozen=True):
    """What the device total is made of: they sum to `Footprint.device`."""

    weights: int
    adapters: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    workspace: int
    context: int
    fragmentation: int


class Live(Struct, frozen=True):
    """Tensors alive at the peak that one module made: `count` of them, `size` bytes together.

    `part`: the field of `Parts` they are counted in. `module`: dotted path, layers' numbers as `*`. `tensor`: type and
    shape of the largest, such as "bfloat16[1, 2048, 4096]". `op`: the operator that made it.
    """

    part: str
    module: str
    tensor: str
    op: str
    count: int
    size: int


class Relief(Struct, frozen=True):
    """A change that saves memory. `set`: recipe path → value; `device`: what the plan weighs then; `costs`: what is
    given up."""

    set: dict[str, object]
    device: int
    costs: str


class Footprint(Struct, frozen=True):
    """`allocated`: peak of live tensors, the largest phase. `reserved`: what the caching allocator holds.

    `device`: what the driver reports (reserved + context); `low` and `high`: the interval around it.
    `capacity` is None where it is unknown. `because`: what was assumed, each fact with its source.
    `live`: the largest things alive at the peak, largest first; empty where nothing was traced.
    `by_phase`: live tensors at each phase's peak by part, by the phase's name: they sum to `phases`, and have no
    context and no fragmentation. A phase that the run has not, or whose parts are unknown, is not in it.
    `relief`: what helps where the run finds less room; filled in for a target that says so.
    """

    stack: Stack
    verdict: Verdict
    capacity: int | None
    allocated: int
    reserved: int
    device: int
    low: int
    high: int
    method: Literal["formula", "trace", "measured"]
    confidence: Confidence
    phases: Phases
    parts: Parts
    host_ram: int
    because: tuple[str, ...]
    live: tuple[Live, ...] = ()
    by_phase: dict[str, Parts] = {}
    relief: tuple[Relief, ...] = ()
