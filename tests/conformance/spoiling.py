"""Artifacts that are wrong on purpose: a check that does not notice them sees nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from schemas.artifact import Target


class Spoil(Struct, frozen=True):
    """`old` becomes `new` in the config or script. `word`: stands in what is said of it, where it is seen."""

    name: str
    old: str
    new: str
    word: str


SPOILS: Final[dict[Target, tuple[Spoil, ...]]] = {
    "axolotl": (
        Spoil("unknown key", "lora_r:", "lora_rank:", "lora_rank: unknown"),
        Spoil("another rate", "learning_rate: 0.0002", "learning_rate: 0.0003", "training.learning_rate: "),
        Spoil("another mask", "train_on_inputs: false", "train_on_inputs: true", "data.loss_on: "),
    ),
    "llamafactory": (
        Spoil("unknown word", "flash_attn: sdpa", "flash_attn: flash_attention_2", "flash_attn: 'flash_attention_2'"),
        Spoil("another rate", "learning_rate: 0.0002", "learning_rate: 0.0003", "training.learning_rate: "),
        Spoil("another mask", "train_on_prompt: false", "train_on_prompt: true", "data.loss_on: "),
    ),
    "unsloth": (
        Spoil("unknown keyword", "weight_decay=", "weight_decai=", "weight_decai is "),
        Spoil("another rate", "learning_rate=0.0002", "learning_rate=0.0003", "training.learning_rate: "),
        Spoil("another mask", "loss_on='assistant'", "loss_on='all'", "data.loss_on: "),
    ),
}


def is_seen(kind: Spoil, said: Iterable[str]) -> bool:
    """Whether what was spoiled is among what is said: another reason proves nothing."""
    return any(kind.word in line for line in said)


def spoil(built: list[Any], kind: Spoil, file: str) -> Any | None:
    """The first generated artifact whose `file` has the words, spoiled; None where none has."""
    for item in built:
        body = item.folder / file
        text = body.read_text(encoding="utf-8")
        if item.case.generated and kind.old in text:
            name = f"spoiled, {kind.name}"
            folder = item.folder.with_name(name.replace(", ", "-").replace(" ", "-"))
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(item.folder, folder)
            (folder / file).write_text(text.replace(kind.old, kind.new), encoding="utf-8")
            return replace(item, case=replace(item.case, name=name), folder=folder)
    return None
