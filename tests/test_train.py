"""The native run, for real: tiny models trained on a CPU, in this process or in a child as `ftc run` does."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from native_base import Ground, chats, full, lora, make_plan, source, write_artifact, write_rows

from schemas.method_plan import AdapterPlan, Ia3Plan, PrefixPlan, PromptPlan, PTuningPlan
from schemas.plan import Plan, PreferencePlan

NATIVE = Path(__file__).parents[1] / "backends" / "native"


def train_here(plan: Plan, folder: Path, *options: str) -> int:
    """Run `train.py` in this process: importing trl anew for each run would cost more than the runs."""
    from backends.native import train

    return train.main(["--plan", str(write_artifact(plan, folder) / "plan.json"), *options])


def child(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(folder, *options), capture_output=True, text=True, timeout=300, check=False)


def command(folder: Path, *options: str) -> list[str]:
    isolated = "-P" if sys.version_info >= (3, 11) else "-I"
    return [sys.executable, isolated, str(folder / "train.py"), *options]


def summary_of(plan: Plan) -> dict[str, Any]:
    return json.loads((Path(plan.output.dir) / "summary.json").read_text())


def metrics_of(plan: Plan) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(plan.output.dir) / "metrics.jsonl").read_text().splitlines()]


def validation_loss(model: Any, folder: Path) -> float:
    """What a plain script finds: the loss of the held-out rows' answers, one row at a time."""
    import torch

    from backends.native.tokenizer import load_tokenizer
    from backends.native.train import load_data

    config = json.loads((folder / "plan.json").read_text())
    rows = load_data(config, load_tokenizer(config, folder)).validation
    total, tokens = 0.0, 0
    for row in rows:
        labels = torch.tensor([row["labels"]])
        with torch.no_grad():
            # Virtual tokens stand before the row's own.
            logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[:, -labels.shape[1] :]
        total += torch.nn.functional.cross_entropy(logits[0, :-1].float(), labels[0, 1:], reduction="sum").item()
        tokens += int((labels[0, 1:] != -100).sum())
    return total / tokens


def reloaded(plan: Plan) -> Any:
    """The result of a run, loaded without anything of ours."""
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM

    out = Path(plan.output.dir)
    if (out / "adapter").exists():
        return AutoPeftModelForCausalLM.from_pretrained(out / "adapter").eval()
    return AutoModelForCausalLM.from_pretrained(out / "model").eval()


METHODS = {
    "lora": {},
    "lora-recomputed": {"training": {"max_steps": 12, "gradient_checkpointing": True, "loss": "full"}},
    "lora-packed": {
        "data": {"packing": True},
        "training": {"max_steps": 12, "micro_batch_size": 1, "global_batch_size": 2},
    },
    "dora-rslora-pissa": {"method": lora("dora", rslora=True, init="pissa", dropout=0.05)},
    "lora-plus": {"method": lora(lora_plus_ratio=4.0, modules_to_save=("lm_head",))},
    "full": {"method": full(freeze=("*embed_tokens*",))},
}


@pytest.mark.parametrize("method", METHODS)
def test_methods_learn_and_what_is_saved_is_what_was_trained(
    method: str, plan: Callable[..., Plan], tmp_path: Path
) -> None:
    made = plan(**METHODS[method])
    assert train_here(made, tmp_path / "artifact") == 0
    summary = summary_of(made)
    assert summary["steps"] == 12
    assert summary["loss"]["last"] < summary["loss"]["first"] - 0.5
    assert summary["loss"]["last_validation"] < summary["loss"]["first_validation"]
    # Packed rows and padded ones are weighed differently in a mean over batches of several rows, not in one batch.
    found = validation_loss(reloaded(made), tmp_path / "artifact")
    assert math.isclose(found, summary["loss"]["last_validation"], abs_tol=2e-3)


def test_lora_plus_decays_weights_too(plan: Callable[..., Plan], tmp_path: Path) -> None:
    """PEFT's optimizer takes the decay under a name of its own, and no other."""
    made = plan(
        method=lora(lora_plus_ratio=4.0), training={"max_steps": 2, "weight_decay": 0.25}, checkpoint={"every": 1}
    )
    assert train_here(made, tmp_path / "artifact") == 0
    import torch

    state = torch.load(Path(made.output.dir) / "checkpoints" / "checkpoint-2" / "optimizer.pt", weights_only=True)
    assert {group["weight_decay"] for group in state["param_groups"] if group["params"]} == {0.25}


def test_qlora_trains_on_a_cpu(plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = plan(method=lora("qlora", lora_plus_ratio=None), training={"max_steps": 6}, output={"merge": True})
    assert train_here(made, tmp_path / "artifact") == 0
    summary, out = summary_of(made), Path(made.output.dir)
    assert summary["loss"]["last"] < summary["loss"]["first"] - 0.3
    from safetensors.torch import load_file

    types = {str(tensor.dtype) for tensor in load_file(out / "adapter" / "adapter_model.safetensors").values()}
    assert types == {"torch.float32"}  # method.adapter_dtype, although TRL would round to bfloat16
    from transformers import AutoModelForCausalLM

    merged = AutoModelForCausalLM.from_pretrained(out / "merged").eval()
    assert not hasattr(merged.config, "quantization_config")
    found = validation_loss(merged, tmp_path / "artifact")
    assert math.isclose(found, summary["loss"]["last_validation"], abs_tol=0.1)


def test_artifact_runs_as_a_process_and_says_what_happened(plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = plan(evaluation={"every": "epoch"}, training={"max_steps": None, "epochs": 2.0})
    ended = child(write_artifact(made, tmp_path / "artifact"))
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert "cars: 10 steps" in ended.stdout
    assert "planned allocated 0.50 GiB" in ended.stdout
    summary, lines = summary_of(made), metrics_of(made)
    assert summary["rows"]["train"]["kept"] == 80
    assert summary["rows"]["validation"]["kept"] == 16
    assert summary["memory"]["planned"]["device_gib"] == 1.0
    assert 0 < summary["memory"]["measured"]["resident_gib"] < 8
    assert summary["tokens"] == 2 * summary["rows"]["train"]["tokens"]
    logged = [line for line in lines if "loss" in line]
    assert [line["step"] for line in logged] == [2, 4, 6, 8, 10]
    assert [line["step"] for line in lines if "eval_loss" in line] == [5, 10]
    assert logged[-1]["tokens"] == summary["tokens"]
    assert all(line["tokens_per_second"] > 0 and line["memory_gib"] > 0 for line in logged)
    assert not list(Path(made.output.dir).glob("*.part"))


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_stopped_run_goes_on_where_it_was(stop: signal.Signals, plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = plan(training={"max_steps": 60}, checkpoint={"every": 4}, evaluation={"every": None})
    folder, out = write_artifact(made, tmp_path / "artifact"), Path(made.output.dir)
    process = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not (marks := list(out.glob("checkpoints/*/complete.json"))):
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.02)  # it is still training
    os.kill(process.pid, stop)
    _, said = process.communicate()
    assert marks
    assert "Traceback" not in said
    if stop == signal.SIGINT:
        assert process.returncode == 130
        assert "which is saved; start it again to go on from checkpoint-" in said
    assert not (out / "summary.json").exists()
    newest = max(json.loads(mark.read_text())["step"] for mark in out.glob("checkpoints/*/complete.json"))
    (out / "checkpoints" / "checkpoint-56").mkdir(exist_ok=True)  # one that was being written
    assert train_here(made, folder) == 0
    summary = summary_of(made)
    assert summary["resumed_at"] == newest
    assert summary["steps"] == 60
    assert [line["step"] for line in metrics_of(made)] == list(range(2, 61, 2))
    counted = [line["tokens"] for line in metrics_of(made)]
    assert counted == sorted(set(counted))
    assert summary["tokens"] == counted[-1]


def test_finished_run_is_not_trained_again_unless_asked(
    plan: Callable[..., Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = plan(training={"max_steps": 2})
    assert train_here(made, tmp_path / "artifact") == 0
    first = summary_of(made)
    assert train_here(made, tmp_path / "artifact") == 0
    assert summary_of(made) == first
    assert "it was finished already" in capsys.readouterr().out
    of_the_first = Path(made.output.dir) / "adapter" / "of-the-first-run"
    of_the_first.touch()
    assert train_here(made, tmp_path / "artifact", "--fresh") == 0
    assert "it was finished already" not in capsys.readouterr().out
    assert not of_the_first.exists()


FAILURES = {
    "nothing to learn": (
        {"data": {"max_length": 4, "overlong": "truncate"}},
        "no token would be trained: of 80 rows",
    ),
    "all too long": (
        {"data": {"max_length": 4}},
        "80 are left out and 0 cut, as they are longer than data.max_length = 4",
    ),
    "too long is an error": ({"data": {"max_length": 4, "overlong": "error"}}, "train.jsonl:1: "),
    "no such base": ({"model": {"base": "/nowhere/base"}}, 'tokenizer "/nowhere/base" cannot be loaded'),
    "no such module": ({"method": lora(target_modules=("query",))}, "the model has no query"),
    "nothing trained": ({"method": full(freeze=("*",))}, "no parameter is left to train"),
    "liger on a cpu": ({"training": {"kernels": "liger"}}, "liger needs a GPU"),
    "offload on a cpu": ({"training": {"gradient_checkpointing": "offload"}}, "offload needs a GPU"),
    "two devices": ({"hardware": {"count": 2, "strategy": "ddp"}}, "torchrun --standalone --nproc-per-node 2 train.py"),
    "no checkpoint": ({"checkpoint": {"resume": "/nowhere/checkpoint-3"}}, "is no checkpoint"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_failures_are_said_in_one_paragraph(
    failure: str, plan: Callable[..., Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sections, words = FAILURES[failure]
    assert train_here(plan(**sections), tmp_path / "artifact") == 1
    said = capsys.readouterr().err
    assert words in said
    assert said.startswith("error: ")
    assert "Traceback" not in said
    assert not (tmp_path / "out" / "adapter").exists()


def test_missing_data_is_named(ground: Ground, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = make_plan(ground.base, source(tmp_path / "none.jsonl"), tmp_path / "out")
    assert train_here(made, tmp_path / "artifact") == 1
    assert f'no file matches "{tmp_path / "none.jsonl"}"' in capsys.readouterr().err


class Watched(dict[str, Any]):
    """A section of a plan that remembers which of its keys were asked for."""

    seen: set[tuple[str, str]]
    path: str

    def __getitem__(self, key: str) -> Any:
        self.seen.add((self.path, key))
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.seen.add((self.path, key))
        return super().get(key, default)


def watch(value: Any, path: str, seen: set[tuple[str, str]]) -> Any:
    if isinstance(value, list):
        return [watch(item, path + "[]", seen) for item in value]
    if not isinstance(value, dict):
        return value
    section = Watched({key: watch(item, f"{path}.{key}".lstrip("."), seen) for key, item in value.items()})
    section.seen, section.path = seen, path
    return section


def keys_of(value: Any, path: str = "") -> set[tuple[str, str]]:
    if isinstance(value, list):
        return {found for item in value for found in keys_of(item, path + "[]")}
    if not isinstance(value, dict):
        return set()
    inner = {found for key, item in value.items() for found in keys_of(item, f"{path}.{key}".lstrip("."))}
    return inner | {(path, key) for key in value if path not in ("derived.memory", "derived.predicted")}


def test_every_key_of_the_plan_is_read(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the compiler writes into `plan.json` has to reach the run: a key that nobody reads is a silent drop."""
    from backends.native import prepared, train
    from backends.native.measure import measure
    from backends.native.spread import sharding

    # What another process reads would not be seen.
    monkeypatch.setattr(prepared, "workers", lambda _: 1)

    rows = {
        "messages": chats(0, 8),
        "sharegpt": [{"conversations": [{"from": "human", "value": "a?"}, {"from": "gpt", "value": "b"}]}] * 4,
        "alpaca": [{"instruction": "a", "input": "b", "output": "c"}] * 4,
        "prompt_completion": [{"prompt": "a", "completion": "b"}] * 4,
        "text": [{"text": "a car"}] * 4,
    }
    hub = tmp_path / "hub"  # datasets reads a folder as it reads a repository of the hub
    hub.mkdir()
    write_rows(hub / "train.jsonl", chats(0, 8))
    sources = tuple(source(write_rows(tmp_path / f"{kind}.jsonl", rows[kind]), kind) for kind in rows)
    sources += (source(hub, local=False),)
    seen: set[tuple[str, str]] = set()
    wanted: set[tuple[str, str]] = set()
    answers = {"prompt": "a", "chosen": "b", "rejected": "c"}, {"prompt": "a", "completion": "b", "label": True}
    compared, judged = (
        (source(write_rows(tmp_path / f"{kind}.jsonl", [row] * 4), kind),)
        for kind, row in zip(("preference", "kto"), answers, strict=True)
    )
    preferring = {"objective": "dpo", "preference": PreferencePlan(0.1, "sigmoid")}
    judging = {"objective": "kto", "preference": PreferencePlan(0.1, None)}
    cases: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
        (PromptPlan("prompt_tuning", 2, None), sources[:1], {}),
        (PTuningPlan("p_tuning", 2, None, 8), sources[:1], {}),
        (PrefixPlan("prefix_tuning", 2, None, True), compared, preferring),
        (Ia3Plan("ia3", ("k_proj", "down_proj"), ("down_proj",)), judged, judging),
        (AdapterPlan("adapter", 4, "relu", "houlsby"), sources[:1], {}),
        *((method, sources, {}) for method in (lora("qlora"), lora("dora"), full())),
    ]
    for number, (method, rows_of, objective) in enumerate(cases):
        made = make_plan(
            ground.base,
            sources[0],
            tmp_path / f"out{number}",
            method=method,
            data={"train": rows_of, "validation": rows_of},
            training={"max_steps": 1, **objective},
        )
        folder = write_artifact(made, tmp_path / f"artifact{number}")
        config = json.loads((folder / "plan.json").read_text())
        # Nothing is preferred where no answers are compared.
        wanted |= keys_of(config) - (set() if objective else {("training", "preference")})
        train.run(watch(config, "", seen), folder, dry=method.kind != "dora")
    measure(watch(config, "", seen), folder, "cpu", random=True)
    sharding(watch({**config, "hardware": {**config["hardware"], "strategy": "fsdp"}}, "", seen))
    assert sorted(".".join(found) for found in wanted - seen) == []


def test_a_run_shorter_than_its_log_lines_has_a_loss(plan: Callable[..., Plan], tmp_path: Path) -> None:
    """The last step is logged, however far the last line is; and a speed comes of it."""
    made = plan(training={"max_steps": 7}, logging={"every": 5}, evaluation={"every": None}, checkpoint={"every": None})
    assert train_here(made, tmp_path / "artifact") == 0
    assert [line["step"] for line in metrics_of(made)] == [5, 7]
    summary = summary_of(made)
    assert summary["loss"]["last"] == metrics_of(made)[-1]["loss"] < summary["loss"]["first"]
    short = plan(training={"max_steps": 3}, logging={"every": 10}, output={"dir": str(tmp_path / "short")})
    assert train_here(short, tmp_path / "short-artifact") == 0
    assert summary_of(short)["loss"]["last"] is not None
    assert summary_of(short)["tokens_per_second"] > 0


@pytest.mark.parametrize(("packing", "loss"), [(False, "chunked"), (True, "chunked"), (False, "full")])
def test_validation_loss_is_that_of_a_token(packing: bool, loss: Any, ground: Ground, tmp_path: Path) -> None:
    """However many rows are looked at together, and however long they are."""
    long = [
        {
            "messages": [
                {"role": "user", "content": f"car {number}?"},
                {"role": "assistant", "content": "red " * (1 + 7 * (number % 4))},
            ]
        }
        for number in range(27)
    ]
    rows, found = write_rows(tmp_path / "long.jsonl", long), list[float]()
    for size in (1, 27):
        made = make_plan(
            ground.base,
            source(rows),
            tmp_path / str(size),
            training={"max_steps": 1, "loss": loss},
            data={"validation": (source(rows),), "packing": packing, "max_length": 128},
            evaluation={"every": 1, "batch_size": size},
            checkpoint={"every": None},
        )
        assert train_here(made, tmp_path / f"artifact-{size}") == 0
        found.append(next(line["eval_loss"] for line in metrics_of(made) if "eval_loss" in line))
    assert found == pytest.approx([found[0]] * 2, abs=1e-5)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(ground: Ground, tmp_path: Path) -> None:
    """Two processes see the same rows a step as one does, so the losses are the same."""
    found: dict[int, list[float]] = {}
    for count in (1, 2):
        made = make_plan(
            ground.base,
            source(ground.rows),
            tmp_path / f"out{count}",
            hardware={"count": count, "strategy": "single" if count == 1 else "ddp"},
            data={"shuffle": False},
            training={"max_steps": 8},
        )
        folder = write_artifact(made, tmp_path / f"artifact{count}")
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        ended = subprocess.run([*start, str(folder / "train.py")], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        found[count] = [line["loss"] for line in metrics_of(made) if "loss" in line]
    assert found[2] == pytest.approx(found[1], abs=1e-4)


def test_gradients_of_frozen_weights_are_not_counted_as_work(ground: Ground) -> None:
    from transformers import AutoModelForCausalLM

    from backends.native.result import work

    model = AutoModelForCausalLM.from_pretrained(ground.base)
    parameters = {name: item for name, item in model.named_parameters() if item.ndim > 1}
    assert "lm_head.weight" in parameters  # so that the embedding is in no product
    matrices = {name: item.numel() for name, item in parameters.items() if "embed" not in name}
    whole, speed = sum(matrices.values()), 1e9
    flops = {"token": 6 * whole, "gradient": 2 * whole, "pair": 0, "peak": None}
    plan = {"derived": {"flops": flops}, "hardware": {"count": 1, "nodes": 1}}
    run = SimpleNamespace(model=model, tokens=1, pairs=0)
    counted = [work(plan, run, speed)["tflops"]]
    model.get_decoder().layers[0].requires_grad_(False)
    counted.append(work(plan, run, speed)["tflops"])
    frozen = sum(size for name, size in matrices.items() if ".layers.0." in name)
    assert counted == pytest.approx([6 * whole / 1e3, (6 * whole - 2 * frozen) / 1e3], rel=1e-6)
