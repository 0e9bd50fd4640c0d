"""One forward pass: how many positions go through the layers, and the mask over them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from compiler.memory.precision import Precision
from compiler.memory.stacks import Profile
from schemas.method_plan import PrefixPlan, PromptPlan, PTuningPlan
from schemas.plan import Plan

Kernel = Literal["flash", "efficient", "math", "eager"]


class Batch(Struct, frozen=True):
    """One forward pass: `rows` of `length` positions. `masked`: an attention mask over pairs of positions is needed,
    for padding or for documents that share a row. `apart`: each document is attended to by itself, without any."""

    rows: int
    length: int
    masked: bool
    apart: bool = False

    @property
    def tokens(self) -> int:
        """Positions that go through the decoder layers."""
        return self.rows * self.length


def batch(plan: Plan, rows: int, stack: Profile) -> Batch:
    """The largest forward pass over `rows` rows of data. Preferences put two answers in a row of the batch."""
    method = plan.method
    virtual = method.virtual_tokens if isinstance(method, PrefixPlan | PromptPlan | PTuningPlan) else 0
    count = rows * (2 if plan.training.objective in ("dpo", "orpo") else 1)
    length = plan.data.max_length + virtual
    if not plan.data.packing:
        return Batch(count, length, masked=count > 1)
    if stack.packed == "rows":
        return Batch(count, length, masked=True)
    apart = stack.packed == "documents" and plan.model.attention == "sdpa"
    return Batch(1, count * length, masked=stack.packed == "documents" and not apart, apart=apart)


def kernel(plan: Plan, stack: Profile, precision: Precision, work: Batch) -> Kernel:
    """What CUDA takes: flash where nothing is masked, the memory-efficient kernel under a mask, products where neither
    takes the inputs: float32 or a card before Ampere, with fewer heads of keys than of queries."""
    if plan.model.attention == "eager":
        return "eager"
    if plan.model.attention != "sdpa" or stack.fused_attention:
        return "flash"
    if work.masked:
        return "efficient"
    gpu = plan.gpu
    old = gpu is not None and gpu.compute_capability is not None and gpu.compute_capability < 8
    if precision.attention == 2 and not old:
        return "flash"
    return "math" if plan.facts.kv_heads < plan.facts.heads and not work.apart else "efficient"


def batches(plan: Plan, rows: int, stack: Profile, precision: Precision) -> tuple[Batch, ...]:
    """The largest forward passes: rows of different length under a mask, and, where attention without one is done by
    products, rows that happen to have one length."""
    padded = batch(plan, rows, stack)
    even = replace(padded, masked=False)
    if plan.data.packing or not padded.masked or kernel(plan, stack, precision, even) != "math":
        return (padded,)
    return padded, even


def mask(plan: Plan, precision: Precision, work: Batch) -> int:
    """Bytes of masks over all pairs of positions, which SDPA (in booleans) and eager (in the type of the scores) are
    given, once for all layers that attend alike. Other kernels take the documents' lengths."""
    attention, facts = plan.model.attention, plan.facts
    if attention not in ("sdpa", "eager"):
        return 0
    if attention == "sdpa" and not work.masked:
        return work.length**2 if beyond_window(plan, work) else 0
    kinds = 2 if 0 < facts.sliding_layers < facts.layers else 1
    return kinds * work.rows * work.length**2 * (1 if attention == "sdpa" else precision.attention)


def beyond_window(plan: Plan, work: Batch) -> bool:
    """Whether rows are longer than a window that some layers attend within: these need a mask where others do not."""
    window = plan.facts.sliding_window
    return not work.apart and plan.facts.sliding_layers > 0 and window is not None and work.length >= window
