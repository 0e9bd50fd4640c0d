"""What cannot be parted among cards on the native target, or kept beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from backends.alike import unoffloadable
from schemas.diagnostic import Finding
from schemas.method_plan import PrefixPlan, PromptPlan, PTuningPlan
from schemas.plan import Plan

BITSANDBYTES: Final = ("adamw_8bit", "paged_adamw", "paged_adamw_8bit", "lion_8bit")
BY_WEIGHTS: Final = ("pissa", "olora", "loftq")


def sharding_losses(plan: Plan) -> Iterator[Finding]:
    """By the strategy."""
    strategy = plan.hardware.strategy
    if strategy in ("single", "ddp"):
        return
    yield from unoffloadable(plan)
    if plan.checkpoint.best and plan.checkpoint.weights_only:
        message = "of weights alone the best checkpoint cannot be put back among several cards"
        yield Finding("FTC404", "checkpoint.weights_only", message)
    if strategy in ("fsdp", "zero3") and isinstance(plan.method, PrefixPlan | PromptPlan | PTuningPlan):
        message = f"{plan.method.kind} makes virtual tokens of weights that {strategy} parts: write ddp, or zero2"
        yield Finding("FTC404", "hardware.strategy", message)
    yield from _fsdp_losses(plan) if strategy == "fsdp" else _zero_losses(plan)


def _fsdp_losses(plan: Plan) -> Iterator[Finding]:
    optimizer = plan.training.optimizer
    if optimizer in BITSANDBYTES:
        message = f"{optimizer} is bitsandbytes', whose step does not know parted weights: write adamw"
        yield Finding("FTC404", "training.optimizer", message)
    if optimizer == "adafactor":
        message = "transformers' adafactor does not know parted weights: write adamw, or muon"
        yield Finding("FTC404", "training.optimizer", message)
    if plan.quantization and plan.quantization.bits == 8:
        message = "weights of 8 bits cannot be parted, as their scales stay behind: write 4"
        yield Finding("FTC404", "method.quantization.bits", message)


def _zero_losses(plan: Plan) -> Iterator[Finding]:
    if plan.training.optimizer == "adafactor":
        message = "DeepSpeed lays all weights end to end, and adafactor needs matrices: write adamw"
        yield Finding("FTC404", "training.optimizer", message)
    if plan.hardware.strategy != "zero3":
        return
    if plan.lora and plan.training.gradient_checkpointing == "selective":
        message = "adapters under zero3 are recomputed in the older way, which keeps nothing: write true"
        yield Finding("FTC404", "training.gradient_checkpointing", message)
    if plan.lora and plan.lora.init in BY_WEIGHTS:
        message = f"{plan.lora.init} computes adapters from whole weights, which no card has: write fsdp, or zero2"
        yield Finding("FTC404", "method.init", message)
    if plan.model.tokens.add:
        message = "rows for new tokens are not made where zero3 has parted the embedding: write fsdp, or zero2"
        yield Finding("FTC404", "model.tokens.add", message)
