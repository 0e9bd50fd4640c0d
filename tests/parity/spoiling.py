"""Artifacts that are spoiled on purpose: a comparison that does not report them sees nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct
from parity.compare import Difference, What

from schemas.artifact import Target


class Spoil(Struct, frozen=True):
    """`file`, `old`, `new`: what stands otherwise in the target's artifact. `what`: the comparison that must say so."""

    about: str
    target: Target
    file: str
    old: str
    new: str
    what: What

    def apply(self, out: Path) -> None:
        """Change the artifact; `ValueError` where it does not say what would be changed."""
        file = out / self.file
        text = file.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.target}: {self.file} does not say {self.old!r} once, so it cannot be spoiled")
        file.write_text(text.replace(self.old, self.new), encoding="utf-8")


class Spoiled(Struct, frozen=True):
    """A spoiled run, and what the comparison says of it."""

    spoil: Spoil
    differences: list[Difference]

    @property
    def seen(self) -> Difference | None:
        """The difference that was made; none where the comparison misses it, or excuses it."""
        return next((item for item in self.differences if item.what == self.spoil.what and item.broken), None)


SPOILS: Final = (
    Spoil(
        "rows in random order",
        "llamafactory",
        "config.yaml",
        "disable_shuffling: true",
        "disable_shuffling: false",
        "batches",
    ),
    Spoil("questions trained", "axolotl", "config.yaml", "train_on_inputs: false", "train_on_inputs: true", "batches"),
    Spoil("another learning rate", "unsloth", "train.py", "learning_rate=0.003", "learning_rate=0.006", "steps"),
    Spoil("another seed", "llamafactory", "config.yaml", "\nseed: 42", "\nseed: 43", "weights"),
)
"""On the first variant: with adapters, which a seed decides."""
