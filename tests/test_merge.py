"""`ftc merge`: what it writes is the adapter in its base, looked at, or it is not there at all."""

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
import torch
from calls import ROOT, ftc
from finished_run import QUICKSTART, call, dates, finished
from native_base import full, lora, write_artifact
from safetensors.torch import load_file, save_file

from compiler.commands import merge
from compiler.errors import FtcError
from schemas.method_plan import AdapterPlan, PrefixPlan, PromptPlan, PTuningPlan
from schemas.plan import Plan

SHORT: dict[str, Any] = {"max_steps": 3}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    return finished(folder, dates(folder, training={"max_steps": 12}))


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy: a run may be moved."""
    return shutil.copytree(trained, tmp_path / "moved", ignore=shutil.ignore_patterns("checkpoints"))


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(5, 40)[None]).logits


def test_merged_says_what_base_and_adapter_say(run: Path) -> None:
    from peft import AutoPeftModelForCausalLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    done = ftc("merge", run)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"merged into its base, float32, 8 MiB: {run / 'merged'}" in done.stdout
    assert "(tolerance 1e-04 in float32;" in done.stdout
    merged = logits(AutoModelForCausalLM.from_pretrained(run / "merged"))
    assert torch.allclose(merged, logits(AutoPeftModelForCausalLM.from_pretrained(run / "adapter")), atol=1e-4)
    assert not torch.allclose(merged, logits(AutoModelForCausalLM.from_pretrained(QUICKSTART / "base")), atol=0.1)
    tokenizers = [AutoTokenizer.from_pretrained(run / name) for name in ("adapter", "merged")]
    assert len({each.chat_template for each in tokenizers}) == 1
    proof = json.loads((run / "merged" / "merged.json").read_text())
    assert 0 <= proof["difference"] <= proof["tolerance"] < proof["effect"]
    # Once more: nothing is overwritten.
    before = {path: path.stat().st_mtime_ns for path in (run / "merged").iterdir()}
    again = ftc("merge", run)
    assert again.returncode == 2
    assert "is there already, merged from this very adapter\n" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in (run / "merged").iterdir()} == before


def test_what_lies_beside_it_stays(run: Path) -> None:
    """An earlier one that was put aside, whatever it was called then; and a link is no free place."""
    for name in ("merged.old", "merged.part"):
        (run / name).mkdir()
        (run / name / "model.safetensors").write_text("mine")
    assert call(merge.command, run, "--out", run / "merged").return_value == 0
    assert (run / "merged.old" / "model.safetensors").read_text() == "mine"
    assert (run / "merged.part" / "model.safetensors").read_text() == "mine"
    (run / "link").symlink_to(run / "nowhere")
    assert "is there already" in str(call(merge.command, run, "--out", run / "link").exception)


def test_what_was_merged_from_another_adapter_is_told(run: Path) -> None:
    (run / "merged").mkdir()
    (run / "merged" / "merged.json").write_text('{"adapter_sha256": "of another"}')
    refused = call(merge.command, run)
    assert isinstance(refused.exception, FtcError)
    assert "merged from another adapter than the run has now" in str(refused.exception)
    assert refused.exception.exit_code == 2


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_in_16_bit_it_is_near_enough(run: Path, dtype: str) -> None:
    change(run, model={"dtype": dtype})
    done = call(merge.command, run)
    assert done.return_value == 0, done.exception
    types = {str(tensor.dtype) for tensor in load_file(run / "merged" / "model.safetensors").values()}
    assert types == {f"torch.{dtype}"}
    assert f"in {dtype};" in done.output


def change(run: Path, **sections: dict[str, Any]) -> None:
    plan = json.loads((run / "plan.json").read_text())
    for name, changes in sections.items():
        plan[name].update(changes)
    (run / "plan.json").write_text(json.dumps(plan))


def test_another_base_than_the_one_it_was_trained_on_shows(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A merged model that is not base and adapter together is not kept: here it is saved without its last layer's
    part."""
    from peft.tuners.tuners_utils import BaseTuner

    honest = BaseTuner.merge_and_unload

    def spoiled(self: Any, **options: Any) -> Any:
        merged = honest(self, **options)
        merged.model.layers[-1].mlp.down_proj.weight.data *= 1.1
        return merged

    monkeypatch.setattr(BaseTuner, "merge_and_unload", spoiled)
    refused = call(merge.command, run)
    assert isinstance(refused.exception, FtcError)
    assert "does not say what base and adapter say" in str(refused.exception)
    assert "FTC621" in str(refused.exception)
    assert refused.exception.exit_code == 1
    assert [path.name for path in run.iterdir() if "merged" in path.name] == []


@pytest.mark.parametrize(("lost", "said"), [(0.1, None), (0.9, "merging lost what was learnt"), (1e9, "does not say")])
def test_an_adapter_that_changes_little_must_be_there_all_the_same(lost: float, said: str | None) -> None:
    """`lost`: the share of it that merging lost. The largest difference alone would not tell it of rounding."""
    from backends.native.merging import TOLERANCE, disagreement

    draw = torch.Generator().manual_seed(0)
    tuned, change = torch.randn(40, 100, generator=draw), 5e-2 * torch.randn(40, 100, generator=draw)
    found = {"adapter": [tuned], "base": [tuned + change], "merged": [tuned + lost * change], "dtype": "bfloat16"}
    largest = float((lost * change).abs().max() / tuned.abs().max())
    problem = disagreement({**found, "difference": largest, "tolerance": TOLERANCE["bfloat16"]})
    assert problem is None if said is None else said in str(problem)


@pytest.mark.parametrize("at", [0, 1])
def test_a_prompt_whose_logits_are_no_numbers_is_seen(at: int) -> None:
    from backends.native.merging import TOLERANCE, disagreement, largest

    adapter = [torch.ones(4, 8), torch.ones(4, 8)]
    merged = [logits.clone() for logits in adapter]
    merged[at][0, 0] = float("nan")
    found = {"adapter": adapter, "base": [2 * each for each in adapter], "merged": merged, "dtype": "float32"}
    assert "does not say" in str(
        disagreement({**found, "difference": largest(merged, adapter), "tolerance": TOLERANCE["float32"]})
    )
    assert "lost what was learnt" in str(disagreement({**found, "difference": 0.0, "tolerance": 1e-4}))


def shrink(run: Path, scale: float) -> None:
    file = run / "adapter" / "adapter_model.safetensors"
    weights = {name: value * scale if "lora_B" in name else value for name, value in load_file(file).items()}
    save_file(weights, file, metadata={"format": "pt"})


def test_numbers_that_are_none_are_refused(run: Path) -> None:
    shrink(run, float("nan"))
    refused = call(merge.command, run)
    assert isinstance(refused.exception, FtcError)
    assert refused.exception.exit_code == 1
    assert not (run / "merged").exists()


def test_never_into_a_quantised_base(run: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    four = AutoModelForCausalLM.from_pretrained(
        QUICKSTART / "base", quantization_config=BitsAndBytesConfig(load_in_4bit=True), dtype=torch.float32
    )
    four.save_pretrained(tmp_path / "base4")
    change(run, model={"base": str(tmp_path / "base4")})
    refused = call(merge.command, run)
    assert "still quantised" in str(refused.exception)
    assert "FTC204" in str(refused.exception)
    change(run, derived={"prequantized": "bitsandbytes-4bit"})
    assert "shipped quantised (bitsandbytes-4bit)" in str(call(merge.command, run).exception)


def test_a_base_that_is_gone_is_missing(run: Path) -> None:
    change(run, model={"base": "/nowhere/base"})
    done = ftc("merge", run)
    assert done.returncode == 4
    assert 'base model "/nowhere/base" cannot be loaded' in done.stderr


UNMERGEABLE = {
    "full": (full(), "the model itself was saved (FTC216)"),
    "prefix tuning": (PrefixPlan("prefix_tuning", 4, None, False), "prefix_tuning has no weights to merge"),
    "prompt tuning": (PromptPlan("prompt_tuning", 4, None), "prompt_tuning has no weights to merge"),
    "p-tuning": (PTuningPlan("p_tuning", 4, None, 8), "p_tuning has no weights to merge"),
    "bottlenecks": (AdapterPlan("adapter", 4, "relu", "pfeiffer"), "an activation between their matrices"),
}


@pytest.mark.parametrize("name", UNMERGEABLE)
def test_what_cannot_be_merged_says_why(name: str, tmp_path: Path) -> None:
    method, why = UNMERGEABLE[name]
    run = finished(tmp_path, dates(tmp_path, method=method, training=SHORT))
    refused = call(merge.command, run)
    assert isinstance(refused.exception, FtcError)
    assert why in str(refused.exception)
    assert refused.exception.exit_code == 1


MERGEABLE = {
    "dora": lora("dora"),
    "rslora, pissa": lora(rslora=True, init="pissa"),
    "head trained too": lora(modules_to_save=("lm_head",)),
    "loftq": lora("qlora", init="loftq"),
}


@pytest.mark.parametrize("name", MERGEABLE)
def test_the_run_merges_at_its_end(name: str, tmp_path: Path) -> None:
    plan: Callable[..., Plan] = dates
    made = plan(tmp_path, method=MERGEABLE[name], training={"max_steps": 6}, output={"merge": True})
    run = finished(tmp_path, made)
    assert (run / "merged" / "merged.json").is_file()
    assert (run / "summary.json").is_file()


def test_a_run_whose_merge_is_refused_keeps_what_it_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And merges when it is started again, without training once more."""
    from peft.tuners.tuners_utils import BaseTuner

    from backends.native import train

    plan = dates(tmp_path, training={"max_steps": 4}, checkpoint={"every": 4}, output={"merge": True})
    start = ["--plan", str(write_artifact(plan, tmp_path / "artifact") / "plan.json")]
    with monkeypatch.context() as spoiled:
        spoiled.setattr(BaseTuner, "merge_and_unload", lambda self, **_: self.unload())
        assert train.main(start) == 1
    run = tmp_path / "run"
    assert f"(FTC621). What was trained is in {run / 'adapter'}\n" in capsys.readouterr().err
    assert not (run / "merged").exists()
    assert (run / "adapter" / "adapter_model.safetensors").is_file()
    assert train.main(start) == 0
    assert (run / "merged" / "merged.json").is_file()
    assert json.loads((run / "summary.json").read_text())["resumed_at"] == 4


@pytest.mark.skipif(sys.platform != "linux", reason="a full device is Linux's")
def test_a_full_disk_leaves_nothing(run: Path) -> None:
    """A merged model of 8 MiB, where a file may have one."""
    script = "ulimit -f 1024; trap '' XFSZ; exec \"$@\""
    done = subprocess.run(
        ["bash", "-c", script, "-", sys.executable, "-m", "compiler.cli", "merge", str(run)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in run.iterdir() if "merged" in path.name] == []


def test_a_run_of_which_something_is_missing(run: Path, tmp_path: Path) -> None:
    """It is not looked for on the hub, and is no bug of ours."""

    def refused(folder: Path) -> str:
        error = call(merge.command, folder).exception
        assert isinstance(error, FtcError)
        assert error.exit_code == 2
        return error.message

    (run / "adapter" / "adapter_model.safetensors").unlink()
    assert refused(run).endswith('adapter" is damaged: there is no adapter_model.safetensors (FTC620)')
    (run / "plan.json").write_text("{}")
    assert refused(run).endswith('plan.json" is not the plan of a run')
    (run / "train.py").touch()
    assert refused(run).endswith('plan.json" is not the plan of a run')
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "train.py").touch()
    assert 'plan.json" cannot be read' in refused(tmp_path / "built")


def test_no_run(run: Path, tmp_path: Path) -> None:
    for name, words in {
        str(tmp_path / "nothing"): "there is no folder",
        str(tmp_path): "is no run of the native target (FTC620)",
        str(run / "adapter"): f"name the run: {run}",
    }.items():
        done = ftc("merge", name)
        assert done.returncode == 2
        assert words in done.stderr
    (run / "summary.json").unlink()
    done = ftc("merge", run)
    assert "a run that has not come to its end (FTC620)" in done.stderr
