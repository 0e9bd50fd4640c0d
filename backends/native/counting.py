# pyright: basic
# Strict typing stops at transformers and trl, whose arguments are untyped.
"""What every trainer of a run adds to TRL's: it counts tokens, and keeps what a stopped run goes on from.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file

from backends.native.checkpoints import Keeper
from backends.native.guards import LossWatch, require_numbers
from backends.native.resume import ResumeError
from backends.native.room import is_short

MASKS = ("attention_mask", "chosen_attention_mask", "rejected_attention_mask")
ENCODER = "prompt_encoder.safetensors"


class Counting:
    """Before one of TRL's trainers in a list of bases. `tokens`: seen in training by this process, padding left out;
    `seen`: by all of them, up to when they were asked last. `pairs`: positions that each of the process's tokens looked
    at, together. `keeper`: writes its checkpoints; None: there are none."""

    tokens: torch.Tensor | int = 0
    seen = 0
    pairs: torch.Tensor | float = 0.0
    keeper: Keeper | None = None

    def count(self, model: Any, inputs: dict[str, Any]) -> None:
        """The tokens of a batch, both answers' where two are compared, without waiting for the device."""
        if not model.training:
            return
        masks = [value for name, value in inputs.items() if name in MASKS]
        lengths = [mask.sum(-1) for mask in masks] or [inputs["cu_seq_lens_q"].diff()]
        self.tokens += sum(each.sum() for each in lengths)
        self.pairs += sum(each.double().square().sum() for each in lengths) / 2

    def log(self, *told: Any, **further: Any) -> None:
        """Every process does this at once, and the device is waited for anyway."""
        self.count_all()
        cast("Any", super()).log(*told, **further)

    def count_all(self) -> None:
        """Every process must ask at once: how many tokens all of them have seen."""
        accelerator = self._whole.accelerator
        self.seen = int(accelerator.reduce(torch.as_tensor(self.tokens, device=accelerator.device), "sum"))

    @cached_property
    def losses(self) -> LossWatch:
        """Looks at each."""
        return LossWatch(self._whole.processing_class)

    def require_sound(self) -> None:
        """`LossError` where what was learnt is not to be saved."""
        self.losses.look(wait=True)
        require_numbers(self._whole.model, self._whole.state.global_step)

    def training_step(self, model: Any, inputs: dict[str, Any], *further: Any) -> torch.Tensor:
        loss = cast("Any", super()).training_step(model, inputs, *further)
        self.losses.add(loss, self._whole.state.global_step + 1, inputs)
        return loss

    def _run_epoch(self, **told: Any) -> None:
        state, control = self._whole.state, self._whole.control
        if state.global_step < state.max_steps:
            cast("Any", super())._run_epoch(**told)
        else:  # stopped after its last step: transformers would take one more
            control.should_training_stop = True

    def _save_checkpoint(self, *told: Any) -> None:
        self.require_sound()
        save = cast("Any", super())._save_checkpoint
        if self.keeper:
            self.keeper.write(self._whole, lambda: save(*told))
        else:
            save(*told)

    def create_model_card(self, *told: Any, **further: Any) -> None:
        """None of TRL's: it says nothing of the run, which has one of its own."""

    def _get_output_dir(self, trial: Any) -> str:
        if self.keeper and self.keeper.writing:
            return str(self.keeper.aside)
        return cast("Any", super())._get_output_dir(trial)

    # Of networks that make virtual tokens PEFT saves what they made: all that a finished model needs, but nothing that
    # a run can go on from.

    def _save(self, output_dir: Any = None, state_dict: Any = None) -> None:
        trainer = cast("Any", super())
        trainer._save(output_dir, state_dict)
        encoder = getattr(self._whole.model, "prompt_encoder", None)
        if encoder and self._whole.args.should_save:
            save_file(encoder.state_dict(), Path(str(output_dir or self._whole.args.output_dir)) / ENCODER)

    def _load_from_checkpoint(self, resume_from_checkpoint: Any, model: Any = None) -> None:
        with _fitting(resume_from_checkpoint):
            if not self._load_encoder(resume_from_checkpoint):
                cast("Any", super())._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: Any) -> None:
        with _fitting(checkpoint):
            cast("Any", super())._load_optimizer_and_scheduler(checkpoint)

    def _load_best_model(self) -> None:
        if not self._load_encoder(self._whole.state.best_model_checkpoint):
            cast("Any", super())._load_best_model()

    def _load_encoder(self, checkpoint: Any) -> bool:
        """Whether there is one in the checkpoint."""
        saved = Path(checkpoint or "") / ENCODER
        if saved.is_file():
            self._whole.model.prompt_encoder.load_state_dict(load_file(saved))
        return saved.is_file()

    @property
    def _whole(self) -> Any:
        return self


@contextmanager
def _fitting(checkpoint: Any) -> Iterator[None]:
    """Says of which checkpoint it is where what is loaded is not what this model or optimizer has."""
    try:
        yield
    except (RuntimeError, ValueError, LookupError, OSError) as error:
        if is_short(error):
            raise
        raise ResumeError(
            f"{checkpoint} cannot be gone on from: it is damaged, or of another model, method or optimizer "
            f"({str(error).strip().splitlines()[0]}). Name another in checkpoint.resume, or train anew with --fresh"
        ) from error
