"""Where a run goes on: what a changed recipe changed, what does not matter, and what an earlier run made stays."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from native_base import Ground, chats, full, lora, make_plan, source, write_artifact, write_rows
from test_train import metrics_of, summary_of, train_here

from backends.native import emit, resume
from backends.native.checkpoints import UNFINISHED, checkpoints, whole
from backends.native.origins import _spots
from schemas.plan import Plan

ROOT = Path(__file__).parents[1]
SHORT: dict[str, Any] = {
    "training": {"max_steps": 6},
    "checkpoint": {"every": 2, "keep": 2},
    "evaluation": {"every": None},
    "logging": {"every": 1},
    "data": {"validation": None},
}
Make = Callable[..., Plan]


def other(**sections: Any) -> dict[str, Any]:
    """The short plan with some of it changed."""
    return {**SHORT, **{name: {**SHORT.get(name, {}), **said} for name, said in sections.items()}}


def newest(plan: Plan) -> Path:
    return checkpoints(Path(plan.output.dir) / "checkpoints")[-1][1]


def content(folder: Path) -> dict[str, bytes]:
    """All files of a folder, but for its lock."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def losses(plan: Plan) -> list[float]:
    return [line["loss"] for line in metrics_of(plan) if "loss" in line]


# --- a changed recipe


def test_a_changed_recipe_is_told_leaf_by_leaf_and_touches_nothing(
    plan: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = plan(**SHORT)
    assert train_here(made, tmp_path / "artifact") == 0
    capsys.readouterr()
    out = Path(made.output.dir)
    before = content(out)
    changed = plan(**other(training={"learning_rate": 5e-3, "seed": 1}), method=lora(rank=4))
    assert train_here(changed, tmp_path / "artifact") == 1
    assert capsys.readouterr().err == (
        f"error: {newest(made)} is of another recipe, and nothing of it was touched. Since then changed:\n"
        "  method.rank: 8 → 4\n"
        "  training.learning_rate: 0.01 → 0.005\n"
        "  training.seed: 42 → 1\n"
        "Set this back to go on; or train anew with --fresh; or set "
        f'checkpoint.resume = "{newest(made)}" to go on from it with what changed\n'
    )
    assert content(out) == before


def test_changed_data_is_named(ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", chats(0, 96))
    more = write_rows(tmp_path / "more.jsonl", chats(96, 8))
    sources = (source(rows), source(more))
    made = make_plan(ground.base, source(rows), tmp_path / "out", **other(data={"train": sources}))
    assert train_here(made, tmp_path / "artifact") == 0
    write_rows(rows, chats(1, 96))
    elsewhere = write_rows(tmp_path / "others.jsonl", chats(96, 9))
    sources = (source(rows), source(elsewhere))
    changed = make_plan(ground.base, source(rows), tmp_path / "out", **other(data={"train": sources}))
    capsys.readouterr()
    assert train_here(changed, tmp_path / "artifact") == 1
    assert (
        "\n  data file rows.jsonl: its content changed\n  data file more.jsonl: no longer read\n"
        "  data file others.jsonl: new\n"
    ) in capsys.readouterr().err


def test_another_template_or_base_is_another_run(ground: Ground, tmp_path: Path) -> None:
    """Though they lie where they lay: a run that was finished with others is not finished."""
    base, template = tmp_path / "base", tmp_path / "mine.jinja"
    shutil.copytree(ground.base, base)
    template.write_text("{% for m in messages %}{{ m.content }}{% endfor %}")

    def told() -> dict[str, Any]:
        made = make_plan(base, source(ground.rows), tmp_path / "out", model={"chat_template": str(template)})
        return resume.recipe_of(json.loads(emit(made, None, ()).files["plan.json"]))

    before = told()
    (base / "README.md").write_text("of no weight")
    assert told() == before
    template.write_text("{% for m in messages %}{{ m.content }}.{% endfor %}")
    weights = base / "model.safetensors"
    weights.write_bytes(bytes(byte ^ 1 for byte in weights.read_bytes()))
    now = told()
    assert now["plan"] != before["plan"]
    assert resume.changes(before["recipe"], now["recipe"]) == [
        "chat template: its content changed",
        "base file model.safetensors: its content changed",
    ]


def test_of_large_weights_spots_are_read(tmp_path: Path) -> None:
    """Of which none is missed at either end."""
    weights = tmp_path / "model.safetensors"
    found = set[str]()
    for number, changed in enumerate((None, 0, 5 << 20, (8 << 20) - 1)):
        data = bytearray(8 << 20)
        if changed is not None:
            data[changed : changed + (1 << 18)] = b"x" * min(1 << 18, (8 << 20) - changed)
        weights.write_bytes(data)
        found.add(_spots(weights, (len(data), number, 0)))
    assert len(found) == 4


HARMLESS: dict[str, dict[str, Any]] = {
    "what is logged": {"logging": {"every": 2}},
    "how often it is saved": {"checkpoint": {"every": 3, "keep": 5}},
    "a merged model": {"output": {"merge": True}},
    "its name": {"name": "wagons"},
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_does_not_decide_what_is_computed_may_change(what: str, plan: Make, tmp_path: Path) -> None:
    """And is as it is said now, not as it was."""
    made = plan(**SHORT)
    assert train_here(made, tmp_path / "artifact") == 0
    first = losses(made)
    unfinish(made, 2)
    changes = HARMLESS[what]
    named = {name: said for name, said in changes.items() if name == "name"}
    changed = plan(**other(**{name: said for name, said in changes.items() if name != "name"}), **named)
    assert train_here(changed, tmp_path / "artifact") == 0
    assert summary_of(changed)["resumed_at"] == 2
    found = losses(changed)
    if what == "what is logged":
        assert [line["step"] for line in metrics_of(changed)] == [1, 2, 4, 6]
        assert found[2:] == pytest.approx([(first[2] + first[3]) / 2, (first[4] + first[5]) / 2])
    else:
        assert found == first
    steps = [step for step, _ in checkpoints(Path(made.output.dir) / "checkpoints")]
    assert steps == ([2, 3, 6] if what == "how often it is saved" else [4, 6])


def unfinish(plan: Plan, step: int) -> None:
    """As if it had been killed after the checkpoint of this step, of which there is one."""
    out = Path(plan.output.dir)
    at = out / "checkpoints" / f"checkpoint-{step}"
    if not at.is_dir():
        again = out.with_name("again")
        sections = {**SHORT, "checkpoint": {"every": 2, "keep": 9}, "output": {"dir": str(again)}}
        assert train_here(_same(plan, sections), out.with_name("again-artifact")) == 0
        shutil.copytree(again / "checkpoints" / at.name, at)
    for later, path in checkpoints(out / "checkpoints"):
        if later > step:
            shutil.rmtree(path)
    (out / "summary.json").unlink()
    shutil.rmtree(out / "adapter", ignore_errors=True)


def _same(plan: Plan, sections: dict[str, Any]) -> Plan:
    from msgspec.structs import replace

    for name in ("checkpoint", "output"):
        plan = replace(plan, **{name: replace(getattr(plan, name), **sections[name])})
    return plan


def test_rows_that_lie_elsewhere_are_the_same_rows(ground: Ground, tmp_path: Path) -> None:
    made = make_plan(ground.base, source(ground.rows), tmp_path / "out", **SHORT)
    assert train_here(made, tmp_path / "artifact") == 0
    moved = tmp_path / "moved" / ground.rows.name
    moved.parent.mkdir()
    shutil.copy(ground.rows, moved)
    again = make_plan(ground.base, source(moved), tmp_path / "out", **SHORT)
    assert train_here(again, tmp_path / "artifact") == 0
    assert summary_of(again)["resumed_at"] is None  # it was finished already, and still is


def test_a_checkpoint_that_is_named_is_gone_on_from_whatever_changed(
    plan: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And once it has checkpoints of its own, from the newest of these."""
    made = plan(**SHORT)
    assert train_here(made, tmp_path / "artifact") == 0
    out = Path(made.output.dir)
    start = out / "checkpoints" / "checkpoint-4"
    trained = content(out / "adapter")
    capsys.readouterr()
    changed = plan(**other(training={"max_steps": 10}, checkpoint={"resume": str(start)}))
    assert train_here(changed, tmp_path / "artifact") == 0
    assert f"what an earlier run made is now in {out / 'earlier-1'}" in capsys.readouterr().err
    assert summary_of(changed)["resumed_at"] == 4
    assert sorted(map(named, content(out / "earlier-1" / "adapter"))) == sorted(map(named, trained))
    assert [step for step, _ in checkpoints(out / "earlier-1" / "checkpoints")] == [6]
    assert [step for step, _ in checkpoints(out / "checkpoints")] == [4, 8, 10]
    assert [line["step"] for line in metrics_of(changed)] == list(range(1, 11))
    unfinish_only(changed)
    assert train_here(changed, tmp_path / "artifact") == 0
    assert summary_of(changed)["resumed_at"] == 10


def test_a_checkpoint_that_does_not_fit_is_told(plan: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of another method, of another size, and one that was cut short."""
    made = plan(**SHORT)
    assert train_here(made, tmp_path / "artifact") == 0
    start = newest(made)
    cut = tmp_path / "cut"
    shutil.copytree(start, cut)
    os.truncate(cut / "optimizer.pt", 1000)
    for at, method, why in (
        (start, full(), f"{start} cannot be gone on from: it is damaged, or of another model, method or optimizer ("),
        (start, lora(rank=4), f"{start} cannot be gone on from: it is damaged, or of another model, method or op"),
        (cut, lora(), f'checkpoint.resume = "{cut}" is not whole: files are missing, or were cut short'),
    ):
        other_one = plan(**other(checkpoint={"resume": str(at)}), method=method, output={"dir": str(tmp_path / "new")})
        capsys.readouterr()
        assert train_here(other_one, tmp_path / "artifact") == 1
        assert capsys.readouterr().err.startswith(f"error: {why}")
    assert not list((tmp_path / "new").glob("earlier-*"))  # of a start that trained nothing there is nothing to keep
    assert not (tmp_path / "artifact" / "error.log").exists()


def named(path: str) -> str:
    return Path(path).name


def unfinish_only(plan: Plan) -> None:
    (Path(plan.output.dir) / "summary.json").unlink()


# --- starting anew


@pytest.mark.parametrize("how", ["--fresh", "never", "weights only"])
def test_what_an_earlier_run_made_is_put_aside(how: str, plan: Make, tmp_path: Path) -> None:
    changes = {"--fresh": {}, "never": {"resume": "never"}, "weights only": {"weights_only": True}}[how]
    made = plan(**other(checkpoint=changes))
    assert train_here(made, tmp_path / "artifact") == 0
    out = Path(made.output.dir)
    first = {path.relative_to(out): path.read_bytes() for path in out.rglob("*.safetensors")}
    if how == "weights only":
        unfinish_only(made)
    assert train_here(made, tmp_path / "artifact", *(["--fresh"] if how == "--fresh" else [])) == 0
    kept = out / "earlier-1"
    assert {path.relative_to(kept): path.read_bytes() for path in kept.rglob("*.safetensors")} == first
    assert summary_of(made)["resumed_at"] is None
    assert losses(made) == [json.loads(line)["loss"] for line in (kept / "metrics.jsonl").read_text().splitlines()]


def test_two_runs_with_one_seed_are_equal(plan: Make, tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        made = plan(**SHORT, method=lora(dropout=0.1), output={"dir": str(tmp_path / name / "out")})
        assert train_here(made, tmp_path / name / "artifact") == 0
        found.append((losses(made), [path.read_bytes() for path in (tmp_path / name).rglob("adapter/*.safetensors")]))
    assert found[0] == found[1]
    another = plan(**other(training={"seed": 1}), method=lora(dropout=0.1), output={"dir": str(tmp_path / "three")})
    assert train_here(another, tmp_path / "artifact") == 0
    assert losses(another) != found[0][0]


# --- damage, and what was left


def test_a_damaged_checkpoint_is_passed_over(plan: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And replaced, when the run comes by its step again; what was left unfinished goes."""
    made = plan(**SHORT, method=full())
    assert train_here(made, tmp_path / "artifact") == 0
    first, place = losses(made), Path(made.output.dir) / "checkpoints"
    damaged = place / "checkpoint-6" / "optimizer.pt"
    os.truncate(damaged, 1000)
    (place / UNFINISHED / "checkpoint-5").mkdir(parents=True)
    unfinish_only(made)
    capsys.readouterr()
    assert train_here(made, tmp_path / "artifact") == 0
    assert f"{damaged.parent} is not whole, and is passed over\n" in capsys.readouterr().err
    assert summary_of(made)["resumed_at"] == 4
    assert losses(made) == first
    assert [(step, whole(path) is not None) for step, path in checkpoints(place)] == [(4, True), (6, True)]
    assert not list((place / UNFINISHED).glob("*"))


def test_a_log_line_that_was_cut_short_is_left_out(plan: Make, tmp_path: Path) -> None:
    made = plan(**SHORT)
    assert train_here(made, tmp_path / "artifact") == 0
    first, metrics = losses(made), Path(made.output.dir) / "metrics.jsonl"
    unfinish_only(made)
    metrics.write_bytes(metrics.read_bytes() + b'{"step": 7, "los\x00\x00')
    assert train_here(made, tmp_path / "artifact") == 0
    assert summary_of(made)["resumed_at"] == 6
    assert losses(made) == first


def test_after_the_last_step_no_other_is_taken(plan: Make, tmp_path: Path) -> None:
    """A run that was killed while it saved its result."""
    made = plan(**other(training={"max_steps": 7}, checkpoint={"every": 7}))
    assert train_here(made, tmp_path / "artifact") == 0
    adapter = Path(made.output.dir) / "adapter"
    (adapter / "README.md").unlink()  # it tells how long the run took
    saved = content(adapter)
    unfinish_only(made)
    assert train_here(made, tmp_path / "artifact") == 0
    assert (summary_of(made)["resumed_at"], summary_of(made)["steps"]) == (7, 7)
    (adapter / "README.md").unlink()
    assert content(adapter) == saved


def test_what_ends_an_epoch_is_evaluated_before_it_is_saved(plan: Make, tmp_path: Path) -> None:
    """Or who goes on from there would have drawn fewer random numbers, and drop other values."""
    sections: dict[str, Any] = {
        "training": {"max_steps": 14},
        "checkpoint": {"every": 5, "keep": 9},
        "evaluation": {"every": "epoch"},
        "logging": {"every": 1},
        "method": lora(dropout=0.1),
    }
    made = plan(**sections)
    assert train_here(made, tmp_path / "artifact") == 0
    first, place = losses(made), Path(made.output.dir) / "checkpoints"
    assert [step for step, _ in checkpoints(place)] == [5, 10, 14]
    shutil.rmtree(place / "checkpoint-14")
    unfinish_only(made)
    assert train_here(made, tmp_path / "artifact") == 0
    assert summary_of(made)["resumed_at"] == 10
    assert losses(made) == first
    assert [line["step"] for line in metrics_of(made) if "eval_loss" in line] == [5, 10, 14]


# --- the best


def test_the_best_stays_and_is_what_is_saved(plan: Make, tmp_path: Path) -> None:
    """Under a rate that unlearns, an early checkpoint is the best; the newest stays to go on from."""
    sections: dict[str, Any] = {
        "training": {"max_steps": 10, "learning_rate": 0.3, "scheduler": "constant", "warmup": 0},
        "evaluation": {"every": 1},
        "checkpoint": {"every": 1, "keep": 1, "best": True},
        "logging": {"every": 1},
    }
    made = plan(**sections)
    assert train_here(made, tmp_path / "artifact") == 0
    watched = {line["step"]: line["eval_loss"] for line in metrics_of(made) if "eval_loss" in line}
    best = min(watched, key=lambda step: watched[step])
    assert best < 10
    out = Path(made.output.dir)
    assert [step for step, _ in checkpoints(out / "checkpoints")] == [best, 10]
    for path in (out / "adapter").glob("*.safetensors"):
        assert path.read_bytes() == (out / "checkpoints" / f"checkpoint-{best}" / path.name).read_bytes()
    state = json.loads((out / "checkpoints" / "checkpoint-10" / "trainer_state.json").read_text())
    assert state["best_model_checkpoint"] == str(out / "checkpoints" / f"checkpoint-{best}")
    # Its folder may lie elsewhere by the time it is gone on with.
    unfinish_only(made)
    moved = out.rename(tmp_path / "moved")
    saved = {path.name: path.read_bytes() for path in (moved / "adapter").glob("*.safetensors")}
    shutil.rmtree(moved / "adapter")
    assert train_here(plan(**sections, output={"dir": str(moved)}), tmp_path / "artifact") == 0
    assert {path.name: path.read_bytes() for path in (moved / "adapter").glob("*.safetensors")} == saved


# --- two at a time


def test_only_one_run_writes_into_a_folder(
    plan: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = plan(**SHORT)
    out = Path(made.output.dir)
    out.mkdir()
    monkeypatch.setattr(resume, "PATIENCE", 0.1)
    with FileLock(out / ".lock"):
        assert train_here(made, tmp_path / "artifact") == 1
    assert capsys.readouterr().err == (
        f"another run still writes into {out}: waiting for its end\n"
        f"error: another run writes into {out}; wait for its end, or end it\n"
    )
    assert train_here(made, tmp_path / "artifact") == 0


# --- killed


def test_killed_at_random_moments_it_goes_on_to_the_same(tmp_path: Path) -> None:
    """`make chaos` in small."""
    options = ["--kills", "4", "--commands", "0", "--cases", "1", "--no-page"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, "-m", "chaos.run", *options]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "4 kills" in ended.stdout


KILLED = """
import os, runpy, signal, sys
import transformers

class Killing(transformers.TrainerCallback):
    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 5 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)

if sys.argv.pop() == "kill":
    transformers.trainer.DEFAULT_CALLBACKS.append(Killing)
path = sys.argv.pop()
runpy.run_path(path, run_name="__main__")
"""


@pytest.mark.slow
def test_two_processes_of_which_one_is_killed_go_on_to_the_same(plan: Make, tmp_path: Path) -> None:
    found = []
    (tmp_path / "start.py").write_text(KILLED, "utf-8")
    for name, killed in (("whole", False), ("killed", True)):
        sections = other(training={"max_steps": 8, "micro_batch_size": 4}, logging={"every": 3})
        made = plan(
            **sections,
            method=lora(dropout=0.1),
            hardware={"count": 2, "strategy": "ddp"},
            output={"dir": str(tmp_path / name / "out")},
        )
        folder = write_artifact(made, tmp_path / name / "artifact")
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        for what in ("kill", "train") if killed else ("train",):
            ended = subprocess.run(
                [*start, str(tmp_path / "start.py"), str(folder / "train.py"), what],
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            assert (ended.returncode == 0) == (what == "train"), ended.stderr
        found.append((losses(made), [line["tokens"] for line in metrics_of(made)]))
        assert summary_of(made)["resumed_at"] == (4 if killed else None)
        parts = {path.name for path in newest(made).iterdir()}
        assert {"rng_state_0.pth", "rng_state_1.pth", "logged-0.json", "logged-1.json", "complete.json"} <= parts
    assert found[0] == found[1]
