"""A run that has ended, for real: a tiny base, trained in this process for as long as it takes to learn a little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from native_base import make_plan, source, write_artifact

from schemas.plan import Plan

QUICKSTART = Path(__file__).parents[1] / "recipes" / "quickstart"
ROWS = QUICKSTART / "data" / "train.jsonl"
HELD_OUT = QUICKSTART / "data" / "heldout.jsonl"
LEARNT: dict[str, Any] = {
    "data": {"train": (source(ROWS, limit=1600),), "validation": 32, "max_length": 64},
    "training": {"max_steps": 50, "learning_rate": 3e-3, "micro_batch_size": 32, "global_batch_size": 32},
    "evaluation": {"every": 50},
    "checkpoint": {"every": None},
}


def dates(folder: Path, **sections: Any) -> Plan:
    """A plan for the quickstart's base: it learns to write dates anew. `sections`: as those of `make_plan`."""
    told = {**LEARNT, **sections}
    for name in ("data", "training"):
        told[name] = {**LEARNT[name], **sections.get(name, {})}
    return make_plan(QUICKSTART / "base", source(ROWS), folder / "run", **told)


def finished(folder: Path, plan: Plan) -> Path:
    """The folder of its run."""
    from backends.native import train

    assert train.main(["--plan", str(write_artifact(plan, folder / "artifact") / "plan.json")]) == 0
    return Path(plan.output.dir)


def call(command: Any, *arguments: object, said: str | None = None) -> Result:
    """A command in this process, where torch is loaded already. Its exit code is what it gives back, and errors are in
    `exception`; tests/test_cli.py has them through the real process."""
    return CliRunner().invoke(command, [str(each) for each in arguments], input=said, standalone_mode=False)
