"""Native runs of several processes on a CPU: FSDP2, and two machines; and what is refused of spreading."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from native_base import FOOTPRINT, full, lora, write_artifact
from plans import A100_80, a_plan
from test_train import metrics_of, reloaded, summary_of
from together import ROOT, Together

from backends.native import emit, losses, spread
from backends.sharding import deepspeed, fsdp
from compiler.errors import FtcError
from compiler.memory import weigh
from compiler.run import command
from schemas.method_plan import AdapterPlan, PromptPlan, QuantizationPlan
from schemas.plan import Plan, TokensPlan


@pytest.fixture(scope="module")
def together() -> Iterator[Together]:
    server = Together()
    yield server
    server.close()


def shared(plan: Callable[..., Plan], strategy: str, *, count: int = 2, nodes: int = 1, **sections: Any) -> Plan:
    """A plan of six steps of eight rows."""
    training = {"max_steps": 6, **sections.pop("training", {})}
    made = plan(training=training, checkpoint={"every": 3}, logging={"every": 1}, **sections)
    return replace(
        made,
        hardware=replace(made.hardware, count=count, nodes=nodes, strategy=strategy),
        training=replace(made.training, micro_batch_size=8 // (count * nodes)),
        output=replace(made.output, dir=f"{made.output.dir}-{strategy}"),
    )


def losses_of(plan: Plan) -> list[float]:
    return [line.get("loss", line.get("eval_loss")) for line in metrics_of(plan)]


def of_merged(plan: Plan) -> torch.Tensor:
    from transformers import AutoModelForCausalLM

    return logits(AutoModelForCausalLM.from_pretrained(Path(plan.output.dir) / "merged"))


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.arange(5, 40)[None]).logits[0].float()


def learns_alike(one: Plan, two: Plan, folder: Path, together: Together, near: float) -> None:
    """One process, then two that share its steps: of both the same comes."""
    assert together.run(write_artifact(one, folder / "one") / "plan.json", world=1).codes == [0]
    ended = together.run(write_artifact(two, folder / "two") / "plan.json")
    assert ended.codes == [0, 0], ended.said
    assert losses_of(two) == pytest.approx(losses_of(one), abs=near)
    assert summary_of(two)["tokens"] == summary_of(one)["tokens"]
    assert (logits(reloaded(one)) - logits(reloaded(two))).abs().max() <= 10 * near
    if two.output.merge:
        assert (logits(reloaded(two)) - of_merged(two)).abs().max() <= 10 * near


def goes_on_alike(two: Plan, folder: Path, together: Together) -> None:
    """Without its last checkpoint, from the one before it."""
    whole, out = losses_of(two), Path(two.output.dir)
    for gone in ("summary.json", "checkpoints/checkpoint-6/complete.json"):
        (out / gone).unlink()
    ended = together.run(folder / "two" / "plan.json")
    assert ended.codes == [0, 0], ended.said
    assert summary_of(two)["resumed_at"] == 3
    assert losses_of(two) == whole


PARTED: dict[str, dict[str, Any]] = {
    "lora": {"training": {"gradient_checkpointing": True}, "output": {"merge": True}},
    "full": {"method": full()},
    "qlora": {"method": lora("qlora"), "evaluation": {"every": None}},
    "muon": {"method": full(), "training": {"optimizer": "muon", "betas": None, "epsilon": None}},
}


@pytest.mark.parametrize("case", PARTED)
def test_weights_that_are_parted_learn_what_whole_ones_do(
    case: str, plan: Callable[..., Plan], tmp_path: Path, together: Together
) -> None:
    two = shared(plan, "fsdp", **PARTED[case])
    near = 2e-3 if case == "muon" else 1e-5  # which makes updates orthogonal in 16 bit, a part at a time
    learns_alike(shared(plan, "single", count=1, **PARTED[case]), two, tmp_path, together, near)
    assert (Path(two.output.dir) / "checkpoints/checkpoint-6/pytorch_model_fsdp.bin").is_file()  # or nothing was parted
    goes_on_alike(two, tmp_path, together)


def test_where_nothing_would_be_parted_it_is_said(
    plan: Callable[..., Plan], tmp_path: Path, together: Together
) -> None:
    """accelerate would train whole copies on a CPU without a word."""
    made = shared(plan, "fsdp")
    ended = together.run(write_artifact(made, tmp_path / "artifact") / "plan.json", cards=False)
    assert ended.codes == [1, 1]
    assert "error: hardware.strategy = fsdp needs GPUs: here every process would train a whole copy" in ended.said[0]


@pytest.mark.slow
def test_two_machines_train_as_one(plan: Callable[..., Plan], tmp_path: Path, together: Together) -> None:
    """By the artifact's own command, with this machine twice."""
    one = shared(plan, "single", count=1)
    assert together.run(write_artifact(one, tmp_path / "one") / "plan.json", world=1).codes == [0]
    two = shared(plan, "ddp", count=1, nodes=2)
    folder = write_artifact(two, tmp_path / "two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = f"127.0.0.1:{free.getsockname()[1]}"
    told = [word.replace("HOST:29500", meeting) for word in emit(two, FOOTPRINT, ()).command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    machines = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", *told[1:]],
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [machine.communicate(timeout=300) for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert sum("cars: 6 steps" in out for out, _ in said) == 1  # one of them has something to say
    assert losses_of(two) == pytest.approx(losses_of(one), abs=1e-5)
    assert summary_of(two)["tokens"] == summary_of(one)["tokens"]
    assert len(list((Path(two.output.dir) / "checkpoints/checkpoint-6").glob("rng_state_*.pth"))) == 2


def test_machines_that_do_not_see_the_same_files_are_told(
    plan: Callable[..., Plan], tmp_path: Path, together: Together
) -> None:
    made = shared(plan, "ddp", count=1, nodes=2)
    file = write_artifact(made, tmp_path / "artifact") / "plan.json"
    assert together.run(file, here=1).codes == [0, 0]
    (Path(made.output.dir) / "summary.json").unlink()
    elsewhere = json.loads(file.read_text())
    elsewhere["output"]["dir"] = str(tmp_path / "another-disk")
    other = file.with_name("other.json")
    other.write_text(json.dumps(elsewhere))
    ended = together.run(file, here=1, plans=[str(file), str(other)])
    assert ended.codes == [1, 1]
    assert "the machines do not see the same files: some would go on from /" in ended.said[0]
    assert "others from the start; put output.dir on a disk that all of them share" in ended.said[0]


STARTED = {
    "one of two": ({"count": 2, "strategy": "ddp"}, {}, "torchrun --standalone --nproc-per-node 2 train.py"),
    "one machine of two": (
        {"count": 2, "nodes": 2, "strategy": "fsdp"},
        {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"},
        "torchrun --nnodes 2 --nproc-per-node 2 --rdzv-backend c10d --rdzv-endpoint HOST:29500 train.py",
    ),
    "all on one": (
        {"count": 2, "nodes": 2, "strategy": "fsdp"},
        {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4"},
        "for 2 devices on each of 2 machines (fsdp), and 4 processes were started, 4 of them here",
    ),
}


@pytest.mark.parametrize("case", STARTED)
def test_other_processes_than_planned_are_refused(
    case: str, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    hardware, environment, words = STARTED[case]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(spread.SpreadError) as refused:
        spread.require_all(told(plan(hardware=hardware)))
    assert words in str(refused.value)


def told(plan: Plan) -> dict[str, Any]:
    return json.loads(emit(plan, FOOTPRINT, ()).files["plan.json"])


def test_the_artifact_says_how_to_start_it_on_several_machines(plan: Callable[..., Plan]) -> None:
    made = plan(hardware={"count": 8, "nodes": 2, "strategy": "fsdp"})
    artifact = emit(made, FOOTPRINT, ())
    assert " ".join(artifact.command) == spread.launch(told(made))
    assert f"    {spread.launch(told(made))}\n" in artifact.files["README.md"]
    assert "The same on each of the 2 machines" in artifact.files["README.md"]
    with pytest.raises(FtcError) as refused:
        command(artifact)
    assert refused.value.exit_code == 4
    assert spread.launch(told(made)) in str(refused.value.hint)


LOST: dict[str, tuple[str, dict[str, Any], str]] = {
    "virtual tokens": ("fsdp", {"method": PromptPlan("prompt_tuning", 4, None)}, "hardware.strategy"),
    "virtual tokens of ZeRO-3": ("zero3", {"method": PromptPlan("prompt_tuning", 4, None)}, "hardware.strategy"),
    "eight bits": (
        "fsdp",
        {"method": lora("qlora", quantization=QuantizationPlan(8, None, None, "float32"))},
        "method.quantization.bits",
    ),
    "bitsandbytes": ("fsdp", {"training": {"optimizer": "adamw_8bit"}}, "training.optimizer"),
    "adafactor": ("fsdp", {"training": {"optimizer": "adafactor"}}, "training.optimizer"),
    "adafactor end to end": ("zero2", {"training": {"optimizer": "adafactor"}}, "training.optimizer"),
    "the optimizer alone away": ("fsdp", {"hardware": {"offload": "optimizer"}}, "hardware.offload"),
    "weights away by ZeRO-2": ("zero2", {"hardware": {"offload": "all"}}, "hardware.offload"),
    "the best of weights": (
        "fsdp",
        {"checkpoint": {"best": True, "weights_only": True, "every": 6}},
        "checkpoint.weights_only",
    ),
    "selective": ("zero3", {"training": {"gradient_checkpointing": "selective"}}, "training.gradient_checkpointing"),
    "pissa": ("zero3", {"method": lora(init="pissa")}, "method.init"),
    "tokens": ("zero3", {"model": {"tokens": TokensPlan(None, None, None, ("<a>",))}}, "model.tokens.add"),
}


@pytest.mark.parametrize("case", LOST)
def test_what_cannot_be_parted_is_refused(case: str, plan: Callable[..., Plan]) -> None:
    strategy, sections, path = LOST[case]
    hardware = {"count": 2, "strategy": strategy, **sections.pop("hardware", {})}
    assert [item.path for item in losses(plan(hardware=hardware, **sections)) if item.code == "FTC404"] == [path]


@pytest.mark.parametrize("strategy", ["fsdp", "zero2", "zero3"])
@pytest.mark.parametrize("method", [lora(), full(), lora("dora"), AdapterPlan("adapter", 8, "relu", "houlsby")])
def test_what_can_is_taken(method: Any, strategy: str, plan: Callable[..., Plan]) -> None:
    assert not losses(plan(method=method, hardware={"count": 2, "strategy": strategy, "offload": "none"}))


def test_the_tools_are_told_the_same_of_sharding(plan: Callable[..., Plan]) -> None:
    """What the script says, beside what the other targets are given."""
    for strategy, offload in (("zero2", "optimizer"), ("zero3", "none"), ("zero3", "all")):
        made = plan(hardware={"count": 2, "strategy": strategy, "offload": offload})
        ours, theirs = spread.zero(told(made)), deepspeed(made)
        assert set(ours) == {*theirs, "zero_allow_untested_optimizer"}
        section = {key: value for key, value in theirs.items() if value != "auto" and key != "zero_optimization"}
        assert {key: ours[key] for key in section} == section
        assert set(ours["zero_optimization"]) == set(theirs["zero_optimization"])  # type: ignore[call-overload]
    parted = spread.sharding(told(plan(hardware={"count": 2, "strategy": "fsdp", "offload": "all"})))["fsdp_config"]
    theirs = fsdp(plan(hardware={"count": 2, "strategy": "fsdp", "offload": "all"}))
    assert parted == {"version": 2, "cpu_offload": True} | {
        name: value for name, value in theirs.items() if name != "offload_params"
    }


def test_requirements_name_deepspeed_where_it_is_used(plan: Callable[..., Plan]) -> None:
    said = {
        strategy: emit(plan(hardware={"count": 2, "strategy": strategy}), FOOTPRINT, ()).files["requirements.txt"]
        for strategy in ("ddp", "fsdp", "zero2", "zero3")
    }
    assert [name for name, text in said.items() if "deepspeed==" in text] == ["zero2", "zero3"]


def test_quantised_weights_are_whole_while_they_are_loaded() -> None:
    """Each card makes all of them before they are parted; unquantised ones wait in main memory."""
    many = a_plan("meta-llama/Llama-3.1-70B", "qlora", count=4, strategy="fsdp", gpu=A100_80)
    one = a_plan("meta-llama/Llama-3.1-70B", "qlora", gpu=A100_80)
    assert weigh(many, "native").phases.load == pytest.approx(weigh(one, "native").phases.load, rel=0.05)
    plain = [a_plan("meta-llama/Llama-3.1-8B", "full", count=4, strategy=name) for name in ("zero3", "fsdp")]
    there, waiting = (weigh(each, "native").host_ram for each in plain)
    assert waiting - there > 14 * (1 << 30)
