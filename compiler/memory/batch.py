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
    """Bytes of a mask over all pairs of positions, which SDPA (in booleans) and eager (in the type of the scores) are
    given, once for all layers. Other kernels take the documents' lengths."""
    if plan.model.attention not in ("sdpa", "eager") or not work.masked:
        return 0
    return work.rows * work.length**2 * (1 if plan.model.attention == "sdpa" else precision.attention)
