"""How long a run takes and what it costs: arithmetic over a stated efficiency. An order of magnitude, and said so."""

from __future__ import annotations

from msgspec import Struct

from compiler.memory.batch import Batch, batch
from compiler.memory.stacks import profile
from schemas.facts import Gpu
from schemas.footprint import Footprint, Stack
from schemas.plan import Plan
from schemas.work import pair_flops, peak_flops, token_flops

PACKED = 0.35
"""Share of a card's peak that packed rows reach with a fused attention kernel. Published: 33-39 % (torchtitan, Llama
3.1 8B full, H100), about 40 % (torchtune, Llama 3.2 3B LoRA, A100, compiled)."""
MASKED = 0.28
"""The same where attention writes out its mask (SDPA over packed rows) or its scores (eager)."""
PADDED = 0.25
"""The same of padded rows, whose padding counts as tokens here."""
LIGER = 1.2
"""What Liger's kernels multiply it by, with or without torch's compiler: 1.22 read of Llama 3.1 8B LoRA on an H100
(bench/results/h100.speed.json), where 0.36 of the card's stated peak was reached without either."""
COMPILED = 1.3
"""What torch's compiler multiplies it by: 1.34 read there."""
SEVERAL = 0.85
"""What several cards keep of their sum after talking to each other."""
DEQUANTISED_BYTES = 2.5
"""Bytes read and written to expand one 4-bit weight to 16 bit."""
GIGA = 1e9


class Estimate(Struct, frozen=True):
    """`tokens_per_second` of all cards together; None where the card's rate is unknown. `hours` and `usd` are None
    where the number of tokens, or the price, is unknown. `basis` and `cost_basis` say what was assumed."""

    tokens_per_second: float | None
    hours: float | None
    usd: float | None
    basis: str
    cost_basis: str


def estimate(plan: Plan, footprint: Footprint, tokens: int | None = None) -> Estimate:
    """Time and cost of the whole run. `tokens`: of all epochs, where the data was counted."""
    speed = tokens_per_second(plan, footprint)
    seen = _tokens(plan) if tokens is None else tokens
    hours = seen / speed / 3600 if speed and seen is not None else None
    return Estimate(
        speed, hours, _usd(plan, hours), _basis(plan, footprint.stack, speed, seen), _cost_basis(plan, hours)
    )


def tokens_per_second(plan: Plan, footprint: Footprint) -> float | None:
    """Positions of all cards together that go through the model in a second; None where the rate is unknown."""
    peak = peak_flops(plan)
    if peak is None or plan.gpu is None or footprint.verdict == "does_not_fit":
        return None
    seconds = flops_per_token(plan, footprint.stack) / (peak * efficiency(plan, footprint.stack)) + _expanding(
        plan, plan.gpu
    )
    return plan.devices * (SEVERAL if plan.devices > 1 else 1) / seconds


def flops_per_token(plan: Plan, stack: Stack) -> float:
    """Floating-point operations of one training token on this stack: those of its model, and of all that is computed
    again."""
    facts, seen = plan.facts, _seen(plan, stack)
    work = token_flops(plan) + pair_flops(plan) * seen
    forward = 2 * facts.matmul_params + 4 * facts.layers * facts.heads * facts.head_dim * seen
    return work + (forward if plan.training.gradient_checkpointing is not False else 0)


def _seen(plan: Plan, stack: Stack) -> float:
    """Positions that attention compares one with: those before it, half of a row on average; all of them under a
    mask that is written out."""
    work = batch(plan, plan.training.micro_batch_size, profile(stack))
    return work.length if _written_out(plan, work) else plan.data.max_length / 2


def _written_out(plan: Plan, work: Batch) -> bool:
    """Whether attention is computed over all pairs of positions of a row, and some of them then left out."""
    return plan.model.attention == "eager" or (work.masked and plan.model.attention == "sdpa")


def efficiency(plan: Plan, stack: Stack) -> float:
    """The share of the card's peak that is assumed."""
    if not plan.data.packing:
        return PADDED * _fused(plan)
    work = batch(plan, plan.training.micro_batch_size, profile(stack))
    return (MASKED if _written_out(plan, work) else PACKED) * _fused(plan)


def _fused(plan: Plan) -> float:
    return LIGER if plan.training.kernels == "liger" else COMPILED if plan.training.compile else 1


def _expanding(plan: Plan, gpu: Gpu) -> float:
    """Seconds a token to expand 4-bit weights: every pass reads and writes them all, however few the tokens."""
    if plan.quantization is None or not gpu.bandwidth:
        return 0
    weights = sum(linear.weights for linear in plan.facts.linears if not linear.fused)
    passes = 3 if plan.training.gradient_checkpointing is not False else 2
    tokens = plan.training.micro_batch_size * plan.data.max_length
    return passes * weights * DEQUANTISED_BYTES / (gpu.bandwidth * GIGA) / tokens


def _tokens(plan: Plan) -> int | None:
    """Tokens of the whole run, where the recipe counts steps and rows are full."""
    if plan.training.max_steps is None or not plan.data.packing:
        return None
    return plan.training.max_steps * plan.tokens_per_step


def _usd(plan: Plan, hours: float | None) -> float | None:
    if hours is None or plan.gpu is None or plan.gpu.usd_per_hour is None:
        return None
    return hours * plan.gpu.usd_per_hour * plan.devices


def _basis(plan: Plan, stack: Stack, speed: float | None, tokens: int | None) -> str:
    if speed is None:
        return "no estimate: the card, or its rate in this type, is not known, or the run does not fit"
    work = (
        f"{flops_per_token(plan, stack) / GIGA:.1f} GFLOP a token at {efficiency(plan, stack):.0%} of the card's peak"
    )
    count = "the number of tokens is unknown until the data is read" if tokens is None else f"{tokens:,} tokens"
    return f"low confidence, from arithmetic: {work}; {count}; loading, evaluation and saving are not counted"


def _cost_basis(plan: Plan, hours: float | None) -> str:
    if plan.gpu is None or plan.gpu.usd_per_hour is None:
        return "no price is known"
    cards = f"{plan.devices} x " if plan.devices > 1 else ""
    price = f"{cards}{plan.gpu.usd_per_hour:.2f} USD an hour, a typical price of {plan.gpu.price_date}"
    return price if hours is not None else f"{price}; the hours are unknown"
