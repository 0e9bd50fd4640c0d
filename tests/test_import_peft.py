"""`ftc import` of adapter_config.json as PEFT itself writes it, and of every key of Unsloth's command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import yaml

from backends.unsloth.reading import SECTIONS
from compiler.importing.importing import Asked, Imported, import_config

BASE = "meta-llama/Llama-3.2-1B-Instruct"


def method(config: peft.PeftConfig, folder: Path) -> dict[str, Any]:
    """The recipe's method, of a config that PEFT has saved."""
    config.base_model_name_or_path = BASE
    config.save_pretrained(str(folder))
    file = folder / "adapter_config.json"
    made = import_config(str(file), file.read_text("utf-8"), Asked(folder))
    assert isinstance(made, Imported)
    assert made.text, [item.message for item in made.remarks]
    assert [item.key for item in made.remarks if item.code in ("FTC421", "FTC422")] == []
    return yaml.safe_load(made.text)["method"]


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        (
            peft.LoraConfig(r=8, lora_alpha=16, lora_dropout=0.1, target_modules=["q_proj", "v_proj"]),
            {"kind": "lora", "rank": 8, "alpha": 16, "dropout": 0.1, "target_modules": ["q_proj", "v_proj"]},
        ),
        (
            peft.LoraConfig(r=16, lora_alpha=8, use_dora=True, use_rslora=True, target_modules="all-linear"),
            {"kind": "dora", "alpha": 8, "rslora": True},
        ),
        (
            peft.LoraConfig(r=4, target_modules=".*layers.0.*_proj", modules_to_save=["lm_head"]),
            {
                "kind": "lora",
                "rank": 4,
                "alpha": 8,
                "target_modules": "re:.*layers.0.*_proj",
                "modules_to_save": ["lm_head"],
            },
        ),
        (
            peft.LoraConfig(r=16, target_modules=["q_proj"], init_lora_weights="pissa"),
            {"kind": "lora", "alpha": 8, "target_modules": ["q_proj"], "init": "pissa"},
        ),
        (
            peft.IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
            {"kind": "ia3", "target_modules": ["down_proj", "k_proj"], "feedforward_modules": ["down_proj"]},
        ),
        (
            peft.PrefixTuningConfig(num_virtual_tokens=12, prefix_projection=True),
            {"kind": "prefix_tuning", "virtual_tokens": 12, "projection": True},
        ),
        (peft.PromptTuningConfig(num_virtual_tokens=8), {"kind": "prompt_tuning", "virtual_tokens": 8}),
        (
            peft.PromptEncoderConfig(num_virtual_tokens=8, encoder_hidden_size=64),
            {"kind": "p_tuning", "virtual_tokens": 8, "encoder_hidden_size": 64},
        ),
    ],
    ids=lambda value: value.peft_type.name if isinstance(value, peft.PeftConfig) else "",
)
def test_what_peft_saves_comes_back(config: peft.PeftConfig, wanted: dict[str, Any], tmp_path: Path) -> None:
    assert method(config, tmp_path) == wanted


@pytest.mark.parametrize("config", [peft.VeraConfig(), peft.LoHaConfig()], ids=["vera", "loha"])
def test_a_method_that_ftc_has_not_is_refused(config: peft.PeftConfig, tmp_path: Path) -> None:
    config.base_model_name_or_path = BASE
    config.save_pretrained(str(tmp_path))
    file = tmp_path / "adapter_config.json"
    made = import_config(str(file), file.read_text("utf-8"), Asked(tmp_path))
    assert isinstance(made, Imported)
    assert made.text is None
    assert [item.key for item in made.remarks if item.level == "error"] == ["peft_type"]


UNSLOTH: dict[str, tuple[object, str, object]] = {
    "data.dataset": ("org/other", "data.train.path", "org/other"),
    "data.local_dataset": (["a.jsonl", "b.jsonl"], "data.train", [{"path": "a.jsonl"}, {"path": "b.jsonl"}]),
    "data.format_type": ("sharegpt", "data.train.format", "sharegpt"),
    "training.training_type": ("full", "method", {"kind": "full"}),
    "training.max_seq_length": (512, "data.max_length", 512),
    "training.load_in_4bit": (False, "method.kind", "lora"),
    "training.output_dir": ("./runs", "output.dir", "runs"),
    "training.num_epochs": (5, "training.epochs", 5),
    "training.learning_rate": ("1e-4", "training.learning_rate", 1e-4),
    "training.batch_size": (1, "training.global_batch_size", 4),
    "training.gradient_accumulation_steps": (3, "training.global_batch_size", 6),
    "training.warmup_steps": (0, "training.warmup", 0.0),
    "training.max_steps": (60, "training.max_steps", 60),
    "training.save_steps": (30, "checkpoint.every", 30),
    "training.weight_decay": (0.1, "training.weight_decay", 0.1),
    "training.random_seed": (1, "training.seed", 1),
    "training.packing": (True, "data.packing", True),
    "training.train_on_completions": (True, "data.loss_on", None),
    "training.gradient_checkpointing": (False, "training.gradient_checkpointing", False),
    "lora.lora_r": (8, "method.rank", 8),
    "lora.lora_alpha": (4, "method.alpha", 4),
    "lora.lora_dropout": (0.2, "method.dropout", 0.2),
    "lora.target_modules": ("q_proj, v_proj", "method.target_modules", ["q_proj", "v_proj"]),
    "lora.use_rslora": (True, "method.rslora", True),
    "lora.use_dora": (True, "method.kind", "qdora"),
    "lora.finetune_attention_modules": (False, "method.target_modules", ["gate_proj", "up_proj", "down_proj"]),
    "lora.finetune_mlp_modules": (False, "method.target_modules", ["q_proj", "k_proj", "v_proj", "o_proj"]),
    "logging.enable_wandb": (True, "logging", {"every": 1, "to": ["wandb"], "project": "unsloth-training"}),
    "logging.enable_tensorboard": (True, "logging.to", ["tensorboard"]),
}
"""Key of Unsloth's command: a value, the leaf that it becomes, and its value there; None: ftc's own default."""
IDLE = {
    *("lora.vision_all_linear", "lora.use_loftq", "lora.finetune_vision_layers", "logging.wandb_project"),
    *("logging.wandb_token", "logging.tensorboard_dir", "logging.hf_token"),
}
"""Keys without effect on what is learnt, beside the others' defaults."""
REFUSED = {"lora.finetune_language_layers"}


def test_every_key_of_unsloths_command_is_tried() -> None:
    assert UNSLOTH.keys() | IDLE | REFUSED == {f"{name}.{key}" for name, section in SECTIONS.items() for key in section}


def imported(key: str, value: object, folder: Path) -> Imported:
    section, name = key.split(".")
    config: dict[str, Any] = {"model": BASE, "data": {"dataset": "org/talk", "format_type": "chatml"}}
    if key in ("data.local_dataset", "data.dataset"):
        config["data"] = {}
    config.setdefault(section, {})[name] = value
    made = import_config("c.yaml", yaml.safe_dump(config), Asked(folder, "unsloth"))
    assert isinstance(made, Imported)
    return made


@pytest.mark.parametrize("key", UNSLOTH)
def test_unsloths_keys(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    value, leaf, wanted = UNSLOTH[key]
    made = imported(key, value, tmp_path)
    assert made.text, [item.message for item in made.remarks]
    assert key in made.reading.carried()
    tree: Any = yaml.safe_load(made.text)
    for part in leaf.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    assert tree == wanted


@pytest.mark.parametrize("key", sorted(IDLE))
def test_unsloths_keys_without_effect(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = imported(key, True if key.startswith("lora.") else "x", tmp_path)
    assert made.text
    assert [item.code for item in made.remarks if item.key == key] == ["FTC423"]
