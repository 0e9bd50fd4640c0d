"""Bytes of the base's weights."""

from __future__ import annotations

from msgspec import Struct

from compiler.memory.precision import Precision
from schemas.facts import Linear, ModelFacts
from schemas.method_plan import QuantizationPlan
from schemas.plan import Plan

FOUR_BIT = 0.5 + 4 / 64
"""Bytes of an nf4 or fp4 weight: half a byte, and one float32 scale for 64 of them."""
FOUR_BIT_DOUBLE = 0.5 + 1 / 64 + 4 / (64 * 256)
"""The same with the scales in 8 bit, and one float32 for 256 scales."""
GROUPED = 0.5 + 2 / 128 + 0.5 / 128
"""Bytes of a GPTQ or AWQ weight in groups of 128, each with a 16-bit scale and a 4-bit zero."""
EIGHT_BIT = 1.0
"""Bytes of an int8 weight; its one float32 scale a row is counted apart."""


class Weights(Struct, frozen=True):
    """`total`: bytes at rest. `largest`: elements of the largest linear layer. `unit`: 16-bit bytes of one decoder
    layer."""

    total: int
    largest: int
    unit: int


def weights(plan: Plan, kept: Precision) -> Weights:
    """The base's weights on one card before sharding. Where the method trains them, all are loaded in its type."""
    facts = plan.facts
    small = tuple(linear for linear in facts.linears if not linear.fused) if plan.quantization else ()
    quantised = sum(quantised_bytes(linear, plan.quantization, facts) for linear in small)
    rest = facts.params - sum(linear.weights for linear in small)
    total = quantised + rest * kept.rest
    largest = max((linear.d_in * linear.d_out for linear in facts.linears), default=0)
    unit = sum(linear.weights // linear.layers for linear in facts.linears) * kept.base
    return Weights(total, largest, unit)


def quantised_bytes(linear: Linear, quantization: QuantizationPlan | None, facts: ModelFacts) -> int:
    """Bytes of a quantised linear layer, all its copies in all its layers."""
    if quantization is None:
        return 0
    if quantization.bits == 8:
        rows = linear.d_out * linear.copies * linear.layers
        return int(linear.weights * EIGHT_BIT) + rows * 4
    if facts.prequantized in ("gptq", "awq"):
        return int(linear.weights * GROUPED)
    return int(linear.weights * (FOUR_BIT_DOUBLE if quantization.double_quant else FOUR_BIT))
