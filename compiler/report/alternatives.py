"""The recipe elsewhere: on other cards, and under other training code, with the reason why that needs more."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from compiler.build import Compiled
from compiler.memory import weigh
from compiler.memory.differences import Difference, difference
from compiler.memory.stacks import profile
from compiler.report.memory_text import size
from schemas.footprint import Footprint, Stack, Verdict
from schemas.plan import Plan, leaves


class Option(Struct, frozen=True):
    """The recipe on another stack or card, its `auto` leaves solved for that.

    `as_planned`: the recipe's own plan under this stack where it was traced, None where the formula is to weigh it.
    `untraced`: why there is no trace, where one was asked for.
    """

    stack: Stack
    gpu: str | None
    compiled: Compiled
    as_planned: Footprint | None = None
    untraced: str | None = None


class Side(Struct, frozen=True):
    """One stack with the plan as it stands. `difference`: from the stack that needs least, None for that one itself.

    `solved`: the leaves that were left to the compiler and would be others for this stack; `then`: what it needs with
    them, None where there are none. `untraced`: why the formula weighed it, where a trace was asked for.
    """

    stack: Stack
    footprint: Footprint
    difference: Difference | None
    solved: dict[str, object]
    then: Footprint | None
    untraced: str | None


def sides(compiled: Compiled, others: Sequence[Option]) -> tuple[Side, ...]:
    """The plan of this recipe under every stack that was asked for; nothing where only one was."""
    plan = compiled.plan
    stacks: tuple[Stack, ...] = tuple(dict.fromkeys(item.stack for item in others))
    if plan is None or len(stacks) < 2:
        return ()
    own = {item.stack: item for item in others if item.gpu == plan.hardware.gpu}
    traced = {stack: option.as_planned for stack, option in own.items()}
    weighed = {stack: traced.get(stack) or weigh(plan, stack) for stack in stacks}
    leanest = min(stacks, key=lambda stack: weighed[stack].device)
    return tuple(_side(plan, weighed[stack], leanest, own.get(stack)) for stack in stacks)


def _side(plan: Plan, footprint: Footprint, leanest: Stack, option: Option | None) -> Side:
    solved = option.compiled if option else None
    settings = changed(plan, solved.plan) if solved and solved.plan else {}
    return Side(
        stack=footprint.stack,
        footprint=footprint,
        difference=difference(plan, footprint.stack, leanest),
        solved=settings,
        then=solved.footprint if solved and settings else None,
        untraced=option.untraced if option else None,
    )


def changed(plan: Plan, solved: Plan) -> dict[str, object]:
    """Leaves that were decided otherwise."""
    before = leaves(plan)
    return {path: value for path, value in leaves(solved).items() if before.get(path) != value}


def headline(found: Sequence[Side]) -> str:
    """Which stacks fit and which do not, and for the worst of these why, in one sentence."""
    words: tuple[tuple[Verdict, str], ...] = (
        ("fits", "fits with"),
        ("tight", "may fit with"),
        ("does_not_fit", "does not fit with"),
    )
    said = [
        f"{word} {_listed([profile(side.stack).title for side in found if side.footprint.verdict == verdict])}"
        for verdict, word in words
        if any(side.footprint.verdict == verdict for side in found)
    ]
    if not said:
        return "how much memory there is, is not known"
    worst = max(found, key=lambda side: side.footprint.device)
    why = worst.difference and len(said) > 1 and reason(worst.difference)
    return "; ".join(said) + (f". {profile(worst.stack).title}: {why}" if why else "")


def reason(found: Difference) -> str:
    """A difference in words, its source left out."""
    than = f"than {profile(found.leaner).title}"
    because = f", because {found.words}" if found.words else ""
    part = f"{size(found.part_more)} more {found.part}"
    if found.more * 3 < found.part_more * 2:
        # Another part shrinks: the two peaks are at different moments.
        return f"{size(found.more)} more {than}, at another moment, which has {part}{because}"
    return f"{part} {than}{because}"


def _listed(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
