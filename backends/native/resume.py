# pyright: basic
# ruff: noqa: ARG002 (transformers hands every callback all that it has)
"""Going on with a run that was stopped: which checkpoint is complete, and whose it is.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from backends.native.files import digest, local_files
from backends.native.report import write_text

Plan = dict[str, Any]


class ResumeError(Exception):
    """Why a run cannot go on from where it should, in words for its owner."""


def identity(plan: Plan) -> str:
    """A hash of all that decides what is computed, local rows too; where results go and what is reported do not."""
    parts: dict[str, Any] = {key: plan[key] for key in ("name", "model", "method", "data", "training", "hardware")}
    parts["rows"] = [digest(file) for source in _sources(plan["data"]) for file in local_files(source["path"])]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _sources(data: dict[str, Any]) -> list[dict[str, Any]]:
    own = data["validation"] if isinstance(data["validation"], list) else []
    return [source for source in (*data["train"], *own) if source["local"]]


def place_to_resume(plan: Plan, out: Path, fresh: bool) -> str | None:
    """The checkpoint to go on from: the plan's, or the newest complete one of this very plan."""
    checkpoint = plan["checkpoint"]
    resume = checkpoint["resume"]
    if fresh or resume == "never" or (resume == "auto" and checkpoint["weights_only"]):
        return None
    if resume != "auto":
        if not (Path(resume) / "trainer_state.json").is_file():
            raise ResumeError(f'checkpoint.resume = "{resume}" is no checkpoint')
        return resume
    marks = [(json.loads(mark.read_text()), mark.parent) for mark in out.glob("checkpoints/*/complete.json")]
    own = [(mark["step"], str(folder)) for mark, folder in marks if mark["plan"] == identity(plan)]
    return max(own)[1] if own else None


def finished(plan: Plan, out: Path, fresh: bool) -> dict[str, Any] | None:
    """The summary of an earlier run of this very plan that came to its end."""
    path = out / "summary.json"
    if fresh or plan["checkpoint"]["resume"] != "auto" or not path.is_file():
        return None
    summary = json.loads(path.read_text("utf-8"))
    return summary if summary["plan"] == identity(plan) and Path(summary["result"]).is_dir() else None


def step_of(checkpoint: str) -> int:
    """The optimizer step after which a checkpoint was written."""
    return json.loads((Path(checkpoint) / "trainer_state.json").read_text("utf-8"))["global_step"]


class Finisher(TrainerCallback):
    """Marks a checkpoint as complete, and as one of this plan, once all of it is on disk."""

    def __init__(self, identity: str) -> None:
        self.identity = identity

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero and folder.is_dir():
            write_text(folder / "complete.json", json.dumps({"plan": self.identity, "step": state.global_step}))
