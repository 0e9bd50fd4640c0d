# ruff: noqa: ARG002 (transformers hands every callback all that it has)
"""What can go wrong while a run trains, each really caused: said in words, nothing by halves, and gone on from."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from native_base import FOOTPRINT, full, lora, write_artifact
from test_train import metrics_of, summary_of, train_here
from transformers import TrainerCallback, trainer

from backends.native.checkpoints import UNFINISHED, checkpoints, whole
from backends.native.room import is_short, shortage
from schemas.footprint import Relief
from schemas.plan import Plan

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and signals as Linux has them")
SAVING: dict[str, Any] = {
    "training": {"max_steps": 8},
    "checkpoint": {"every": 2, "keep": 2},
    "evaluation": {"every": None},
    "logging": {"every": 1},
    "data": {"validation": None},
}


def whole_ones(plan: Plan) -> list[int]:
    """Steps of the checkpoints; all that are there are whole, and nothing is left beside them."""
    place = Path(plan.output.dir) / "checkpoints"
    found = checkpoints(place)
    assert all(whole(path) for _, path in found)
    assert not list((place / UNFINISHED).glob("*"))
    return [step for step, _ in found]


# --- no room on the disk


DISK = 16 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes where a plan's results go."""
    place = tmp_path / "out"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def size(folder: Path) -> int:
    """What a folder takes on such a disk, in whole pages."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("what", ["checkpoint-6", "merged"])
def test_a_full_disk_leaves_the_last_good_checkpoint(
    what: str, small_disk: Path, plan: Callable[..., Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And once there is room, the same command goes on from it."""
    merges = what == "merged"
    sections = {**SAVING, "method": lora(rank=1, alpha=1) if merges else full()}
    made = plan(**sections, output={"merge": merges})
    reference = plan(**sections, output={"merge": merges, "dir": str(tmp_path / "reference")})
    assert train_here(reference, tmp_path / "reference-artifact") == 0
    capsys.readouterr()
    one = size(tmp_path / "reference/checkpoints/checkpoint-8")
    # Two checkpoints stay, and a third is written beside them; beside these two the merged model has no room.
    filler = small_disk / "filler"
    filler.write_bytes(bytes(DISK - int((3.4 if merges else 2.5) * one)))
    assert train_here(made, tmp_path / "artifact") == 1
    said, newest = capsys.readouterr().err, 8 if merges else 4
    named = f'"{small_disk / what}"' if merges else what
    assert said == (
        f"error: {named} cannot be written: No space left on device. Free space, or set output.dir elsewhere; "
        f"start it again to go on from checkpoint-{newest}\n"
    )
    assert whole_ones(made) == [newest - 2, newest]
    assert not (small_disk / "model").exists()
    assert not (small_disk / "merged").exists()
    assert not list(small_disk.glob("*.part"))
    filler.unlink()
    assert train_here(made, tmp_path / "artifact") == 0
    assert summary_of(made)["resumed_at"] == newest
    assert losses(made) == losses(reference)


def losses(plan: Plan) -> list[float]:
    return [line["loss"] for line in metrics_of(plan)]


@contextmanager
def limited(what: int, size: int) -> Iterator[None]:
    """This process may have no more than so much of something."""
    before = resource.getrlimit(what)
    resource.setrlimit(what, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(what, before)


@pytest.mark.parametrize("kind", [lora(), full()], ids=lambda kind: kind.kind)
def test_a_file_that_may_not_grow_is_told_too(
    kind: Any, plan: Callable[..., Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another refusal of the system, and another library that hears it: safetensors, or torch."""
    made = plan(**SAVING, method=kind)
    with limited(resource.RLIMIT_FSIZE, 40_000 if kind.kind == "lora" else 500_000):
        assert train_here(made, tmp_path / "artifact") == 1
    said = capsys.readouterr().err
    page = r"(warning: report\.html cannot be written: .*\n)?"  # it is larger than a small model
    assert re.match(page + r"error: checkpoint-2 cannot be written: .*; start it again\n$", said), said
    assert whole_ones(made) == []


# --- data that cannot be read


def test_rows_that_are_cut_short_while_they_are_trained_on(plan: Callable[..., Plan], tmp_path: Path) -> None:
    """The next start prepares them anew, and goes on to the same losses."""
    sections = {**SAVING, "training": {"max_steps": 40}}
    whole_run = plan(**{**sections, "output": {"dir": str(tmp_path / "elsewhere" / "whole")}})
    assert train_here(whole_run, tmp_path / "reference") == 0
    made = plan(**sections)
    folder = write_artifact(made, tmp_path / "artifact")
    ended = subprocess.run(
        [sys.executable, "-c", CUT, str(folder / "train.py"), str(Path(made.output.dir).parent / ".prepared")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "error: a file that is trained on cannot be read any more, most likely one in " in ended.stderr
    assert whole_ones(made)[-1] >= 4
    assert train_here(made, folder) == 0
    assert summary_of(made)["resumed_at"] >= 4
    assert losses(made) == losses(whole_run)


CUT = """
import runpy, sys
import transformers
from pathlib import Path

class Cutting(transformers.TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 5:
            for path in Path(home).glob("*/train.arrow"):
                path.open("r+b").truncate(100)

transformers.trainer.DEFAULT_CALLBACKS.append(Cutting)
home, path = sys.argv.pop(), sys.argv.pop()
runpy.run_path(path, run_name="__main__")
"""


# --- gradients


class Overflowing(TrainerCallback):
    """As in a 16-bit type: the sixth step's loss is a number, and its gradients are none."""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 5:
            next(item for item in kwargs["model"].parameters() if item.requires_grad).grad.fill_(float("inf"))


@pytest.mark.parametrize("every", [2, None])
def test_weights_that_are_no_numbers_are_not_saved(
    every: int | None,
    plan: Callable[..., Plan],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither in a checkpoint nor as the result of a run whose last step it was."""
    monkeypatch.setattr(trainer, "DEFAULT_CALLBACKS", [*trainer.DEFAULT_CALLBACKS, Overflowing])
    made = plan(**{**SAVING, "training": {"max_steps": 6}, "checkpoint": {"every": every, "keep": 3}})
    assert train_here(made, tmp_path / "artifact") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: step 6 left base_model.model.model.layers.0.")
    assert "with values that are no numbers, though its loss was one" in said
    assert whole_ones(made) == ([2, 4] if every else [])
    assert not (Path(made.output.dir) / "adapter").exists()


# --- memory


class Short(TrainerCallback):
    """In the sixth step the process may have little more than it has, and wants much more."""

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 5:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
            torch.zeros(1 << 28)


def test_memory_that_runs_out_is_told_with_what_was_planned(
    plan: Callable[..., Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(**SAVING)
    monkeypatch.setattr(trainer, "DEFAULT_CALLBACKS", [*trainer.DEFAULT_CALLBACKS, Short])
    with limited(resource.RLIMIT_AS, resource.getrlimit(resource.RLIMIT_AS)[0]):
        assert train_here(made, tmp_path / "artifact") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: the machine ran out of memory. Planned: 1.00 GiB; this run had ")
    assert "GiB at most, of the machine's" in said
    assert "and may have" in said
    assert said.endswith("\nChange that, and start it again to go on from checkpoint-4\n")
    assert whole_ones(made) == [2, 4]
    monkeypatch.undo()
    less = replace(made, training=replace(made.training, micro_batch_size=4, gradient_checkpointing=True))
    assert train_here(less, tmp_path / "artifact") == 0
    assert capsys.readouterr().err == (
        "going on from checkpoint-4 with training.micro_batch_size: 8 → 4, "
        "training.gradient_checkpointing: false → true: the same steps, rounded otherwise\n"
    )
    assert summary_of(made)["resumed_at"] == 4
    reference = plan(**SAVING, output={"dir": str(tmp_path / "whole")})
    assert train_here(reference, tmp_path / "reference") == 0
    assert losses(made) == pytest.approx(losses(reference), abs=1e-4)


def test_the_plans_own_remedies_are_said() -> None:
    fix = {"set": {"training.micro_batch_size": 2}, "device_gib": 7.0, "costs": "the same steps"}
    plan = {"derived": {"memory": {"device_gib": 8.04, "fixes": [fix]}}}
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has a total")
    assert is_short(error)
    said = shortage(error, plan)
    assert "ran out of memory. Planned: 8.04 GiB; this run had " in said
    assert "  training.micro_batch_size = 2: about 7.00 GiB; the same steps\n" in said
    assert said.endswith("(CUDA out of memory. Tried to allocate 2.00 GiB.)")


def test_remedies_reach_the_artifact(plan: Callable[..., Plan]) -> None:
    from backends.native import emit

    relief = (Relief({"training.micro_batch_size": 2}, 7 << 30, "the same steps"),)
    planned = json.loads(emit(plan(), replace(FOOTPRINT, relief=relief), ()).files["plan.json"])["derived"]["memory"]
    assert planned["fixes"] == [{"set": {"training.micro_batch_size": 2}, "device_gib": 7.0, "costs": "the same steps"}]
