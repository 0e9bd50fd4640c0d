"""What cannot be traced, and why."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.errors import FtcError
from compiler.exit import MISSING
from compiler.memory.loss import computed_loss
from compiler.memory.stacks import Profile
from schemas.plan import Plan


class UntraceableError(FtcError):
    """A part of the run that is not in the libraries of this machine, or whose course only data decides."""

    def __init__(self, message: str) -> None:
        super().__init__(f"cannot be traced: {message}", "without --exact the formula weighs it", MISSING)


def require_traceable(plan: Plan, stack: Profile) -> None:
    """Refuse what is known beforehand to have no trace."""
    for why in _against(plan, stack):
        raise UntraceableError(why)


def _against(plan: Plan, stack: Profile) -> Iterator[str]:
    training, facts = plan.training, plan.facts
    if stack.stack == "unsloth":
        yield "Unsloth replaces the model's operators and loss by kernels of its own, which run on a GPU only"
    if computed_loss(plan, stack) == "chunked" and stack.stack != "native":
        yield f"{stack.title}'s chunked loss is code of its own, which is not among ftc's libraries"
    if stack.stack == "peft" and plan.model.dtype == "float16" and plan.lora and plan.lora.modules_to_save:
        yield "without autocast float32 copies of modules meet float16 weights, which torch does not multiply"
    if training.kernels == "liger":
        yield "Liger's kernels run on a GPU only"
    if training.objective not in ("sft", "pretrain"):
        yield f"the loss of {training.objective}"
    if training.optimizer == "adamw_4bit" or (training.optimizer == "muon" and stack.stack != "native"):
        yield f"{training.optimizer}'s step"
    if plan.model.attention == "flex":
        yield "flex attention is compiled for the card"
    if facts.prequantized is not None and plan.quantization is not None:
        yield f"products with {facts.prequantized} weights run on a GPU only"
    yield from _elsewhere(plan)


def _elsewhere(plan: Plan) -> Iterator[str]:
    """What the hardware stands against."""
    if plan.gpu is not None and plan.gpu.is_cpu:
        yield "the trace takes CUDA's paths, and the recipe runs on a CPU"
    if plan.hardware.strategy not in ("single", "ddp"):
        yield f"{plan.hardware.strategy} spreads tensors over cards as the run goes"
