"""Artifacts that are wrong on purpose: a check that does not notice them sees nothing."""

from __future__ import annotations

import shutil
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from schemas.artifact import Target


class Spoil(Struct, frozen=True):
    """`old` becomes `new` in the config or script."""

    name: str
    body: str
    old: str
    new: str


SPOILS: Final[dict[Target, tuple[Spoil, ...]]] = {
    "axolotl": (
        Spoil("unknown key", "config.yaml", "lora_r:", "lora_rank:"),
        Spoil("another rate", "config.yaml", "learning_rate: 0.0002", "learning_rate: 0.0003"),
        Spoil("another mask", "config.yaml", "train_on_inputs: false", "train_on_inputs: true"),
    ),
    "llamafactory": (
        Spoil("unknown word", "config.yaml", "flash_attn: sdpa", "flash_attn: flash_attention_2"),
        Spoil("another rate", "config.yaml", "learning_rate: 0.0002", "learning_rate: 0.0003"),
        Spoil("another mask", "config.yaml", "train_on_prompt: false", "train_on_prompt: true"),
    ),
    "unsloth": (
        Spoil("unknown keyword", "train.py", "weight_decay=", "weight_decai="),
        Spoil("another rate", "train.py", "learning_rate=0.0002", "learning_rate=0.0003"),
        Spoil("another mask", "train.py", "loss_on='assistant'", "loss_on='all'"),
    ),
}


def spoil(built: list[Any], kind: Spoil) -> Any | None:
    """The first generated artifact that has the words, spoiled; None where none has."""
    for item in built:
        body = item.folder / kind.body
        text = body.read_text(encoding="utf-8")
        if item.case.generated and kind.old in text:
            name = f"spoiled, {kind.name}"
            folder = item.folder.with_name(name.replace(", ", "-").replace(" ", "-"))
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(item.folder, folder)
            (folder / kind.body).write_text(text.replace(kind.old, kind.new), encoding="utf-8")
            return replace(item, case=replace(item.case, name=name), folder=folder)
    return None
