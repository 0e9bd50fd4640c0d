# pyright: basic
# Strict typing stops at torch's fake tensors.
"""One training run on fake tensors, from building the model to the end of its second step."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from compiler.memory.batch import batches
from compiler.memory.precision import precision
from compiler.memory.stacks import profile
from compiler.trace.card import fuses_heads
from compiler.trace.kernels import as_on_cuda
from compiler.trace.model import build_model
from compiler.trace.recorder import Recorder, Recording
from compiler.trace.step import Stepper
from compiler.trace.untraceable import require_traceable
from schemas.footprint import Stack
from schemas.plan import Plan

PASSES = (1, 2)
"""At most so many forward passes in each step. The first step makes the optimizer's state; the second has it from its
beginning, and a third pass in it would find what the second found."""


def record(plan: Plan, stack: Stack, config: Mapping[str, object]) -> Recording:
    """Everything that the run allocates and frees. `config`: the model's config.json.

    `FtcError` where a part of it cannot be traced.
    """
    facts = profile(stack)
    require_traceable(plan, facts)
    widths = precision(plan, facts)
    works = batches(plan, plan.training.micro_batch_size, facts, widths)
    recorder = Recorder()
    _import_what_is_replaced(plan, stack)
    gc.collect()
    gc.disable()
    try:
        with (
            warnings.catch_warnings(),
            as_on_cuda(fused_gqa=fuses_heads(plan)),
            FakeTensorMode(allow_non_fake_inputs=True),
        ):
            warnings.simplefilter("ignore")
            model = build_model(plan, facts, config)
            with recorder, recorder.following(model):
                _hold_weights(model, recorder)
                with nullcontext() if facts.casts_adapter_inputs or plan.lora is None else _uncast(model):
                    stepper = Stepper(model, plan, facts, widths, recorder)
                    for most, work in [(PASSES[0], works[0]), *((PASSES[1], work) for work in works)]:
                        stepper.step(work, min(most, plan.accumulation))
                    if plan.evaluation.every is not None and plan.data.validation is not None:
                        for work in batches(plan, plan.evaluation.batch_size, facts, widths):
                            stepper.evaluate(work)
                recorder.phase = "end"
    finally:
        gc.enable()
    return recorder.recording


def _import_what_is_replaced(plan: Plan, stack: Stack) -> None:
    if stack == "native" and plan.training.loss == "chunked":
        import trl.trainer.utils  # noqa: F401
    import transformers.masking_utils  # noqa: F401


def _hold_weights(model: Any, recorder: Recorder) -> None:
    """What is there before the first step: the base's weights, and the adapters on them."""
    trains_base = all(item.requires_grad for name, item in model.named_parameters() if "lora_" not in name)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            added = parameter.requires_grad and not trains_base
            recorder.hold(parameter, "adapters" if added else "weights", name)
            state = getattr(parameter, "quant_state", None)
            for tensor in _packed(state):
                recorder.hold(tensor, "weights", name)
        for name, buffer in model.named_buffers():
            recorder.hold(buffer, "weights", name)


def _packed(state: Any) -> list[torch.Tensor]:
    if state is None:
        return []
    nested = [state.state2.absmax, state.state2.code, state.offset] if state.nested else []
    return [state.absmax, *nested]


def _uncast(model: Any) -> Any:
    """Adapters that take their inputs as they come, as the native run has them."""
    from peft.helpers import disable_input_dtype_casting

    return disable_input_dtype_casting(model)
