"""The search: every setting with its largest micro batch that fits, and of what fits the fastest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from compiler.memory.optimizer import PAGED
from compiler.memory.phases import lay_out
from compiler.memory.stacks import profile
from compiler.memory.weighing import weigh_run
from compiler.solve.space import EVALUATION, Setting, Space, lost, with_setting
from compiler.throughput import pace_of
from schemas.artifact import Target
from schemas.footprint import Footprint, Stack
from schemas.plan import Plan

SAME = 0.01
"""Differences of speed below it are none: the model cannot tell them apart, and the plan that needs less is taken."""

STEP = 1.3
"""Micro batches that are tried first are so many times as large as the one before: the best of sizes in between is
less than a hundredth faster than its neighbours."""


class Point(Struct, frozen=True):
    """A plan that was tried. `pace`: seconds a position, of one card."""

    plan: Plan
    setting: Setting
    footprint: Footprint
    pace: float

    @property
    def fits(self) -> bool:
        """Whether it fits with its interval's upper end."""
        return self.footprint.verdict == "fits"

    @property
    def micro(self) -> int:
        """Its micro batch."""
        return self.plan.training.micro_batch_size


class Found(Struct, frozen=True):
    """`points`: all that were weighed, of the group of settings in which something fitted, or of all."""

    best: Point
    points: tuple[Point, ...]


class Search:
    """Plans of one space, weighed and timed."""

    def __init__(self, plan: Plan, within: Space, target: Target | None, stack: Stack) -> None:
        self.plan = plan
        self.within = within
        self.target: Target | None = target
        self.stack: Stack = stack
        self._lost = lost(plan, target)

    def run(self) -> Found:
        """The fastest that fits; where nothing does, what needs least."""
        tried: list[Point] = []
        for group in self.within.settings:
            points = [point for setting in group for point in self._points(setting)]
            tried += points
            if fitting := [point for point in points if point.fits]:
                return Found(_fastest(fitting), tuple(points))
        return Found(min(tried, key=lambda point: point.footprint.high), tuple(tried))

    def point(self, setting: Setting, micro: int) -> Point:
        """A setting with this micro batch; evaluation as large, or as large as fits where that was left open too."""
        plan = with_setting(self.plan, setting)
        plan = replace(plan, training=replace(plan.training, micro_batch_size=micro))
        if EVALUATION not in self.within.open:
            return self.weighed(plan, setting)
        size = micro
        point = self.weighed(_evaluating(plan, size), setting)
        while size > 1 and not point.fits and _by_evaluation(point.footprint):
            size //= 2
            point = self.weighed(_evaluating(plan, size), setting)
        return point

    def _points(self, setting: Setting) -> Iterator[Point]:
        """The setting with micro batches up to the first that does not fit: a larger one never needs less. But for the
        whole batch at once, beside which no gradients of earlier passes are kept."""
        *some, last = self.within.micros
        fitted = 0
        for size in _apart(some):
            point = self.point(setting, size)
            if not self._takes(point.plan):
                return
            yield point
            if not point.fits:
                yield from self._between(setting, [item for item in some if fitted < item < size])
                break
            fitted = size
        whole = self.point(setting, last)
        if self._takes(whole.plan):
            yield whole

    def _between(self, setting: Setting, sizes: Sequence[int]) -> Iterator[Point]:
        """Sizes that were passed over below the first that does not fit, up to one that does not fit either."""
        for size in sizes:
            point = self.point(setting, size)
            yield point
            if not point.fits:
                return

    def _takes(self, plan: Plan) -> bool:
        """Whether the target loses no more by this than by the plan as it came."""
        return lost(plan, self.target) <= self._lost

    def weighed(self, plan: Plan, setting: Setting) -> Point:
        """What a plan needs, and how fast it is."""
        run = lay_out(plan, profile(self.stack))
        return Point(plan, setting, weigh_run(run), pace_of(run))


def _apart(sizes: Sequence[int]) -> list[int]:
    """Of many sizes some, each a good step above the one before, and the largest: between them speed hardly differs."""
    found = list[int]()
    for size in sizes:
        if not found or size >= STEP * found[-1] or size == sizes[-1]:
            found.append(size)
    return found


def _fastest(points: Sequence[Point]) -> Point:
    """Of those that are as fast as the fastest the one that needs least; but main memory is used where it gains."""
    limit = min(point.pace for point in points) * (1 + SAME)
    alike = (point for point in points if point.pace <= limit)
    return min(alike, key=lambda point: (_uses_main_memory(point.plan), point.footprint.high))


def _uses_main_memory(plan: Plan) -> bool:
    """How busy main memory is, and how fast, the recipe does not say."""
    return plan.training.gradient_checkpointing == "offload" or plan.training.optimizer in PAGED


def _evaluating(plan: Plan, size: int) -> Plan:
    return replace(plan, evaluation=replace(plan.evaluation, batch_size=size))


def _by_evaluation(footprint: Footprint) -> bool:
    """Whether evaluation is what needs most."""
    phases = footprint.phases
    return phases.eval > max(phases.load, phases.step, phases.optimizer)
