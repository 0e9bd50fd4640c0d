"""What a run really takes: measured by real children on a CPU, and a plan weighed with that."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from calls import ROOT, ftc
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace
from native_base import FOOTPRINT, chats, full, lora, make_base, make_plan, source, write_artifact, write_rows
from plans import A100_80, a_plan

from backends.native import emit
from compiler.errors import FtcError
from compiler.hardware import find_gpu
from compiler.memory import weigh
from compiler.memory.calibration import calibrated
from compiler.memory.measured_plan import differences
from schemas.calibration import Calibration
from schemas.facts import Gpu
from schemas.footprint import Footprint
from schemas.plan import Plan

NATIVE = ROOT / "backends" / "native"

RECIPE = """\
version: 1
name: cars
model: {base: ./base}
method: {kind: lora, rank: 8, target_modules: all-linear}
data:
  train: {path: train.jsonl, format: messages}
  validation: 16
  max_length: 64
training: {micro_batch_size: 8, global_batch_size: 16, epochs: 1}
hardware: {gpu: cpu, memory: 8GiB}
"""
PHASES = ("load", "first_step", "second_step", "optimizer", "eval")
MIB, GIB = 1 << 20, 1 << 30
H100 = find_gpu("h100-80gb")
assert isinstance(H100, Gpu)


# --- ftc run --measure, and ftc plan --calibration


@dataclass(frozen=True)
class Run:
    """A recipe that was measured, and what that said."""

    folder: Path
    said: str

    @property
    def file(self) -> Path:
        return self.folder / "outputs" / "cars" / "calibration.json"

    def plan(self, *options: object) -> Any:
        done = ftc("plan", "cars.ftc.yaml", "--format", "json", *options, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["memory"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("measured")
    make_base(folder / "base")
    write_rows(folder / "train.jsonl", chats(0, 96))
    (folder / "cars.ftc.yaml").write_text(RECIPE)
    done = ftc("run", "cars.ftc.yaml", "--measure", cwd=folder)
    assert done.returncode == 0, done.stderr
    return Run(folder, done.stdout)


def test_a_measured_run_leaves_a_calibration_and_trains_nothing(measured: Run) -> None:
    content = json.loads(measured.file.read_text())
    assert list(content["phases"]) == list(PHASES)
    for reading in content["phases"].values():
        assert 0 < reading["allocated"] <= reading["reserved"] < reading["device"] < 8 << 30
    assert content["device"]["kind"] == "cpu"
    assert content["device"]["before"] > 100 * MIB
    assert content["stack"] == "native"
    assert {"torch", "transformers", "peft", "trl", "bitsandbytes"} <= set(content["versions"])
    assert content["settings"]["training"]["micro_batch_size"] == 8
    assert [path.name for path in measured.file.parent.iterdir()] == ["calibration.json"]
    assert "host memory" in measured.said
    assert f"ftc plan cars.ftc.yaml --calibration {measured.file}" in measured.said


def test_the_same_recipe_is_weighed_as_it_was_measured(measured: Run) -> None:
    memory = measured.plan("--calibration", measured.file)
    phases = json.loads(measured.file.read_text())["phases"]
    device = max(reading["device"] for reading in phases.values())
    assert (memory["method"], memory["confidence"]) == ("measured", "high")
    assert memory["device_gib"] == round(device / (1 << 30), 4)
    assert memory["low_gib"] < memory["device_gib"] < memory["high_gib"] < memory["low_gib"] * 1.2
    assert sum(memory["parts"].values()) == pytest.approx(memory["device_gib"], abs=1e-3)
    assert any(item.startswith("a reading has no parts") for item in memory["because"])
    text = ftc("plan", "cars.ftc.yaml", "--calibration", measured.file, cwd=measured.folder).stdout
    assert "by measured" in text


@pytest.mark.parametrize("change", ["output.dir=elsewhere", "training.learning_rate=1e-5", "training.epochs=3"])
def test_what_takes_no_memory_may_change(measured: Run, change: str) -> None:
    assert measured.plan("--calibration", measured.file, "--set", change)["method"] == "measured"


@pytest.mark.parametrize("change", ["training.micro_batch_size=4", "data.max_length=32", "method.rank=16"])
def test_a_changed_recipe_is_corrected(measured: Run, change: str) -> None:
    memory = measured.plan("--calibration", measured.file, "--set", change)
    plain = measured.plan("--set", change)
    content = json.loads(measured.file.read_text())
    most = max(reading["allocated"] for reading in content["phases"].values())
    ratio = most / content["predicted"]["allocated"]
    assert memory["method"] == "formula"
    assert memory["allocated_gib"] == pytest.approx(plain["allocated_gib"] * ratio, abs=1e-3)
    assert sum(memory["parts"].values()) == pytest.approx(memory["device_gib"], abs=1e-3)
    [why] = [item for item in memory["because"] if item.startswith("corrected")]
    assert change.partition("=")[0] in why


def test_it_is_used_only_when_named(measured: Run) -> None:
    assert measured.plan()["method"] == "formula"


FOREIGN = {
    "model": (("--set", "model.base=llama-3.2-1b-instruct"), 'and the recipe has "meta-llama/Llama-3.2-1B'),
    "stack": (("--stack", "peft"), "peft is weighed"),
    "card": (("--gpu", "rtx-4090"), "the calibration is of main memory"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_foreign_calibration_is_refused(measured: Run, what: str) -> None:
    options, words = FOREIGN[what]
    done = ftc("plan", "cars.ftc.yaml", "--calibration", measured.file, *options, cwd=measured.folder)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""


def without(*path: str) -> Callable[[Any], None]:
    def drop(content: Any) -> None:
        for name in path[:-1]:
            content = content[name]
        del content[path[-1]]

    return drop


BROKEN: dict[str, Callable[[Any], None]] = {
    "no phases": without("phases"),
    "half a reading": without("phases", "load", "device"),
    "no rows": without("settings", "training", "micro_batch_size"),
    "of a later ftc": lambda content: content.update(format_version=2),
    "nothing predicted": lambda content: content["predicted"].update(allocated=0),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_calibration_is_refused(measured: Run, tmp_path: Path, how: str) -> None:
    content = json.loads(measured.file.read_text())
    BROKEN[how](content)
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(content))
    done = ftc("plan", "cars.ftc.yaml", "--calibration", file, cwd=measured.folder)
    assert done.returncode == 2
    assert "is no calibration" in done.stderr


def test_files_that_are_none_are_refused(measured: Run) -> None:
    for name, words in (("nowhere.json", "cannot be read"), ("cars.ftc.yaml", "is no calibration")):
        done = ftc("plan", "cars.ftc.yaml", "--calibration", name, cwd=measured.folder)
        assert done.returncode == 2
        assert words in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--random-weights",), "--random-weights is for --measure"),
        (("--measure", "--target", "axolotl"), "axolotl is not measured"),
        (("--measure", "--fresh"), "leave out --fresh"),
    ],
)
def test_options_that_do_not_go_together(measured: Run, options: tuple[str, ...], words: str) -> None:
    done = ftc("run", "cars.ftc.yaml", *options, cwd=measured.folder)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_dry_run_shows_the_flags(measured: Run) -> None:
    done = ftc("run", "cars.ftc.yaml", "--measure", "--random-weights", "--dry-run", cwd=measured.folder)
    assert done.stdout.endswith("python train.py --measure --random-weights\n")


def test_without_torch_it_is_4(measured: Run, tmp_path: Path) -> None:
    """An environment like this one, with everything but torch in it."""
    for package in Path(pytest.__file__).parents[1].iterdir():
        if not package.name.startswith("torch"):
            (tmp_path / package.name).symlink_to(package)
    path = f"{ROOT}{os.pathsep}{tmp_path}"
    done = ftc("run", "cars.ftc.yaml", "--measure", cwd=measured.folder, python=("-S",), env={"PYTHONPATH": path})
    assert done.returncode == 4
    assert "has no torch" in done.stderr


# --- train.py --measure


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("measured-base") / "base")


@pytest.fixture
def plan(base: Path, tmp_path: Path) -> Callable[..., Plan]:
    """Plans whose data is nowhere: nothing of it is read."""

    def make(**sections: Any) -> Plan:
        return make_plan(base, source(tmp_path / "nowhere.jsonl"), tmp_path / "out", **sections)

    return make


def measure_here(plan: Plan, folder: Path, *options: str) -> int:
    from backends.native import train

    return train.main(["--plan", str(write_artifact(plan, folder) / "plan.json"), "--measure", *options])


def content_of(plan: Plan) -> Any:
    return json.loads((Path(plan.output.dir) / "calibration.json").read_text())


METHODS: dict[str, dict[str, Any]] = {
    "lora": {},
    "qlora": {"method": lora("qlora")},
    "packed": {"data": {"packing": True}, "training": {"micro_batch_size": 2, "global_batch_size": 8}},
    "full": {"method": full(), "data": {"validation": None}},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", [(), ("--random-weights",)], ids=["loaded", "random"])
def test_methods_are_measured(method: str, options: tuple[str, ...], plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = plan(**METHODS[method])
    assert measure_here(made, tmp_path / "artifact", *options) == 0
    content = content_of(made)
    assert content["random_weights"] == bool(options)
    assert [name for name in PHASES if content["phases"][name]] == [
        name for name in PHASES if name != "eval" or made.data.validation
    ]
    footprint = calibrated(FOOTPRINT, made, msgspec.convert(content, Calibration))
    assert footprint.method == "measured"


def test_random_weights_need_only_a_config(base: Path, plan: Callable[..., Plan], tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(base / "config.json", bare)
    made = plan(model={"base": str(bare)})
    assert measure_here(made, tmp_path / "artifact", "--random-weights") == 0
    assert content_of(made)["random_weights"] is True
    assert [path.name for path in bare.iterdir()] == ["config.json"]


def test_random_weights_are_random_and_quantised_as_the_plan_says(plan: Callable[..., Plan], tmp_path: Path) -> None:
    from backends.native.measure import random_base

    folder = write_artifact(plan(method=lora("qlora")), tmp_path / "artifact")
    model = random_base(json.loads((folder / "plan.json").read_text()), "cpu")
    packed = model.model.layers[0].self_attn.q_proj.weight
    assert packed.dtype.is_floating_point is False
    assert packed.quant_state.quant_type == "nf4"
    assert model.model.embed_tokens.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_random_weights_are_tied_where_the_base_ties_them(tmp_path: Path) -> None:
    """Or they would be trained twice, and measured so."""
    from backends.native.measure import random_base

    base = Path(__file__).parents[1] / "recipes" / "quickstart" / "base"
    made = make_plan(base, source(tmp_path / "rows.jsonl"), tmp_path / "out")
    model = random_base(json.loads(emit(made, None, ()).files["plan.json"]), "cpu")
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_the_shape_is_the_largest(plan: Callable[..., Plan], tmp_path: Path) -> None:
    from backends.native.measure import evaluation_rows, training_rows

    folder = write_artifact(plan(), tmp_path / "artifact")
    config = json.loads((folder / "plan.json").read_text())
    rows = [len(row["input_ids"]) for row in training_rows(config, 400)]
    assert rows[:16] == [64] * 16
    assert rows[16:] == ([63] + [64] * 7) * 2  # one row of each batch is padded in the second step
    assert all(row["labels"] == row["input_ids"] for row in training_rows(config, 400))
    evaluated = evaluation_rows(config, 400)
    assert evaluated is not None
    assert len(evaluated) == config["evaluation"]["batch_size"]
    config["data"]["packing"] = True
    packed = training_rows(config, 400)
    assert {len(row["input_ids"]) for row in packed} == {64}
    assert {len(row["seq_lengths"]) for row in packed} == {2}


def test_a_calibration_of_another_plan_is_kept_beside(
    plan: Callable[..., Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = plan(), plan(training={"micro_batch_size": 4})
    assert measure_here(first, tmp_path / "artifact") == 0
    earlier = content_of(first)
    assert measure_here(first, tmp_path / "artifact") == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["calibration.json"]
    capsys.readouterr()
    assert measure_here(second, tmp_path / "artifact") == 0
    kept = tmp_path / "out" / f"calibration-{earlier['plan'][:8]}.json"
    assert str(kept) in capsys.readouterr().out
    assert json.loads(kept.read_text())["settings"]["training"]["micro_batch_size"] == 8
    assert content_of(second)["settings"]["training"]["micro_batch_size"] == 4


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_measurement_leaves_no_half_file(
    stop: signal.Signals, plan: Callable[..., Plan], tmp_path: Path
) -> None:
    """It is stopped in its first step, which says so by a hook in the folder's own copy of the script."""
    made = plan()
    folder, out = write_artifact(made, tmp_path / "artifact"), Path(made.output.dir)
    out.mkdir()
    earlier = out / "calibration.json"
    earlier.write_text("{}")
    script = folder / "measure.py"
    reading = '        self._end("second_step" if state.global_step else "first_step")\n'
    waiting = '        print("in a step", flush=True)\n        __import__("signal").pause()\n'
    assert reading in script.read_text()
    script.write_text(script.read_text().replace(reading, reading + waiting))
    process = subprocess.Popen(
        [sys.executable, str(folder / "train.py"), "--measure"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "in a step\n"
    process.send_signal(stop)
    _, said = process.communicate()
    assert process.returncode == (130 if stop == signal.SIGINT else -signal.SIGKILL)
    assert said == ("stopped; nothing was written\n" if stop == signal.SIGINT else "")
    assert [path.name for path in out.iterdir()] == ["calibration.json"]
    assert earlier.read_text() == "{}"


def test_too_little_memory_is_said_with_what_was_planned(
    plan: Callable[..., Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mask over all pairs of a million positions, which no machine has room for."""
    made = plan(
        model={"attention": "eager"},
        data={"max_length": 1_000_000, "validation": None},
        training={"micro_batch_size": 1, "global_batch_size": 1},
    )
    assert measure_here(made, tmp_path / "artifact", "--random-weights") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: the machine ran out of memory. Planned: 1.00 GiB; this run had ")
    assert not list(tmp_path.glob("out/*"))


def test_a_plan_for_a_card_is_not_measured_without_one(
    plan: Callable[..., Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a card")
    assert measure_here(plan(gpu=A100_80), tmp_path / "artifact") == 1
    assert "the plan is for a GPU, and there is none here" in capsys.readouterr().err


# --- a footprint by a calibration


def planned(*arguments: Any, **changes: Any) -> Plan:
    """`a_plan` with rows to train on, as every plan of a recipe has."""
    plan = a_plan(*arguments, **changes)
    return replace(plan, data=replace(plan.data, train=(source(Path("rows.jsonl")),)))


def calibration_of(plan: Plan, times: float = 1.0, gap: int = 300 * MIB, context: int = 500 * MIB) -> Calibration:
    """As if this plan had been measured on its own card, with `times` the tensors that the formula expects."""
    footprint = weigh(plan, "native")
    written = json.loads(emit(plan, footprint, ()).files["plan.json"])
    live = asdict(footprint.phases)
    steps = {"load": "load", "first_step": "step", "second_step": "step", "optimizer": "optimizer", "eval": "eval"}
    readings = {name: int(live[phase] * times) for name, phase in steps.items()}
    content = {
        "format_version": 1,
        "date": "2026-11-24T12:00:00+00:00",
        "plan": "0" * 64,
        "stack": "native",
        "settings": {name: written[name] for name in ("model", "method", "data", "training", "evaluation", "hardware")},
        "random_weights": True,
        "versions": {"torch": "2.13.0"},
        "device": {"kind": "cuda", "name": "NVIDIA A100-SXM4-80GB", "total": A100_80.memory, "before": 0, "how": ""},
        "predicted": written["derived"]["predicted"],
        "phases": {
            name: {"allocated": size, "reserved": size + gap, "device": size + gap + context} if size else None
            for name, size in readings.items()
        },
    }
    return msgspec.convert(content, Calibration)


def any_plan() -> st.SearchStrategy[Plan]:
    return st.builds(
        planned,
        st.sampled_from(("meta-llama/Llama-3.1-8B", "Qwen/Qwen2.5-0.5B")),
        st.sampled_from(("full", "lora", "qlora", "dora")),
        micro=st.sampled_from((1, 2, 4)),
        accumulation=st.sampled_from((1, 2, 4)),
        length=st.sampled_from((512, 2048)),
        packing=st.booleans(),
        checkpointing=st.sampled_from((True, False, "offload")),
        loss=st.sampled_from(("full", "chunked")),
        optimizer=st.sampled_from(("adamw", "adamw_8bit")),
        attention=st.sampled_from(("sdpa", "eager")),
        dtype=st.sampled_from(("bfloat16", "float16")),
        validation=st.sampled_from((None, 0.1)),
        evaluation=st.sampled_from((1, 4)),
    )


def whole(footprint: Footprint) -> None:
    """What holds of every footprint, however it came about."""
    assert sum(asdict(footprint.parts).values()) == footprint.device
    assert all(size >= 0 for size in asdict(footprint.parts).values())
    assert footprint.allocated <= footprint.reserved <= footprint.device
    assert footprint.low <= footprint.device <= footprint.high
    for phase, parts in footprint.by_phase.items():
        assert sum(asdict(parts).values()) == getattr(footprint.phases, phase)


@given(any_plan(), st.floats(0.5, 2.0))
def test_readings_of_the_same_plan_are_the_footprint(plan: Plan, times: float) -> None:
    calibration = calibration_of(plan, times)
    found = calibrated(weigh(plan, "native"), plan, calibration)
    whole(found)
    assert (found.method, found.confidence) == ("measured", "high")
    assert found.allocated == max(asdict(found.phases).values())
    assert found.device == calibration.phases.device
    assert found.parts.context == 500 * MIB
    assert found.parts.fragmentation == 300 * MIB
    assert found.high - found.low <= 0.1 * found.device


@given(any_plan(), any_plan(), st.floats(0.8, 1.25))
def test_another_plan_of_the_model_is_corrected(plan: Plan, other: Plan, times: float) -> None:
    other = replace(other, model=replace(other.model, base=plan.model.base), facts=plan.facts)
    calibration, formula = calibration_of(plan, times), weigh(other, "native")
    found = calibrated(formula, other, calibration)
    whole(found)
    if differences(other, calibration):
        assert found.method == "formula"
        assert found.allocated == pytest.approx(formula.allocated * times, rel=1e-3)
        assert found.because[0].startswith("corrected")


@given(any_plan(), any_plan())
def test_what_changes_the_formula_is_a_difference(plan: Plan, other: Plan) -> None:
    """A plan that counts as the one that was measured needs what that one needs."""
    other = replace(other, model=replace(other.model, base=plan.model.base), facts=plan.facts)
    if not differences(other, calibration_of(plan)):
        assert weigh(other, "native").phases == weigh(plan, "native").phases


def test_a_correction_is_as_sure_as_its_reason() -> None:
    plan, longer = planned(length=1024), planned(length=2048)
    formula = weigh(longer, "native")
    assert calibrated(formula, longer, calibration_of(plan, 1.1)).confidence == "medium"
    assert calibrated(formula, longer, calibration_of(plan, 2.0)).confidence == "low"
    eager = planned(length=1024, attention="eager")
    assert calibrated(weigh(eager, "native"), eager, calibration_of(plan, 1.1)).confidence == "low"


def test_a_calibration_of_another_card_only_corrects() -> None:
    plan = planned(gpu=H100)
    found = calibrated(weigh(plan, "native"), plan, calibration_of(planned()))
    assert found.method == "formula"
    assert "hardware.gpu" in found.because[0]


def test_what_was_measured_decides_the_verdict() -> None:
    plan = planned("Qwen/Qwen2.5-0.5B", gpu=A100_80)
    assert weigh(plan, "native").verdict == "fits"
    large = calibrated(weigh(plan, "native"), plan, calibration_of(plan, 100.0))
    assert large.verdict == "does_not_fit"
    room = A100_80.memory - weigh(plan, "native").allocated
    edge = calibrated(weigh(plan, "native"), plan, calibration_of(plan, gap=room - GIB))
    assert edge.verdict == "tight"


@pytest.mark.parametrize("stack", ["axolotl", "llamafactory", "unsloth", "peft"])
def test_readings_say_nothing_about_another_stack(stack: Any) -> None:
    plan = planned()
    with pytest.raises(FtcError, match=f"{stack} is weighed") as refused:
        calibrated(weigh(plan, stack), plan, calibration_of(plan))
    assert refused.value.exit_code == 2
