"""The recipes that all four train: the quickstart, changed so that nothing is drawn at random but adapters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from msgspec import Struct

ROOT: Final = Path(__file__).resolve().parents[2]
RECIPE: Final = ROOT / "recipes" / "quickstart" / "quickstart.ftc.yaml"
QUICKSTART_ROWS: Final = RECIPE.parent / "data" / "train.jsonl"
STEPS: Final = 20
SEED: Final = 42
COMMON: Final = (
    f"training.max_steps={STEPS}",
    "~training.epochs",
    f"training.seed={SEED}",
    "training.warmup=2",
    "data.shuffle=false",
    "data.packing=false",
    "data.overlong=truncate",
    "data.validation=null",
    "model.dtype=float32",
    "evaluation.every=null",
    "checkpoint.every=null",
    "logging.every=1",
)
LORA: Final = ("method.dropout=0.0",)
TURNS: Final = 300
"""Conversations of the third recipe: no whole number of steps, so an epoch ends within the twenty."""


class Variant(Struct, frozen=True):
    """A recipe that all four train. `about`: what it shows. `turns`: on conversations of several turns."""

    name: str
    about: str
    sets: tuple[str, ...]
    turns: bool = False


VARIANTS: Final = (
    Variant("lora", "LoRA of every linear layer, conversations of one answer, 32 at once", LORA),
    Variant(
        "full",
        "every weight, with weight decay, so nothing is random at the start",
        ("~method", "method={kind: full}", "training.weight_decay=0.1"),
    ),
    Variant(
        "turns",
        f"LoRA on {TURNS} conversations of one to three answers, some with a system text, 8 at once and 4 times a "
        "step; the rows end, unevenly, and begin again",
        (*LORA, "training.micro_batch_size=8", "data.max_length=128"),
        turns=True,
    ),
)


def rows_of(variant: Variant, scratch: Path) -> Path:
    """The file of its conversations."""
    return several_turns(scratch / "turns.jsonl") if variant.turns else QUICKSTART_ROWS


def several_turns(file: Path) -> Path:
    """The quickstart's conversations joined by ones, twos and threes, every other one under a system text."""
    lines = iter(QUICKSTART_ROWS.read_text(encoding="utf-8").splitlines())
    system = {"role": "system", "content": "Write the date."}
    with file.open("w", encoding="utf-8") as stream:
        for number in range(TURNS):
            turns = [turn for _ in range(1 + number % 3) for turn in json.loads(next(lines))["messages"]]
            stream.write(json.dumps({"messages": [system, *turns] if number % 2 else turns}) + "\n")
    return file
