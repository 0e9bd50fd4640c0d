# pyright: basic
"""Going on with a run that was stopped: from which checkpoint, whose it is, and what a changed recipe changed.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from transformers import TrainerCallback

from backends.native.checkpoints import MARK, AfterEvaluation, Keeper, checkpoints, count_on, find_best, whole
from backends.native.origins import files_of
from backends.native.report import is_main

Plan = dict[str, Any]
CHECKPOINTS = "checkpoints"
LOG = "metrics.jsonl"
SECTIONS = ("model", "method", "training", "hardware")
ABOUT = ("report.html", "samples.json", "starts.json")
"""What a run tells of itself, also one that failed before its first step."""
RESULTS = (
    *("adapter", "model", "merged", "plan.json", "summary.json", "SERVING.md", "Modelfile", "eval-*.json"),
    *ABOUT,
)
"""What a run makes in its folder, beside its checkpoints and its log."""
PATIENCE = 30
"""Seconds to wait for another process that still writes into the folder: one that was told to stop saves a step."""
SHOWN = 12
"""Changes that are listed."""
HOW = {
    "training": ("micro_batch_size", "gradient_checkpointing", "loss", "kernels", "compile"),
    "model": ("attention",),
}
"""Settings by which the same steps are computed otherwise, and rounded otherwise. Where they are left open they are
chosen by the memory there is, so that another machine, or a change that saves memory, need not begin anew."""


class ResumeError(Exception):
    """Why a run cannot go on from where it should, in words for its owner."""


# --- whose a checkpoint is


def recipe_of(plan: Plan) -> dict[str, Any]:
    """All that decides what is computed, and a hash of it: settings and the content of local files. Where files lie,
    where results go and what is reported do not; how the same is computed is told, and not in the hash."""
    settings = {name: _without(plan[name], _how(plan).get(name, ())) for name in SECTIONS}
    settings["data"] = {name: _unplaced(value) for name, value in plan["data"].items()}
    resume = plan["checkpoint"]["resume"]
    begun = {} if resume in ("auto", "never") else {"resume": resume}
    settings["checkpoint"] = {"best": plan["checkpoint"]["best"], **begun}
    told = {"settings": settings, "files": files_of(plan)}
    how = {section: {name: plan[section][name] for name in names} for section, names in _how(plan).items()}
    return {
        "plan": hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest(),
        "recipe": {**told, "how": how},
    }


def _how(plan: Plan) -> dict[str, tuple[str, ...]]:
    """KTO compares the answers of a forward pass with each other: there, how many they are decides."""
    kto = plan["training"]["objective"] == "kto"
    return {
        name: tuple(leaf for leaf in leaves if not kto or leaf != "micro_batch_size") for name, leaves in HOW.items()
    }


def _without(section: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in section.items() if name not in names}


def identity(plan: Plan) -> str:
    """The hash alone."""
    return recipe_of(plan)["plan"]


def _unplaced(value: Any) -> Any:
    """Sources without the paths of local ones, whose content is compared."""
    if not isinstance(value, list):
        return value
    return [{name: item for name, item in source.items() if name != "path" or not source["local"]} for source in value]


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What one recipe says otherwise than an earlier one, a line each: leaves by their paths, and files."""
    lines = _differing(before["settings"], now["settings"])
    earlier, later = (dict(map(tuple, told["files"])) for told in (before, now))
    for name in dict.fromkeys((*earlier, *later)):
        if earlier.get(name) != later.get(name):
            what = "new" if name not in earlier else "no longer read" if name not in later else "its content changed"
            lines.append(f"{name}: {what}")
    return lines or ["its files"]


def _differing(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    old, new = (dict(_leaves(settings, "")) for settings in (before, now))
    return [
        f"{path}: {_said(old, path)} → {_said(new, path)}"
        for path in dict.fromkeys((*old, *new))
        if old.get(path, ...) != new.get(path, ...)
    ]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{path}[{number}]")
    else:
        yield path, value


def _said(leaves: dict[str, Any], path: str) -> str:
    return json.dumps(leaves[path], ensure_ascii=False) if path in leaves else "not there"


# --- where a run goes on


def place_to_resume(plan: Plan, out: Path, fresh: bool) -> str | None:
    """The checkpoint to go on from: the plan's, or the newest whole one. `ResumeError` where that is another run's."""
    checkpoint, here = plan["checkpoint"], recipe_of(plan)
    resume, found = checkpoint["resume"], _whole_ones(out)
    if fresh or resume == "never" or (resume == "auto" and checkpoint["weights_only"]):
        return None
    if resume != "auto":
        own = [path for path, mark in found if mark["plan"] == here["plan"]]
        if not own and not (Path(resume) / "trainer_state.json").is_file():
            raise ResumeError(f'checkpoint.resume = "{resume}" is no checkpoint')
        if not own and (Path(resume) / MARK).is_file() and whole(Path(resume)) is None:
            raise ResumeError(f'checkpoint.resume = "{resume}" is not whole: files are missing, or were cut short')
        return str(own[-1]) if own else resume
    if found:
        path, mark = found[-1]
        if mark["plan"] != here["plan"]:
            raise _other(f"{path} is", mark["recipe"], here["recipe"], path)
        _tell_how(path, _differing(mark["recipe"]["how"], here["recipe"]["how"]))
        return str(path)
    summary = _summary(out)
    if summary and summary["plan"] != here["plan"]:
        raise _other(f"{out} has results", summary["recipe"], here["recipe"], None)
    return None


def _whole_ones(out: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Checkpoints with their marks, by step. What is newer than all of them, and damaged, is told."""
    marked = [(path, whole(path)) for _, path in checkpoints(out / CHECKPOINTS)]
    while marked and marked[-1][1] is None:
        print(f"{marked.pop()[0]} is not whole, and is passed over", file=sys.stderr)
    return [(path, mark) for path, mark in marked if mark]


def _tell_how(checkpoint: Path, found: list[str]) -> None:
    if found and is_main():
        print(
            f"going on from {checkpoint.name} with {', '.join(found)}: the same steps, rounded otherwise",
            file=sys.stderr,
        )


def _other(what: str, before: dict[str, Any], now: dict[str, Any], checkpoint: Path | None) -> ResumeError:
    found = changes(before, now)
    more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    listed = "".join(f"\n  {line}" for line in (*found[:SHOWN], *more))
    way = f'; or set checkpoint.resume = "{checkpoint}" to go on from it with what changed' if checkpoint else ""
    return ResumeError(
        f"{what} of another recipe, and nothing of it was touched. Since then changed:{listed}\n"
        f"Set this back to go on; or train anew with --fresh{way}"
    )


def finished(plan: Plan, out: Path, fresh: bool) -> dict[str, Any] | None:
    """The summary of an earlier run of this very plan that came to its end."""
    summary = None if fresh or plan["checkpoint"]["resume"] == "never" else _summary(out)
    # A merge that was refused, or broken off, is tried again.
    merged = not plan["output"]["merge"] or (out / "merged").is_dir()
    return summary if merged and summary and summary["plan"] == identity(plan) else None


def _summary(out: Path) -> dict[str, Any] | None:
    """Of an earlier run whose result is still there."""
    try:
        summary = json.loads((out / "summary.json").read_text("utf-8"))
        return summary if "recipe" in summary and Path(summary["result"]).is_dir() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def move_aside(out: Path, resume: str | None) -> None:
    """Put what an earlier run made into a folder of its own, where another begins in its place. The checkpoint that it
    begins with stays where it is, and the log up to there."""
    begin = Path(resume).resolve() if resume else None
    earlier_ones = [path for _, path in checkpoints(out / CHECKPOINTS) if path.resolve() != begin]
    made = [path for name in RESULTS for path in sorted(out.glob(name))] + earlier_ones
    log = out / LOG
    if all(path.name in ABOUT for path in made) and not (log.exists() and log.stat().st_size):
        return
    number = next(number for number in range(1, 1 << 30) if not (out / f"earlier-{number}").exists())
    earlier = out / f"earlier-{number}"
    (earlier / CHECKPOINTS).mkdir(parents=True)
    if not begin and log.exists():
        log.rename(earlier / LOG)
    for path in made:
        path.rename(earlier / path.relative_to(out))
    print(f"what an earlier run made is now in {earlier}", file=sys.stderr)


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """While entered, no other run writes into this folder. A process that dies lets go of it."""
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another run still writes into {out}: waiting for its end", file=sys.stderr)
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout as error:
            raise ResumeError(f"another run writes into {out}; wait for its end, or end it") from error
    try:
        yield
    finally:
        lock.release()


def step_of(checkpoint: str) -> int:
    """The optimizer step after which a checkpoint was written."""
    return json.loads((Path(checkpoint) / "trainer_state.json").read_text("utf-8"))["global_step"]


def going_on(plan: Plan, *, fresh: bool) -> str:
    """What to expect of another start. `fresh`: this one began anew, as it was told."""
    checkpoint = plan["checkpoint"]
    if checkpoint["resume"] == "never" or (checkpoint["resume"] == "auto" and checkpoint["weights_only"]):
        why = "checkpoint.resume is never" if checkpoint["resume"] == "never" else "checkpoints hold weights only"
        return f"start it again to begin anew, as {why}"
    found = _whole_ones(Path(plan["output"]["dir"]))
    again = "start it again without --fresh" if fresh else "start it again"
    return f"{again} to go on from {found[-1][0].name}" if found else "start it again"


def keep_on(trainer: Any, plan: Plan, out: Path, resume: str | None) -> None:
    """Have the trainer write checkpoints that another start goes on from, and take up what this one goes on from."""
    trainer.keeper = Keeper(out / CHECKPOINTS, recipe_of(plan), plan["checkpoint"]["keep"])
    trainer.add_callback(AfterEvaluation())
    trainer.add_callback(Resumed(trainer, resume))
    if is_main():
        trainer.keeper.clear()
        if resume in (None, plan["checkpoint"]["resume"]):
            move_aside(out, resume)


class Resumed(TrainerCallback):
    """Where a run goes on: what was counted for the next log line is taken up, and all processes have to agree."""

    def __init__(self, trainer: Any, checkpoint: str | None) -> None:
        self.trainer, self.checkpoint = trainer, checkpoint

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if args.world_size > 1:
            import torch

            steps: list[int] = [0] * args.world_size
            torch.distributed.all_gather_object(steps, state.global_step)
            if len(set(steps)) > 1:
                raise ResumeError(
                    f"the processes would go on from different steps ({', '.join(map(str, steps))}); "
                    "output.dir must be one folder that all of them see"
                )
        # A checkpoint tells how often it was logged, evaluated and saved before; how often it is may have been changed.
        state.compute_steps(args, state.max_steps)
        if self.checkpoint:
            find_best(state, Path(self.checkpoint))
            count_on(self.trainer, Path(self.checkpoint))
