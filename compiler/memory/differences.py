"""Why one stack needs more memory than another for the same plan: the part that grows most, and the fact behind it."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from compiler.memory.loss import computed_loss
from compiler.memory.stacks import Profile, profile
from compiler.memory.weighing import weigh_profile
from schemas.footprint import Footprint, Stack
from schemas.plan import Plan

FACTS: Final[tuple[tuple[str, ...], ...]] = (
    ("losses", "tile"),
    ("autocast",),
    ("upcast",),
    ("casts_adapter_inputs",),
    ("foreach",),
    ("holds_outputs",),
    ("packed",),
    ("expandable_segments",),
)
"""Facts of a stack that decide over memory; a loss and the size of its pieces go together."""


class Difference(Struct, frozen=True):
    """What `stack` needs beyond `leaner`. `more`: bytes of the card. `part`: the field of `Parts` that grows most, by
    `part_more` bytes. `fact`: the field of `Profile` behind that, in `words`, from `source`; None where no single fact
    of the stack explains it."""

    stack: Stack
    leaner: Stack
    more: int
    part: str
    part_more: int
    fact: str | None
    words: str | None
    source: str | None


def difference(plan: Plan, stack: Stack, leaner: Stack) -> Difference | None:
    """Why `stack` needs more than `leaner` for this plan; None where it does not."""
    mine, other = weigh_profile(plan, profile(stack)), weigh_profile(plan, profile(leaner))
    part = max(mine.parts.__struct_fields__, key=lambda name: _part(mine, name) - _part(other, name))
    grown = _part(mine, part) - _part(other, part)
    if mine.device <= other.device or grown <= 0:
        return None
    fact = _fact(plan, mine, part, profile(leaner))
    return Difference(
        stack=stack,
        leaner=leaner,
        more=mine.device - other.device,
        part=part,
        part_more=grown,
        fact=fact,
        words=_words(fact, profile(stack)) if fact else None,
        source=profile(stack).sources[fact] if fact else None,
    )


def _part(footprint: Footprint, name: str) -> int:
    return getattr(footprint.parts, name)


def _fact(plan: Plan, mine: Footprint, part: str, leaner: Profile) -> str | None:
    """The fact that, were it as in the leaner stack, would take most off this part and off the whole."""
    own = profile(mine.stack)
    saved: dict[str, int] = {}
    for names in FACTS:
        theirs = {name: getattr(leaner, name) for name in names}
        changed = replace(own, **theirs)
        if changed != own:
            then = weigh_profile(plan, changed)
            # The peak may move to a moment without this part, and be no lower for it.
            saved[names[0]] = min(_part(mine, part) - _part(then, part), mine.device - then.device)
    best = max(saved, key=lambda name: saved[name], default=None)
    if best is None or saved[best] <= 0:
        return None
    # Of a loss in pieces it is their size that costs.
    return "tile" if best == "losses" and computed_loss(plan, own) != "full" else best


def _words(fact: str, stack: Profile) -> str:
    """What this stack does, in words."""
    return {
        "losses": "the loss holds all logits",
        "tile": "its loss computes larger pieces at once",
        "autocast": "products run under autocast" if stack.autocast else "nothing runs under autocast",
        "upcast": {
            "never": "weights beside the quantised ones stay in 16 bit",
            "load": "weights beside the quantised ones are float32 while loading",
            "always": "weights beside the quantised ones become float32",
        }[stack.upcast],
        "casts_adapter_inputs": "each adapted module keeps a copy of its input",
        "foreach": "the optimizer's step has a temporary as large as all trained weights",
        "holds_outputs": "the loop holds the logits until the next step",
        "packed": {
            "rows": "packed rows stay rows, each with a mask",
            "flat": "packed rows are laid end to end",
            "documents": "packed rows are laid end to end, each document attended to by itself",
        }[stack.packed],
        "expandable_segments": "freed memory stays in segments that cannot grow",
    }[fact]
