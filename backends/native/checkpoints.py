# pyright: basic
# Strict typing stops at transformers' trainer, whose insides are untyped.
"""Checkpoints that are complete or not there: written into a folder aside, then renamed.

    checkpoints/checkpoint-40/           whole: model, optimizer, scheduler, random numbers, position, complete.json
    checkpoints/.unfinished/…            being written, or being removed; whoever starts the run next clears it

Copied as it stands into every native artifact, so it imports nothing of the compiler. `complete.json` tells of which
recipe and step a checkpoint is, and how large each of its files. An older one goes when the newer is on the disk, and
leaves its name before its first file is removed.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from backends.native.disk import sync, sync_all, told, write_text

UNFINISHED = ".unfinished"
MARK = "complete.json"
LOGGED = "logged-{rank}.json"
"""In a checkpoint: what a process had counted for log lines still to come."""
Counted = dict[str, Any]


def whole(folder: Path) -> Counted | None:
    """What a checkpoint's mark tells; None where not all of it is there. Sizes are compared, not contents: a copy that
    broke off shows in them, and reading a large checkpoint twice would take minutes."""
    try:
        mark = json.loads((folder / MARK).read_text("utf-8"))
        same = all((folder / name).stat().st_size == size for name, size in mark["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return mark if same else None


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """All that are called so, by step, whole or not."""
    found = ((path.name.rpartition("-")[2], path) for path in folder.glob("checkpoint-*"))
    return sorted((int(step), path) for step, path in found if step.isdecimal())


class Keeper:
    """Writes the checkpoints of a run into its folder, each as that of `recipe`, and keeps the newest so many."""

    def __init__(self, folder: Path, recipe: dict[str, Any], keep: int) -> None:
        self.folder, self.recipe, self.keep = folder, recipe, keep
        self.aside = folder / UNFINISHED
        self.writing = False

    def clear(self) -> None:
        """Remove what a run that was killed left unfinished."""
        shutil.rmtree(self.aside, ignore_errors=True)

    def write(self, trainer: Any, save: Callable[[], object]) -> None:
        """Have `save` write the checkpoint of this step, every process its part, into the folder aside."""
        name, main = f"checkpoint-{trainer.state.global_step}", trainer.is_world_process_zero()
        if (whole(self.folder / name) or {}).get("plan") == self.recipe["plan"]:
            return  # the same step of the same run: replaced, it would be gone for a moment
        draft, wait = self.aside / name, trainer.accelerator.wait_for_everyone
        with told(draft, name):
            if main:
                shutil.rmtree(draft, ignore_errors=True)
                draft.mkdir(parents=True)
            wait()
            self._fill(trainer, draft, save)
            wait()
            if main:
                self._finish(draft, trainer.state)
        wait()

    def _fill(self, trainer: Any, draft: Path, save: Callable[[], object]) -> None:
        self.writing = True
        try:
            save()
        finally:
            self.writing = False
        state = trainer.state
        if state.best_global_step == state.global_step:  # it was noted where it is written
            state.best_model_checkpoint = str(self.folder / draft.name)
            if trainer.is_world_process_zero():
                state.save_to_json(str(draft / "trainer_state.json"))
        for rank, counted in enumerate(_of_all(trainer)):
            if trainer.is_world_process_zero():  # the others may see another disk
                (draft / LOGGED.format(rank=rank)).write_text(json.dumps(counted), "utf-8")

    def _finish(self, draft: Path, state: Any) -> None:
        files = {str(path.relative_to(draft)): path.stat().st_size for path in draft.rglob("*") if path.is_file()}
        mark = {**self.recipe, "step": state.global_step, "files": files}
        write_text(draft / MARK, json.dumps(mark, indent=1) + "\n")
        sync_all(draft)
        place = self.folder / draft.name
        self._remove(place)  # it is damaged
        draft.rename(place)
        sync(self.folder)
        self._rotate(state)

    def _rotate(self, state: Any) -> None:
        """Of this run's whole ones up to this step the oldest go, but for the best."""
        past = [path for step, path in checkpoints(self.folder) if step <= state.global_step]
        found = [path for path in past if (whole(path) or {}).get("plan") == self.recipe["plan"]]
        best = Path(state.best_model_checkpoint or "").name
        spare = [path for path in found[:-1] if path.name != best]
        for path in spare[: max(0, len(found) - self.keep)]:
            self._remove(path)

    def _remove(self, path: Path) -> None:
        if path.exists():
            gone = self.aside / f"{path.name}.removed"
            shutil.rmtree(gone, ignore_errors=True)
            path.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)


class AfterEvaluation(TrainerCallback):
    """Saves after the evaluation that ends an epoch, not before it: who goes on from a checkpoint does not evaluate
    again, and evaluating draws random numbers."""

    def __init__(self) -> None:
        self.due = False

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        ends = float(state.epoch).is_integer() or state.global_step >= state.max_steps
        if control.should_save and ends and args.eval_strategy == "epoch":
            control.should_save, self.due = False, True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.due:
            control.should_save, self.due = True, False


def find_best(state: Any, checkpoint: Path) -> None:
    """The best so far lies beside the checkpoint, wherever that lies by now; where it is gone, the next is chosen."""
    if state.best_global_step is None:
        return
    best = checkpoint.with_name(f"checkpoint-{state.best_global_step}")
    if best.is_dir():
        state.best_model_checkpoint = str(best)
        return
    if state.is_world_process_zero:
        print(f"the best checkpoint, {best}, is gone: the best of those to come is taken", file=sys.stderr)
    state.best_metric = state.best_model_checkpoint = state.best_global_step = None


# --- what a log line is made of

# Losses are summed up and tokens counted from one line to the next, and transformers leaves that out of a checkpoint:
# the first line after it would tell of fewer steps than in a run that was not stopped.


def _of_all(trainer: Any) -> list[Counted]:
    """What each process counted, in the order of the processes."""
    counted, world = _counted(trainer), trainer.args.world_size
    if world == 1:
        return [counted]
    found: list[Any] = [None] * world
    torch.distributed.all_gather_object(found, counted)
    return found


def _counted(trainer: Any) -> Counted:
    trainer.count_all()
    return {
        "loss": trainer._tr_loss.item(),
        "last_line": trainer._globalstep_last_logged,
        "tokens": int(trainer.tokens),
        "seen": trainer.seen,
        "pairs": float(trainer.pairs),
    }


def count_on(trainer: Any, checkpoint: Path) -> None:
    """Take up what this process had counted when the checkpoint was written."""
    path = checkpoint / LOGGED.format(rank=trainer.args.process_index)
    if path.is_file():
        told = json.loads(path.read_text("utf-8"))
        trainer._tr_loss += told["loss"]
        trainer._globalstep_last_logged = told["last_line"]
        trainer.tokens, trainer.seen, trainer.pairs = told["tokens"], told["seen"], told["pairs"]
