"""A machine without a GPU answers as one with an H100 would, and a run stops where training begins.

What is pretended is only what the tools ask before they build a trainer; they load a small model and prepare the rows
for real, on the CPU. Runs in the tools' own Pythons.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import transformers.trainer
import transformers.training_args
import transformers.utils
import transformers.utils.import_utils
from transformers import PreTrainedModel, Trainer


class Reached(BaseException):
    """The trainer stands, and training would begin. `resume`: the checkpoint it was told to go on from."""

    def __init__(self, trainer: Trainer, resume: object) -> None:
        super().__init__("training would begin")
        self.trainer = trainer
        self.resume = resume


def a_card(*modules: ModuleType) -> None:
    """bfloat16, TF32 and every kind of attention are there; trackers are not started."""
    asked = (transformers.utils, transformers.utils.import_utils, transformers.training_args, *modules)
    for module in asked:
        module.is_torch_bf16_gpu_available = _yes
        module.is_torch_tf32_available = _yes
    transformers.training_args.enable_tf32 = lambda *_, **__: None
    PreTrainedModel._check_and_adjust_attn_implementation = _as_asked
    transformers.trainer.get_reporting_integration_callbacks = lambda *_: []


def _yes(*_: object, **__: object) -> bool:
    return True


def _as_asked(_model: PreTrainedModel, attn_implementation: str | None, *_: object, **__: object) -> str:
    return attn_implementation or "sdpa"


def stop_at_training() -> None:
    """`train` of transformers' trainer raises `Reached`."""
    Trainer.train = _reached


def _reached(self: Trainer, resume_from_checkpoint: object = None, *_: object, **__: object) -> None:
    raise Reached(self, resume_from_checkpoint)


def reached(run: Callable[[], object]) -> Reached:
    """The trainer that a run comes to; `RuntimeError` where it ends without one."""
    try:
        run()
    except Reached as found:
        return found
    raise RuntimeError("the run ended before training began")
