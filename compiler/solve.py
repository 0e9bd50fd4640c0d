"""Choosing what a recipe left to the compiler: the fastest plan that fits, as far as a closed form can tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from compiler.memory import weigh
from compiler.memory.stacks import profile
from schemas.facts import GIB
from schemas.footprint import Footprint, Stack
from schemas.plan import Decision, Plan
from schemas.recipe import Checkpointing, Strategy

MICRO = "training.micro_batch_size"
CHECKPOINTING = "training.gradient_checkpointing"
EVALUATION = "evaluation.batch_size"
STRATEGY = "hardware.strategy"

ENOUGH_TOKENS = 16_384
"""Tokens a forward pass above which a larger micro batch gains no speed: products are large enough by then."""
ENOUGH_PAIRS = 4_096
"""The same where documents are laid end to end under one mask: attention computes all pairs of positions, so that
twice the tokens are four times the pairs."""
BUSY_TOKENS = 2_048
"""Tokens a forward pass that keep a card busy. With fewer, recomputing is the smaller loss: it costs half again as
much arithmetic at most (4 N + 2 N FLOP a token instead of 4 N, for N weights of a frozen base)."""


class Trial(Struct, frozen=True):
    """A plan and what it weighs."""

    plan: Plan
    footprint: Footprint

    @property
    def fits(self) -> bool:
        """Whether it fits with its interval's upper end."""
        return self.footprint.verdict == "fits"


class Freedom(Struct, frozen=True):
    """What may be chosen: the open leaves, the strategies in the order in which they are tried, the micro batch."""

    open: frozenset[str]
    strategies: tuple[Strategy, ...]
    largest_micro: int | None


Weigh = Callable[[Plan], Trial]


def solve(
    plan: Plan,
    open_leaves: frozenset[str],
    stack: Stack,
    strategies: Sequence[Strategy] = ("ddp", "fsdp"),
    largest_micro: int | None = None,
) -> Plan:
    """Fill the open leaves. Without a known capacity they keep their fallback, and the decision says so.

    `strategies`: those that an `auto` strategy may become, in the order in which they are tried. `largest_micro`: rows
    of a forward pass that the target can do at most, None where it has no limit of its own.
    """
    if not open_leaves:
        return plan

    def trial(candidate: Plan) -> Trial:
        return Trial(candidate, weigh(candidate, stack))

    start = trial(plan)
    able = tuple(strategies) if STRATEGY in open_leaves else (plan.hardware.strategy,)
    freedom = Freedom(open_leaves, able, largest_micro)
    if start.footprint.capacity is None:
        return _unsolved(plan, freedom)
    return _decided(_search(start, freedom, trial), freedom, trial)


def _search(start: Trial, freedom: Freedom, trial: Weigh) -> Trial:
    """The first that fits, in the order of speed: replicas before shards, nothing recomputed before recomputing."""
    slow: Trial | None = None
    for strategy in freedom.strategies:
        for checkpointing in _checkpointings(start.plan, freedom):
            base = _with(start.plan, checkpointing=checkpointing, strategy=strategy)
            sizes = _micros(base, freedom, start.footprint.stack)
            found = _largest(base, sizes, freedom, trial)
            if found and (checkpointing is not False or _busy(found.plan, sizes)):
                return _larger(found, slow)
            slow = slow or found
        if slow:
            return slow
    last = _with(start.plan, strategy=freedom.strategies[-1])
    return start if last == start.plan else trial(last)


def _busy(plan: Plan, sizes: Sequence[int]) -> bool:
    """Whether a forward pass is large enough, or could not be larger anyway."""
    micro = plan.training.micro_batch_size
    return micro == sizes[-1] or micro * plan.data.max_length >= BUSY_TOKENS


def _larger(found: Trial, other: Trial | None) -> Trial:
    """The one with the larger micro batch; of equals the second, which recomputes nothing."""
    if other and other.plan.training.micro_batch_size >= found.plan.training.micro_batch_size:
        return other
    return found


def _largest(plan: Plan, micros: Sequence[int], freedom: Freedom, trial: Weigh) -> Trial | None:
    """The largest micro batch that fits, by bisection: a larger one never needs less."""
    best: Trial | None = None
    low, high = 0, len(micros)
    while low < high:
        middle = (low + high) // 2 if best else low
        found = trial(_with_micro(plan, micros[middle], freedom))
        if not found.fits:
            high = middle
            if best is None:
                return None
        else:
            best, low = found, middle + 1
    return best


def _checkpointings(plan: Plan, freedom: Freedom) -> tuple[Checkpointing, ...]:
    return (False, True) if CHECKPOINTING in freedom.open else (plan.training.gradient_checkpointing,)


def _micros(plan: Plan, freedom: Freedom, stack: Stack) -> tuple[int, ...]:
    """Micro batches that divide a device's share of the global batch, up to where larger ones gain nothing.

    KTO needs two rows: it compares a row with the batch's others.
    """
    if MICRO not in freedom.open:
        return (plan.training.micro_batch_size,)
    share = max(plan.training.global_batch_size // plan.devices, 1)
    most = max(_enough(plan, stack) // plan.data.max_length, 1)
    most = min(most, freedom.largest_micro or most)
    least = 2 if plan.training.objective == "kto" and share % 2 == 0 else 1
    sizes = tuple(size for size in range(1, min(share, most) + 1) if share % size == 0 and size >= least)
    return sizes or (least,)


def _enough(plan: Plan, stack: Stack) -> int:
    """Tokens of a forward pass beyond which nothing is gained."""
    pairs = plan.model.attention == "eager" and profile(stack).packed == "documents"
    return ENOUGH_PAIRS if plan.data.packing and pairs else ENOUGH_TOKENS


def _with(plan: Plan, *, checkpointing: Checkpointing | None = None, strategy: Strategy | None = None) -> Plan:
    training, hardware = plan.training, plan.hardware
    if checkpointing is not None:
        training = replace(training, gradient_checkpointing=checkpointing)
    if strategy is not None:
        hardware = replace(hardware, strategy=strategy)
    return replace(plan, training=training, hardware=hardware)


def _with_micro(plan: Plan, micro: int, freedom: Freedom) -> Plan:
    """The plan with this micro batch, and evaluation as large where that was left open too."""
    evaluation = replace(plan.evaluation, batch_size=micro) if EVALUATION in freedom.open else plan.evaluation
    return replace(plan, training=replace(plan.training, micro_batch_size=micro), evaluation=evaluation)


def _unsolved(plan: Plan, freedom: Freedom) -> Plan:
    """Note the fallbacks: without a capacity nothing can be weighed against it."""
    why = "no GPU is named, so this is the careful choice; `ftc run` decides anew for the card it finds"
    if plan.hardware.gpu is not None:
        why = "how much memory there is, is not known, so this is the careful choice"
    return _noted(plan, dict.fromkeys(sorted(freedom.open), why))


def _decided(best: Trial, freedom: Freedom, trial: Weigh) -> Plan:
    """Note what was chosen for each open leaf, with the numbers that decided."""
    reasons: dict[str, str] = {}
    if STRATEGY in freedom.open:
        reasons[STRATEGY] = _because_strategy(best, trial)
    if CHECKPOINTING in freedom.open:
        reasons[CHECKPOINTING] = _because_checkpointing(best, trial)
    if MICRO in freedom.open:
        reasons[MICRO] = _because_micro(best, freedom, trial)
    if EVALUATION in freedom.open:
        reasons[EVALUATION] = "as in training"
    return _noted(best.plan, reasons)


def _because_micro(best: Trial, freedom: Freedom, trial: Weigh) -> str:
    if not best.fits:
        return f"the smallest there is, and even that {_needs(best)}"
    sizes = _micros(best.plan, freedom, best.footprint.stack)
    chosen = best.plan.training.micro_batch_size
    larger = next((size for size in sizes if size > chosen), None)
    if larger is not None:
        more = trial(_with_micro(best.plan, larger, freedom))
        return f"{_needs(best)}; {larger} would need {_gib(more.footprint.high)}"
    if chosen == freedom.largest_micro:
        return f"the target takes no more at once here: {_needs(best)}"
    share = best.plan.training.global_batch_size // best.plan.devices
    if chosen == share:
        return f"the whole global batch at once: {_needs(best)}"
    return f"{_needs(best)}; more than {_enough(best.plan, best.footprint.stack):,} tokens at once are no faster"


def _because_checkpointing(best: Trial, trial: Weigh) -> str:
    if best.plan.training.gradient_checkpointing is False:
        return f"nothing has to be recomputed: without it the run {_needs(best)}"
    without = trial(_with(best.plan, checkpointing=False))
    micro = best.plan.training.micro_batch_size
    return f"without it a micro batch of {micro} {_needs(without)}"


def _because_strategy(best: Trial, trial: Weigh) -> str:
    if best.plan.hardware.strategy == "ddp" and not best.fits:
        return f"the target does not take shards, and a whole copy on each card {_needs(best)}"
    if best.plan.hardware.strategy == "ddp":
        return "each card can hold everything, and nothing is faster than that"
    replicas = trial(_with(best.plan, strategy="ddp"))
    return f"a whole copy on each card {_needs(replicas)}"


def _needs(trial: Trial) -> str:
    """Up to how much a plan needs of what there is."""
    capacity = trial.footprint.capacity
    room = f" of {_gib(capacity)}" if capacity is not None else ""
    return f"needs up to {_gib(trial.footprint.high)}{room}"


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


def _noted(plan: Plan, reasons: dict[str, str]) -> Plan:
    values: dict[str, object] = {
        MICRO: plan.training.micro_batch_size,
        CHECKPOINTING: plan.training.gradient_checkpointing,
        EVALUATION: plan.evaluation.batch_size,
        STRATEGY: plan.hardware.strategy,
    }
    said = tuple(Decision(path, values[path], because) for path, because in reasons.items())
    return replace(plan, decisions=(*plan.decisions, *said))
