"""`ftc import`: switches that are written as numbers or words, and keys of which one takes another's place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from compiler.importing.importing import Asked, Imported, import_config

AXOLOTL = """\
base_model: meta-llama/Llama-3.2-1B-Instruct
adapter: lora
lora_r: 8
lora_alpha: 16
lora_target_linear: true
learning_rate: 2e-4
datasets: [{path: org/talk, type: chat_template}]
"""
UNSLOTH = "model: meta-llama/Llama-3.2-1B-Instruct\ndata: {dataset: org/talk, format_type: chatml}\n"
LLAMAFACTORY = """\
model_name_or_path: meta-llama/Llama-3.2-1B-Instruct
stage: sft
do_train: true
finetuning_type: lora
dataset: talk
template: llama3
"""


@pytest.fixture(autouse=True)
def _in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


def made(text: str) -> Imported:
    found = import_config("config.yaml", text, Asked(Path.cwd()))
    assert isinstance(found, Imported)
    return found


def recipe(text: str) -> dict[str, Any]:
    found = made(text)
    assert found.text, [item.message for item in found.remarks]
    return yaml.safe_load(found.text)


@pytest.mark.parametrize(
    ("text", "section", "leaf", "value"),
    [
        (f"{AXOLOTL}train_on_inputs: 1\n", "data", "loss_on", "all"),
        (f'{AXOLOTL}gradient_checkpointing: "false"\n', "training", "gradient_checkpointing", False),
        (f"{UNSLOTH}training: {{load_in_4bit: 'false'}}\n", "method", "kind", "lora"),
        (f"{UNSLOTH}training: {{train_on_completions: 0}}\n", "data", "loss_on", "all"),
    ],
)
def test_a_switch_is_what_the_tool_takes_it_for(text: str, section: str, leaf: str, value: object) -> None:
    assert recipe(text)[section][leaf] == value


def factory(more: str, entry: dict[str, Any] | None = None) -> str:
    Path("data").mkdir()
    Path("data/talk.json").write_text(json.dumps([{"instruction": "a", "output": "b"}]))
    columns = {"prompt": "instruction", "response": "output"}
    told = {"file_name": "talk.json", "columns": columns, **(entry or {})}
    Path("data/dataset_info.json").write_text(json.dumps({"talk": told}))
    return LLAMAFACTORY + more


@pytest.mark.parametrize(("share", "value"), [("0.2", 0.2), ("0.0", 0.0)])
def test_llamafactorys_warmup_ratio_takes_the_place_of_steps(share: str, value: float) -> None:
    assert recipe(factory(f"warmup_steps: 20\nwarmup_ratio: {share}\n"))["training"]["warmup"] == value


def test_rows_that_llamafactory_draws_at_random_are_told() -> None:
    found = made(factory("", {"num_samples": 100}))
    assert any(item.code == "FTC422" and "num_samples" in item.message for item in found.remarks)
