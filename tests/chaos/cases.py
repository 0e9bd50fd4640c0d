"""What is trained while it is killed: the quickstart's base and rows by recipes that differ in what a checkpoint has to
hold, each a run of a few seconds that saves at nearly every step."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "recipes" / "quickstart" / "quickstart.ftc.yaml"
STEPS = 30


class Case(NamedTuple):
    """`holds`: what has to be taken up where it was, beside model, optimizer and schedule."""

    name: str
    holds: str
    changes: dict[str, dict[str, Any]]


LORA = {"kind": "lora", "rank": 8, "alpha": 16, "dropout": 0.1}
CASES = (
    Case(
        "LoRA, dropout",
        "random numbers, also those that an evaluation draws",
        {"method": LORA, "evaluation": {"every": 7}},
    ),
    Case(
        "full, the best kept",
        "which checkpoint is the best; half a log line",
        {
            "method": {"kind": "full"},
            "evaluation": {"every": 2},
            "checkpoint": {"every": 2, "best": True, "keep": 1},
            "logging": {"every": 3},
        },
    ),
    Case(
        "DoRA, packed, epochs",
        "the position in an epoch; an evaluation at its end",
        {
            "method": {**LORA, "kind": "dora"},
            "data": {"packing": True, "max_length": 128},
            "training": {"max_steps": None, "epochs": 2, "micro_batch_size": 1, "global_batch_size": 2},
            "evaluation": {"every": "epoch"},
        },
    ),
    Case(
        "adapters, NEFTune, four passes a step",
        "the position among the passes; noise",
        {
            "method": {"kind": "adapter", "bottleneck": 8},
            "training": {"micro_batch_size": 2, "neftune_alpha": 5.0},
            "logging": {"every": 2},
        },
    ),
)


def recipe(case: Case, out: Path) -> str:
    """The quickstart's, with what the case changes."""
    whole = yaml.safe_load(RECIPE.read_text("utf-8"))
    place = RECIPE.parent
    whole["name"] = "chaos"
    whole["model"]["base"] = str(place / "base")
    for part, count in (("train", 160), ("validation", 16)):
        whole["data"][part] = [{"path": str(place / "data" / f"{part}.jsonl"), "format": "messages", "limit": count}]
    whole["training"] |= {"epochs": None, "max_steps": STEPS, "global_batch_size": 8, "micro_batch_size": 8}
    whole["training"] |= {"gradient_checkpointing": False}
    whole |= {"evaluation": {"every": None}, "checkpoint": {"every": 1, "keep": 2}, "logging": {"every": 1}}
    whole["output"] = {"dir": str(out)}
    for section, said in case.changes.items():
        whole[section] = said if section == "method" else {**whole.get(section, {}), **said}
    whole["training"] = {name: value for name, value in whole["training"].items() if value is not None}
    return yaml.safe_dump(whole)
