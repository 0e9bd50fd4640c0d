"""Rules about quantised weights: the base's own, and those that a method makes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from compiler.rules.context import Context, Rule
from schemas.diagnostic import Finding
from schemas.facts import Prequantization
from schemas.method import LoraMethod

BITS: Final[dict[Prequantization, int]] = {"bnb-4bit": 4, "bnb-8bit": 8, "gptq": 4, "awq": 4}
"""Bits of the shipped weights that an adapter can be trained on as they are (transformers: `is_trainable`)."""

DEQUANTISED: Final = ("mxfp4",)
"""Shipped weights that transformers can turn into 16-bit ones while loading, and cannot train on as they are."""


def base_already_quantised(context: Context) -> Iterator[Finding]:
    """What is shipped in few bits is kept so, or turned back where transformers can; all else is an error."""
    facts, method = context.facts, context.recipe.method
    if facts is None or facts.prequantized is None:
        return
    shipped = facts.prequantized
    if shipped in DEQUANTISED and method.kind in ("lora", "dora", "full"):
        return
    if method.kind == "full":
        message = f"{facts.name} is shipped quantised ({shipped}): its weights cannot all be trained"
        yield Finding("FTC202", "method.kind", message, f"name the 16-bit base, or {_adapter_for(shipped)}")
    elif method.kind not in ("qlora", "qdora") or shipped not in BITS:
        message = f"{facts.name} is shipped quantised ({shipped}), which {method.kind} cannot be trained on"
        yield Finding("FTC203", "method.kind", message, f"name the 16-bit base, or {_adapter_for(shipped)}")
    elif _bits(method) != BITS[shipped]:
        message = f"{facts.name} is shipped in {BITS[shipped]} bits ({shipped}), the recipe says {_bits(method)}"
        yield Finding("FTC203", "method.quantization.bits", message, f"write bits: {BITS[shipped]}, or another base")


def _adapter_for(shipped: Prequantization) -> str:
    return "write `kind: lora`" if shipped in DEQUANTISED else "write `kind: qlora`"


def _bits(method: object) -> int:
    return method.quantization.bits if isinstance(method, LoraMethod) and method.quantization else 4


def merge_into_quantised(context: Context) -> Iterator[Finding]:
    """An adapter of qlora is merged into the base loaded anew in 16 bit; a base shipped quantised has no such copy."""
    facts = context.facts
    if not context.recipe.output.merge or facts is None or facts.prequantized is None:
        return
    if facts.prequantized not in DEQUANTISED:
        message = f"{facts.name} is shipped quantised ({facts.prequantized}): an adapter merged into it loses precision"
        hint = "name the 16-bit base, which merging loads anew, or keep the adapter apart"
        yield Finding("FTC204", "output.merge", message, hint)


def fused_experts(context: Context) -> Iterator[Finding]:
    """Experts in one 3-D parameter are no nn.Linear, and bitsandbytes quantises only those."""
    facts, method = context.facts, context.recipe.method
    if facts is None or facts.prequantized or method.kind not in ("qlora", "qdora"):
        return
    fused = sum(linear.weights for linear in facts.linears if linear.fused)
    if fused:
        share = fused / max(facts.params, 1)
        message = (
            f"{share:.0%} of {facts.name} are experts in fused parameters, which stay 16-bit: "
            f"{method.kind} would quantise only the rest"
        )
        yield Finding(
            "FTC211", "method.kind", message, f"write `kind: {method.kind[1:]}`, and weigh it with `ftc plan`"
        )


def sharded_four_bit(context: Context) -> Iterator[Finding]:
    method = context.recipe.method
    if context.recipe.hardware.strategy == "zero3" and method.kind in ("qlora", "qdora"):
        message = f"zero3 cannot shard the quantised weights of {method.kind}"
        yield Finding("FTC274", "hardware.strategy", message, "write fsdp to shard them, or zero2")


RULES: Final = (
    Rule(("model.base", "method.kind", "method.quantization"), base_already_quantised),
    Rule(("model.base", "output.merge"), merge_into_quantised),
    Rule(("model.base", "method.kind"), fused_experts),
    Rule(("hardware.strategy", "method.kind"), sharded_four_bit),
)
