"""Known differences: what a tool does otherwise, the line of its source that does it, and what its artifact says."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from schemas.artifact import Target


class Excuse(Struct, frozen=True):
    """`covers`: the comparisons that it excuses. `file`, `line`: in the tool's packages. `leaf`: of the warning that
    the artifact must carry. The run is repeated with all of it taken away (watch/sitecustomize.py), and then nothing is
    excused."""

    target: Target
    covers: tuple[str, ...]
    file: str
    line: str
    leaf: str
    why: str


EXCUSES: Final = (
    Excuse(
        "axolotl",
        ("weights", "last loss"),
        "axolotl/loaders/adapter.py",
        "model = get_peft_model(model, lora_config, **model_kwargs)",
        "training.seed",
        "The adapters' first values are drawn here, while the model is loaded. The seed is set only when the trainer "
        "is made (`set_seed` in `Trainer.__init__`), so it does not reach them, and no key of the config sets it "
        "before.",
    ),
    Excuse(
        "axolotl",
        ("shares", "last loss"),
        "axolotl/core/trainers/base.py",
        "self.model_accepts_loss_kwargs = False",
        "training.global_batch_size",
        "The trained tokens of a step's micro batches are not counted: the loss is the mean over micro batches of "
        "their means, not the mean over all trained tokens of the step. No key of the config changes it.",
    ),
)
"""At most two."""
