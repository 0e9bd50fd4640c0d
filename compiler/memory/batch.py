"""One forward pass: how many positions go through the layers, and the mask over them."""

from __future__ import annotations

from msgspec import Struct

from compiler.memory.precision import Precision
from compiler.memory.stacks import Profile
from schemas.method_plan import PrefixPlan, PromptPlan, PTuningPlan
from schemas.plan import Plan


class Batch(Struct, frozen=True):
    """One forward pass: `rows` of `length` positions. `masked`: an attention mask over pairs of positions is needed,
    for padding or for documents that share a row."""

    rows: int
    length: int
    masked: bool

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
    return Batch(1, count * length, masked=stack.packed == "flat_masked")


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
    return plan.facts.sliding_layers > 0 and window is not None and work.length >= window
