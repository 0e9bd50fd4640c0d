"""Tokens a second of a plan: seconds of an optimizer step, by what they go to."""

from __future__ import annotations

from msgspec import Struct

from compiler.memory.optimizer import PAGED
from compiler.memory.passes.tape import Moved
from compiler.memory.phases import Run, lay_out
from compiler.memory.stacks import Profile, profile
from compiler.throughput.efficiency import facts, operators, reached
from compiler.throughput.links import sent, to_host
from compiler.throughput.products import operations, written_out
from compiler.throughput.sureness import sureness
from schemas.facts import Gpu
from schemas.footprint import Stack
from schemas.plan import Plan
from schemas.work import asked, peak_flops

GIGA = 1e9
STAND_IN = Gpu("stand-in", "a card", 0, 8.0, None, None, 1000.0, None, None, "an ordinary card of 2020")
STAND_IN_PEAK = 1e14


class Seconds(Struct, frozen=True):
    """Seconds of one optimizer step on one card, by what they go to; they sum to the step.

    `products` of weights, `attention`, `operators` that move more than they compute, `weights`: reading them.
    `waiting`: of the card for the host, where operators are too small. `links`: what is sent and not hidden behind the
    rest. `trainer`: what is around the passes.
    """

    products: float
    attention: float
    operators: float
    weights: float
    waiting: float
    links: float
    optimizer: float
    trainer: float

    @property
    def step(self) -> float:
        """All of them."""
        parts = (self.products, self.attention, self.operators, self.weights)
        return sum(parts) + self.waiting + self.links + self.optimizer + self.trainer


class Interval(Struct, frozen=True):
    """A figure with the bounds between which it is expected."""

    low: float
    middle: float
    high: float


class Speed(Struct, frozen=True):
    """`tokens_per_second`: positions of all cards together, padding and both answers of a pair included. `seconds`: of
    one step. `because`: why the bounds are where they are."""

    tokens_per_second: Interval
    seconds: Seconds
    because: str


def speed(plan: Plan, stack: Stack) -> Speed | None:
    """How fast it trains; None where the card's rates are not known."""
    peak, gpu = peak_flops(plan), plan.gpu
    if peak is None or gpu is None or not gpu.bandwidth:
        return None
    run = lay_out(plan, profile(stack))
    seconds = _seconds(run, gpu, peak)
    middle = plan.devices * plan.accumulation * run.work.tokens / seconds.step
    sure = sureness(plan, stack)
    return Speed(Interval(middle / sure.factor, middle, middle * sure.factor), seconds, sure.because)


def pace(plan: Plan, stack: Stack) -> float:
    """Seconds a position on one card, to compare plans by: where its rates are not known, by those of a stand-in."""
    return pace_of(lay_out(plan, profile(stack)))


def pace_of(run: Run) -> float:
    """The same of what is laid out already."""
    plan = run.plan
    gpu = plan.gpu or STAND_IN
    peak = peak_flops(plan) or STAND_IN_PEAK
    seconds = _seconds(run, gpu if gpu.bandwidth else STAND_IN, peak)
    return seconds.step / (run.work.tokens * plan.accumulation)


def _seconds(run: Run, gpu: Gpu, peak: float) -> Seconds:
    shares = reached(gpu)
    plan, tokens, times = run.plan, run.work.tokens, run.plan.accumulation
    count = operations(plan, run.stack, run.work)
    bandwidth = (gpu.bandwidth or 0) * GIGA * shares.copies
    best = shares.products * plan.facts.hidden / (plan.facts.hidden + facts()["narrow"]["value"])
    products = tokens * count.products / (peak * best)
    efficient = 0.5 if written_out(plan, run.work) else 1.0
    length = plan.data.max_length / (plan.data.max_length + facts()["attention_length"]["value"])
    attention = tokens * count.attention / (peak * shares.attention * length * efficient)
    moved, tensors = _moved(run)
    move = moved * facts()["traffic"]["value"] * _fusing(run.stack, plan) / bandwidth
    weights = _weights_read(run) / bandwidth
    busy = products + attention + move + weights
    starts = facts()["launch"]["value"][run.stack.stack] * (_fusing(run.stack, plan) if plan.training.compile else 1)
    waiting = max(tensors * starts - busy, 0)
    links = sent(run, gpu)
    hidden = facts()["hidden"]["value"]
    outside = max(links.each - busy * hidden, (1 - hidden) * links.each)
    once = max(links.once - busy * hidden, (1 - hidden) * links.once)
    return Seconds(
        products=times * products,
        attention=times * attention,
        operators=times * move,
        weights=times * weights,
        waiting=times * waiting,
        links=times * outside + once,
        optimizer=_optimizer(run, gpu, bandwidth),
        trainer=facts()["trainer"]["value"],
    )


def _moved(run: Run) -> tuple[float, float]:
    """Bytes written beside products, and tensors made, in one pass forth and back."""
    found = run.passes[0].moments
    again = run.plan.training.gradient_checkpointing is not False
    forth = found.forth.plus(Moved(), 0)
    times = 1 + again + asked(run.plan)
    total = found.back.plus(found.around).plus(forth, times)
    written, tokens = total.written, run.work.tokens
    size = tokens * (written.token + run.work.length * written.pair + written.logit)
    return size + written.whole + written.gradient + run.passes[0].tile * written.tile, total.tensors


def _weights_read(run: Run) -> float:
    """Bytes of weights that products read in a pass. Quantised ones are expanded, which the tape counts."""
    if run.plan.quantization is not None:
        return 0
    again = run.plan.training.gradient_checkpointing is not False
    return run.base.total * (2 + again + asked(run.plan))


def _fusing(stack: Profile, plan: Plan) -> float:
    """Which share of single operators' traffic and starts is left where a compiler fuses them."""
    if plan.training.compile:
        return facts()["compiled_liger" if plan.training.kernels == "liger" else "compiled"]["value"]
    return operators(stack.stack)


def _optimizer(run: Run, gpu: Gpu, bandwidth: float) -> float:
    """Seconds to read gradients, weights and state, and to write the last two. Where the state lies in main memory its
    pages come over PCIe and go back; where the processor steps, it reads and writes them no faster than that, and
    weights come back."""
    layout = run.layout
    trained = sum(group.size for group in run.groups) / layout.optimizer
    if layout.state_offloaded:
        return (2 * run.state + 3 * trained) / to_host(gpu)
    if run.plan.training.optimizer in PAGED:
        return 3 * trained / bandwidth + 2 * run.state / to_host(gpu)
    return (3 * trained + 2 * run.state) / bandwidth
