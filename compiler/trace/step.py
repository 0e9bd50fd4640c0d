# pyright: basic
# Strict typing stops at transformers and trl, whose arguments are untyped.
"""The training step of each stack: its loss, its precision, its optimizer, in its order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from typing import Any

import torch
from accelerate.utils import convert_outputs_to_fp32

from compiler.memory.batch import Batch
from compiler.memory.loss import computed_loss
from compiler.memory.precision import Precision
from compiler.memory.stacks import Profile
from compiler.trace.model import bare_model
from compiler.trace.offloaded import Offloading
from compiler.trace.optimizers import build_optimizer
from compiler.trace.recorder import Recorder
from schemas.method_plan import PrefixPlan, PromptPlan, PTuningPlan
from schemas.plan import Plan

Inputs = dict[str, Any]


class Stepper:
    """Runs steps on a model of fake tensors, as `stack` does. `work`: the shape of one forward pass."""

    def __init__(self, model: Any, plan: Plan, stack: Profile, widths: Precision, recorder: Recorder) -> None:
        self.model, self.plan, self.stack, self.recorder = model, plan, stack, recorder
        self.trained = {name: item for name, item in model.named_parameters() if item.requires_grad}
        self.optimizer = build_optimizer(plan, model, list(self.trained.values()), stack)
        self.held: Any = None
        self.compute = _loss(model, plan, stack, _autocast(plan, widths))
        self.offloading = Offloading(model) if plan.training.gradient_checkpointing == "offload" else None

    def step(self, work: Batch, passes: int) -> None:
        """One optimizer step of so many forward passes."""
        self.recorder.phase = "step"
        for _ in range(passes):
            self._pass(work)
        for name, parameter in self.trained.items():
            if parameter.grad is not None:
                self.recorder.hold(parameter.grad, "gradients", name)
        self.recorder.phase = "optimizer"
        if self.plan.training.max_grad_norm:
            torch.nn.utils.clip_grad_norm_(list(self.trained.values()), self.plan.training.max_grad_norm)
        self.optimizer.step()
        self._hold_state()
        self.optimizer.zero_grad(set_to_none=True)

    def _hold_state(self) -> None:
        for name, parameter in self.trained.items():
            for item in self.optimizer.state[parameter].values():
                if isinstance(item, torch.Tensor):
                    self.recorder.hold(item, "optimizer", name)

    def evaluate(self, work: Batch) -> None:
        """One batch of evaluation."""
        self.recorder.phase = "eval"
        self.recorder.answer = 0 if work.masked or work.apart else 1
        self.model.eval()
        with torch.no_grad():
            self.compute(inputs(self.plan, self.stack, work))
        self.model.train()

    def _pass(self, work: Batch) -> None:
        """A loop that holds what the model gave out holds it until the next pass has given out its own."""
        self.recorder.answer = 0 if work.masked or work.apart else 1
        with self.offloading.moving() if self.offloading else nullcontext():
            outputs, loss = self.compute(inputs(self.plan, self.stack, work))
        self.held = outputs if self.stack.holds_outputs else None
        del outputs
        loss.backward()
        if self.offloading:
            self.offloading.done()


def inputs(plan: Plan, stack: Profile, work: Batch) -> Inputs:
    """A batch of the largest shape, all positions trained."""
    virtual = plan.method.virtual_tokens if isinstance(plan.method, PrefixPlan | PromptPlan | PTuningPlan) else 0
    tokens = torch.zeros((work.rows, work.length - virtual), dtype=torch.long)  # PEFT puts the virtual ones before
    batch: Inputs = {"input_ids": tokens, "labels": tokens.clone()}
    if plan.data.packing and stack.packed != "rows":
        batch["position_ids"] = torch.zeros_like(tokens)
        if work.apart:
            batch |= {"cu_seq_lens_q": torch.zeros(2, dtype=torch.int32), "max_length_q": work.length}
    elif work.masked:
        batch["attention_mask"] = torch.ones_like(tokens)
    return batch


def _autocast(plan: Plan, widths: Precision) -> torch.dtype | None:
    """The type that products are computed in, None without autocast."""
    return getattr(torch, plan.model.dtype) if widths.autocast else None


def _loss(model: Any, plan: Plan, stack: Profile, dtype: torch.dtype | None) -> Callable[[Inputs], tuple[Any, Any]]:
    """The forward pass and the loss: outputs, loss. The Trainer's stacks run the model under autocast and make what
    it gives out float32 (accelerate's prepare_model)."""
    chunked = computed_loss(plan, stack) == "chunked"
    if chunked:
        from trl.trainer.utils import add_fused_lm_head

        add_fused_lm_head(bare_model(model), outputs=("log_probs", "entropy", "is_top1"))
    named = {"fused_lm_head": True} if chunked else {}
    if stack.stack != "peft":
        named["use_cache"] = False

    def run(batch: Inputs) -> Any:
        with ExitStack() as around:
            if dtype is not None:
                around.enter_context(torch.autocast("cpu", dtype=dtype))
            return model(**batch, **named)

    widened = dtype is not None and stack.stack != "peft"
    forward: Any = convert_outputs_to_fp32(run) if widened else run

    def compute(batch: Inputs) -> tuple[Any, Any]:
        outputs = forward(batch)
        if not chunked:
            return outputs, outputs["loss"]
        return outputs, -outputs.log_probs.sum() / batch["labels"].numel()

    return compute
