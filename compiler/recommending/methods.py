"""Which methods fit a model and a card, best first, and where the others would."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from msgspec import Struct
from msgspec.structs import replace

from compiler.build import Compiled
from compiler.recommending.elsewhere import Elsewhere, elsewhere
from compiler.recommending.guidance import MethodGuide, Rate, guidance, rates
from compiler.recommending.ranks import Ranks, ranks
from compiler.recommending.wish import Wish, compiled, fits
from compiler.throughput import Interval, speed_words
from compiler.timing import speed_interval
from schemas.diagnostic import Diagnostic
from schemas.footprint import Footprint
from schemas.plan import Plan


class Candidate(Struct, frozen=True):
    """A method as a recipe of its own. `set`: its leaves beyond what was asked for. `elsewhere`: where it would fit
    that does not fit here."""

    kind: str
    set: dict[str, object]
    ranks: Ranks | None
    compiled: Compiled
    elsewhere: tuple[Elsewhere, ...] = ()

    @property
    def guide(self) -> MethodGuide:
        """What is known of its quality."""
        return guidance().methods[self.kind]

    @property
    def plan(self) -> Plan | None:
        """Nothing left open; None where the recipe has errors."""
        return self.compiled.plan if self.compiled.valid else None

    @property
    def footprint(self) -> Footprint | None:
        """What it weighs; None where the recipe has errors."""
        return self.compiled.footprint

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """Why it is refused, whatever the memory."""
        return tuple(item for item in self.compiled.diagnostics if item.level == "error")

    @property
    def fits(self) -> bool:
        """Whether it can be written as it is."""
        return fits(self.compiled)

    @property
    def speed(self) -> Interval | None:
        """Tokens a second, as far as they can be known."""
        return speed_interval(self.plan, self.footprint) if self.plan and self.footprint else None

    @property
    def speed_basis(self) -> str:
        """What that is made of, and how sure it is."""
        return speed_words(self.plan, self.footprint.stack) if self.plan and self.footprint else ""


class Recommendation(Struct, frozen=True, dict=True):
    """`choices`: those that fit, best first. `others`: those that do not, in the same order, the refused ones last.
    `many`: whether the rows hold more than adapters can, or the objective is one where that is to be expected."""

    wish: Wish
    choices: tuple[Candidate, ...]
    others: tuple[Candidate, ...]
    many: bool

    @property
    def lacks(self) -> bool:
        """Whether the rows were counted, and hold more than adapters can."""
        return lacking((*self.choices, *self.others))

    @cached_property
    def rates(self) -> dict[str, tuple[Rate, ...]]:
        """Method → learning rates that others took."""
        return {item.kind: rates(self.wish.facts, item.kind, self.wish.objective) for item in self.choices}


def recommend(wish: Wish) -> Recommendation:
    """Compile a recipe for every method, and put them in order."""
    made = [_candidate(wish, kind) for kind in guidance().methods]
    many = wish.objective == "pretrain" or lacking(made)
    ordered = sorted(made, key=lambda item: _order(item, many=many))
    rest = [_placed(item) for item in ordered if not item.fits]
    return Recommendation(wish, tuple(item for item in ordered if item.fits), tuple(rest), many)


def lacking(made: Sequence[Candidate]) -> bool:
    """Whether the rows have more than the largest sensible rank holds."""
    return any(item.ranks.lacks for item in made if item.ranks and item.ranks.largest)


def _candidate(wish: Wish, kind: str) -> Candidate:
    found = ranks(wish, kind)
    leaves: dict[str, object] = {"method.kind": kind, **({"method.rank": found.chosen} if found else {})}
    made = compiled(wish, leaves)
    if found and fits(made) and found.largest < found.chosen:
        found = replace(found, largest=found.chosen)  # by means that one row at once has not: the solver knows more
    return Candidate(kind, leaves, found, made)


def _order(item: Candidate, *, many: bool) -> tuple[bool, int, int, float]:
    """Quality as far as it is known, then what the kind costs; equals by room that is left."""
    guide, weighed = item.guide, item.footprint
    level = guide.many if many else guide.level
    return bool(item.errors), level, guide.place, weighed.high if weighed else 0


def _placed(item: Candidate) -> Candidate:
    plan, weighed = item.plan, item.footprint
    if plan is None or weighed is None or weighed.verdict not in ("tight", "does_not_fit"):
        return item
    return Candidate(item.kind, item.set, item.ranks, item.compiled, elsewhere(plan, weighed.stack))
