"""Which tool a config is for, by its keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

Tool = Literal["axolotl", "llamafactory", "unsloth", "peft"]
TOOLS: Final[tuple[Tool, ...]] = get_args(Tool)
TITLES: Final[dict[Tool, str]] = {
    "axolotl": "Axolotl",
    "llamafactory": "LLaMA-Factory",
    "unsloth": "Unsloth",
    "peft": "PEFT",
}

SIGNS: Final[dict[Tool, tuple[str, ...]]] = {
    "axolotl": (
        *("base_model", "sequence_len", "micro_batch_size", "datasets", "adapter", "val_set_size", "sample_packing"),
        *("lora_target_linear", "num_epochs", "lr_scheduler", "dataset_prepared_path", "rl"),
    ),
    "llamafactory": (
        *("model_name_or_path", "stage", "finetuning_type", "cutoff_len", "dataset", "dataset_dir", "template"),
        *("lora_target", "per_device_train_batch_size", "lr_scheduler_type", "do_train", "infer_backend", "export_dir"),
        *("compute_environment", "model_class", "quant_config", "train_dataset"),
    ),
    "unsloth": ("training", "lora", "data", "logging"),
    "peft": ("peft_type", "base_model_name_or_path", "task_type", "inference_mode", "peft_version"),
}
"""Keys that only this tool's configs have."""


def recognise(config: Mapping[str, object]) -> Tool | None:
    """The tool that most of the telling keys belong to; None where none or several would do."""
    if "peft_type" in config:
        return "peft"
    found: dict[Tool, int] = {tool: sum(key in config for key in keys) for tool, keys in SIGNS.items()}
    found["unsloth"] = sum(isinstance(config.get(key), dict) for key in SIGNS["unsloth"])
    first, second = sorted(found.values(), reverse=True)[:2]
    return next(tool for tool, count in found.items() if count == first) if first > second else None


def is_recipe(config: Mapping[str, object]) -> bool:
    """Whether it is a recipe of ftc already."""
    return isinstance(config.get("model"), dict) and isinstance(config.get("method"), dict)
