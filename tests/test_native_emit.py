"""The native artifact: what stands in it, and what is refused."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from calls import RECIPE, compiled_with
from native_base import FOOTPRINT, lora, make_plan, source

from backends.native import SCRIPTS, emit, losses
from backends.native.losses import TEMPLATES
from compiler.build import Options
from schemas.artifact import Target
from schemas.diagnostic import Finding
from schemas.method_plan import QuantizationPlan
from schemas.plan import Plan

NATIVE = Path(__file__).parents[1] / "backends" / "native"


ON_EMBEDDING: dict[str, Any] = {
    "method": lora(target_modules=("q_proj", "model.embed_tokens")),
    "facts": {"tied": True},
}
"""An adapter on an embedding that is the head too."""


def a_plan(**sections: Any) -> Plan:
    return make_plan(Path("/base"), source(Path("/data/train.jsonl")), Path("/outputs/cars"), **sections)


def config(plan: Plan) -> dict[str, Any]:
    return json.loads(emit(plan, FOOTPRINT, ()).files["plan.json"])


def test_the_readme_names_what_is_read_from_outside_of_the_folder() -> None:
    readme = emit(a_plan(), FOOTPRINT, ()).files["README.md"]
    assert "to the same paths: `/base`, `/data/train.jsonl`" in readme


def test_scripts_are_copied_and_need_nothing_but_each_other() -> None:
    files = emit(a_plan(), FOOTPRINT, ()).files
    ours = {name.removesuffix(".py") for name in SCRIPTS}
    for name in SCRIPTS:
        assert files[name] == (NATIVE / name).read_text("utf-8").replace("from backends.native.", "from ")
        for module in imports(files[name]):
            assert module not in ("backends", "compiler", "schemas")
            assert module in ours or not (NATIVE / f"{module}.py").exists(), f"{name} imports {module}, left behind"


def imports(text: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(text)))
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.split(".")[0] for name in named}


def test_trl_is_called_in_two_files() -> None:
    calling = [name for name in SCRIPTS if "trl" in imports((NATIVE / name).read_text("utf-8"))]
    assert calling == ["trainer.py", "compared.py"]


def test_plan_json_speaks_in_recipe_paths() -> None:
    found = config(a_plan(method=lora("qlora")))
    assert found["method"]["quantization"] == {
        "bits": 4,
        "type": "nf4",
        "double_quant": True,
        "compute_dtype": "float32",
    }
    assert found["data"]["train"][0]["path"] == "/data/train.jsonl"
    assert found["training"]["max_steps"] == 12
    assert found["training"]["epochs"] is None
    assert found["derived"]["cpu"] is True
    assert found["derived"]["memory"]["device_gib"] == 1.0
    assert "version" not in found
    assert "gpu" not in found["hardware"]


def test_same_plan_same_bytes() -> None:
    assert emit(a_plan(), FOOTPRINT, ()).files == emit(a_plan(), FOOTPRINT, ()).files


@pytest.mark.parametrize("name", sorted(path.stem for path in TEMPLATES.glob("*.jinja")))
def test_named_templates_travel_with_the_artifact(name: str) -> None:
    plan = a_plan(model={"chat_template": name})
    assert losses(plan) == ()
    assert config(plan)["model"]["chat_template"] == f"{name}.jinja"
    assert emit(plan, None, ()).files[f"{name}.jinja"] == (TEMPLATES / f"{name}.jinja").read_text("utf-8")


def test_own_templates_travel_too_and_must_be_there(tmp_path: Path) -> None:
    own = tmp_path / "mine.jinja"
    (missing,) = losses(a_plan(model={"chat_template": str(own)}))
    assert missing.path == "model.chat_template"
    own.write_text("{{ messages }}", "utf-8")
    plan = a_plan(model={"chat_template": str(own)})
    assert losses(plan) == ()
    assert emit(plan, None, ()).files["mine.jinja"] == "{{ messages }}"


@pytest.mark.parametrize(
    ("sections", "path"),
    [
        ({"model": {"chat_template": "klingon"}}, "model.chat_template"),
        ({"checkpoint": {"best": True, "every": "epoch"}}, "checkpoint.best"),
        ({"method": lora(target_modules=("q_proj", "lm_head"))}, "method.target_modules"),
        ({"method": lora(target_modules="re:.*")}, "method.target_modules"),
        ({**ON_EMBEDDING, "output": {"merge": True}}, "method.target_modules"),
        ({"method": lora("qlora", quantization=QuantizationPlan(8, None, None, "bfloat16"))}, None),
    ],
)
def test_combinations_are_refused(sections: dict[str, Any], path: str | None) -> None:
    (found,) = losses(a_plan(**sections))
    assert found.path == (path or "method.quantization.compute_dtype")
    assert found.code == "FTC404"


def test_an_adapter_on_the_embedding_is_trained_where_nothing_is_merged() -> None:
    assert losses(a_plan(**ON_EMBEDDING)) == ()
    assert losses(a_plan(**{**ON_EMBEDDING, "facts": {"tied": False}}, output={"merge": True})) == ()


def test_requirements_are_those_of_the_plan() -> None:
    plain = emit(a_plan(), None, ()).files["requirements.txt"]
    assert "trl==1.16.0" in plain
    assert "torchao" not in plain
    asked = emit(a_plan(training={"optimizer": "adamw_4bit"}, logging={"to": ("wandb",)}), None, ())
    assert "torchao==" in asked.files["requirements.txt"]
    assert "wandb" in asked.files["requirements.txt"]


def test_several_devices_are_started_by_torchrun() -> None:
    plan = a_plan(hardware={"count": 4, "strategy": "ddp"})
    assert emit(plan, None, ()).command == ("torchrun", "--standalone", "--nproc-per-node", "4", "train.py")
    assert emit(a_plan(), None, ()).command == ("python", "train.py")


def test_readme_says_how_to_run_and_what_was_lost() -> None:
    lost = (Finding("FTC401", "hardware.nodes", "hardware.nodes = 2 cannot be said here", level="warning"),)
    readme = emit(a_plan(), None, lost).files["README.md"]
    assert "python train.py" in readme
    assert "/outputs/cars" in readme
    assert "hardware.nodes = 2" in readme


def test_emission_imports_neither_torch_nor_jinja() -> None:
    heavy = "('torch', 'transformers', 'jinja2', 'datasets')"
    seen = f"import sys, backends.native; print([name for name in {heavy} if name in sys.modules])"
    ended = subprocess.run(
        [sys.executable, "-c", seen], capture_output=True, text=True, check=True, cwd=NATIVE.parents[1]
    )
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("model", "target", "apart"),
    [
        ("gpt-oss-20b", "native", False),
        ("qwen3-next-80b-a3b-instruct", "native", False),
        ("llama-3.2-1b-instruct", "native", True),
        ("gpt-oss-20b", "axolotl", True),
    ],
)
def test_documents_share_a_row_where_none_would_see_another(model: str, target: Target, *, apart: bool) -> None:
    plain = {"train": RECIPE["data"]["train"]}
    made = compiled_with(Options(target), model={"base": model}, data=plain)
    assert made.plan and made.plan.data.packing is apart
    asked = compiled_with(Options(target), model={"base": model}, data={**plain, "packing": True})
    refused = [item.path for item in asked.diagnostics if item.code == "FTC404"]
    assert ("data.packing" in refused) is (model == "gpt-oss-20b" and target == "native")
