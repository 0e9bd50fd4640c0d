# pyright: basic
# Strict typing stops at the libraries' optimizers, which are untyped.
"""The optimizer of each name, the class that the stack takes for it, on fake parameters."""

from __future__ import annotations

from typing import Any, Final

import torch

from backends.native.muon import muon
from compiler.memory.stacks import Profile
from compiler.trace.recorder import EMULATED, Recorder
from compiler.trace.untraceable import UntraceableError
from schemas.method_plan import LoraPlan
from schemas.plan import Plan
from schemas.recipe import Optimizer

RATE: Final = 1e-4
BITSANDBYTES: Final[dict[Optimizer, tuple[str, int, bool]]] = {
    "adamw_8bit": ("AdamW", 8, False),
    "paged_adamw_8bit": ("AdamW", 8, True),
    "paged_adamw": ("AdamW", 32, True),
    "lion_8bit": ("Lion", 8, False),
}
"""Class, bits and whether state is paged, as transformers 5.23 (trainer_optimizer.py) asks for them."""

PAGED_FROM: Final = 100_000
"""Elements from which bitsandbytes keeps state in managed memory (0.50, optim/optimizer.py get_state_buffer)."""


def build_optimizer(plan: Plan, model: Any, trained: list[Any], stack: Profile) -> torch.optim.Optimizer:
    """The plan's optimizer; with LoRA+ its parameters in PEFT's groups."""
    if plan.training.optimizer == "muon" and stack.stack == "native":
        return muon(model, RATE, 0.0)
    kind, options = _choice(plan.training.optimizer, stack)
    method = plan.method
    if not isinstance(method, LoraPlan) or method.lora_plus_ratio is None:
        optimizer = kind(trained, lr=RATE, **options)
    else:
        from peft.optimizers import create_loraplus_optimizer

        ratio = method.lora_plus_ratio
        optimizer = create_loraplus_optimizer(model, kind, lr=RATE, loraplus_lr_ratio=ratio, **options)
    if options.get("optim_bits") == 8 and stack.stack != "peft":
        _keep_embeddings_wide(model, optimizer)
    if options.get("is_paged"):
        _page(optimizer)
    return optimizer


def _choice(name: Optimizer, stack: Profile) -> tuple[Any, dict[str, Any]]:
    """Class and arguments. Fake tensors are not of the type that torch looks for, so that what it would choose on CUDA
    is said."""
    if name == "adamw":
        return torch.optim.AdamW, {"fused": not stack.foreach, "foreach": stack.foreach}
    if name == "sgd":
        return torch.optim.SGD, {"foreach": True}
    if name == "adafactor":
        from transformers.optimization import Adafactor

        return Adafactor, {"scale_parameter": False, "relative_step": False}
    if name in BITSANDBYTES:
        import bitsandbytes

        _answer_updates()
        kind, bits, paged = BITSANDBYTES[name]
        return getattr(bitsandbytes.optim, kind), {"optim_bits": bits, "is_paged": paged}
    raise UntraceableError(f"{name}'s step")


def _keep_embeddings_wide(model: Any, optimizer: Any) -> None:
    """transformers 5.23 (trainer.py create_optimizer) keeps 32-bit state for embeddings under 8-bit optimizers."""
    embeddings = (module for module in model.modules() if isinstance(module, torch.nn.Embedding))
    wide = {id(parameter) for module in embeddings for parameter in module.parameters()}
    optimizer.mng = object.__new__(type(optimizer.mng))  # the library's own is one for the process
    optimizer.mng.initialize()
    for index, group in enumerate(optimizer.param_groups):
        for place, parameter in enumerate(group["params"]):
            if id(parameter) in wide:
                optimizer.mng.index2config[(index, place)] = {"optim_bits": 32}


def _page(optimizer: Any) -> None:
    """Give large parameters state that takes no room: it lies in managed memory, not in torch's allocator."""
    own, shared = optimizer.get_state_buffer, {}

    def buffer(parameter: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        if parameter.numel() < PAGED_FROM:
            return own(parameter, dtype)
        if dtype not in shared:
            shared[dtype] = torch.zeros((), dtype=dtype)
        return shared[dtype].expand(parameter.shape)

    optimizer.get_state_buffer = buffer


def _in_place(recorder: Recorder, func: Any, *_: Any, **__: Any) -> None:
    """bitsandbytes' kernels change weights and state where they are."""


def _answer_updates() -> None:
    operators = torch.ops.bitsandbytes
    EMULATED[operators.optimizer_update_8bit_blockwise.default] = _in_place
    EMULATED[operators.optimizer_update_32bit.default] = _in_place
