"""The YAML of `unsloth train --config` read as a recipe (unsloth_cli/config.py of unsloth 2026.10.9).

That command is no target of ftc, which writes a script for Unsloth: its keys have no table to read backwards, and
every one of them is named here. What it does not say (optimizer, scheduler) its trainer has fixed.
"""

from __future__ import annotations

from typing import Final, cast

from backends.reading import Config, Reader, Reading, covered, occurrences, typed, whole

KEYS: Final = {
    "model": "model.base",
    "training.max_seq_length": "data.max_length",
    "training.learning_rate": "training.learning_rate",
    "training.batch_size": "training.micro_batch_size",
    "training.weight_decay": "training.weight_decay",
    "training.random_seed": "training.seed",
    "training.output_dir": "output.dir",
    "training.packing": "data.packing",
    "lora.lora_r": "method.rank",
    "lora.lora_alpha": "method.alpha",
    "lora.lora_dropout": "method.dropout",
    "lora.use_rslora": "method.rslora",
}
"""Keys that one leaf stands for, with the same values."""

DEFAULTS: Final[dict[str, object]] = {
    "data.max_length": 2048,
    "data.overlong": "truncate",
    "data.packing": False,
    "training.learning_rate": 2.0e-4,
    "training.micro_batch_size": 2,
    "training.weight_decay": 0.01,
    "training.seed": 3407,
    "training.scheduler": "linear",
    "training.optimizer": "adamw_8bit",
    "training.loss": "chunked",
    "logging.every": 1,
    "data.validation": None,
}
LORA: Final[dict[str, object]] = {"method.rank": 64, "method.alpha": 16, "method.dropout": 0.0, "method.rslora": False}
MODULES: Final = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"
FORMATS: Final = {
    "auto": "auto",
    "alpaca": "alpaca",
    "chatml": "messages",
    "conversational": "messages",
    "sharegpt": "sharegpt",
    "raw": "text",
}
SECTIONS: Final = {
    "data": ("dataset", "local_dataset", "format_type"),
    "training": (
        *("training_type", "max_seq_length", "load_in_4bit", "output_dir", "num_epochs", "learning_rate", "batch_size"),
        *("gradient_accumulation_steps", "warmup_steps", "max_steps", "save_steps", "weight_decay", "random_seed"),
        *("packing", "train_on_completions", "gradient_checkpointing"),
    ),
    "lora": (
        *("lora_r", "lora_alpha", "lora_dropout", "target_modules", "vision_all_linear", "use_rslora", "use_loftq"),
        *("use_dora", "finetune_vision_layers", "finetune_language_layers", "finetune_attention_modules"),
        "finetune_mlp_modules",
    ),
    "logging": ("enable_wandb", "wandb_project", "wandb_token", "enable_tensorboard", "tensorboard_dir", "hf_token"),
}
"""Every key that the command knows; it stops at others."""

KINDS: Final = {
    "model": "str",
    **{f"{name}.{key}": "str" for name, section in SECTIONS.items() for key in section},
    "data.local_dataset": "list[str] | str",
    **dict.fromkeys(("training.load_in_4bit", "training.packing", "training.train_on_completions"), "bool"),
    **{f"lora.{key}": "bool" for key in SECTIONS["lora"] if key.startswith(("use_", "finetune_", "vision_"))},
    **dict.fromkeys(("logging.enable_wandb", "logging.enable_tensorboard"), "bool"),
}


def read(config: Config) -> Reading:
    """A config as leaves of a recipe."""
    reader = Reader(config, KINDS)
    if not reader.has("model"):
        reader.note("refused", "model", "there is no model; the command line may have named it", "write `model:`")
    _method(reader)
    _data(reader)
    _training(reader)
    _logging(reader)
    lora = reader.leaves["method.kind"].value != "full"
    for key, leaf in KEYS.items():
        if reader.has(key) and (lora or not key.startswith("lora.")):
            reader.put(leaf, typed(leaf, reader.get(key)), key)
    for leaf, value in {**DEFAULTS, **(LORA if lora else {})}.items():
        if leaf not in reader.leaves:
            reader.put(leaf, value)
    _rest(reader)
    return reader.done()


def _method(reader: Reader) -> None:
    full = str(reader.get("training.training_type", "lora")).lower() == "full"
    four, dora = reader.get("training.load_in_4bit", True), reader.true("lora.use_dora")
    if full:
        reader.put("method.kind", "full", "training.training_type")
        reader.idle("all weights are trained, in 16 bit", "training.load_in_4bit", "lora")
        return
    kind = f"{'q' if four else ''}{'d' if dora else 'l'}ora"
    reader.put("method.kind", kind, "training.training_type", "training.load_in_4bit", "lora.use_dora")
    _modules(reader)
    if reader.true("lora.use_loftq") and not four:
        reader.put("method.init", "loftq", "lora.use_loftq")
    elif reader.has("lora.use_loftq"):
        reader.idle("it is off, as Unsloth turns it off on a 4-bit base", "lora.use_loftq")


def _modules(reader: Reader) -> None:
    names = [name.strip() for name in str(reader.get("lora.target_modules", MODULES)).split(",") if name.strip()]
    off = {
        "finetune_attention_modules": ("q_proj", "k_proj", "v_proj", "o_proj"),
        "finetune_mlp_modules": ("gate_proj", "up_proj", "down_proj"),
    }
    if names == ["all-linear"]:
        reader.note("refused", "lora.target_modules", "Unsloth parts it at commas, and finds no module all-linear")
    for key, modules in off.items():
        if reader.get(f"lora.{key}") is False:
            names = [name for name in names if name not in modules]
    if reader.get("lora.finetune_language_layers") is False:
        reader.note("refused", "lora.finetune_language_layers", "only pictures would be learnt: ftc trains on text")
    reader.put("method.target_modules", names, "lora.target_modules", *(f"lora.{key}" for key in off))
    reader.also("method.target_modules", "lora.finetune_language_layers")
    reader.idle("it is for models that see pictures", "lora.vision_all_linear", "lora.finetune_vision_layers")


def _data(reader: Reader) -> None:
    kind = str(reader.get("data.format_type", "auto")).lower()
    files = reader.get("data.local_dataset")
    listed = cast("list[object]", files) if isinstance(files, list) else [files] if files else []
    paths = [(str(path), True) for path in listed] or [(str(reader.get("data.dataset")), False)]
    if not listed and not reader.has("data.dataset"):
        reader.note(
            "refused", "data", "there is no data; the command line may have named it", "write `data: {dataset: …}`"
        )
        return
    shape = FORMATS.get(kind, "auto")
    told = {} if shape == "auto" else {"format": shape}
    reader.put("data.train", [{"path": path, "local": local, **told} for path, local in paths], "data.local_dataset")
    reader.also("data.train", "data.dataset", "data.format_type")
    if shape == "alpaca":
        reader.put("model.chat_template", "alpaca", "data.format_type")
        reader.note("differs", "data.format_type", 'ftc writes an input below its instruction, not under "### Input:"')
    whole_text = not reader.true("training.train_on_completions")
    reader.put("data.loss_on", "all" if whole_text else "auto", "training.train_on_completions")


def _training(reader: Reader) -> None:
    micro, accumulated = (
        int(reader.number("training.batch_size", 2) or 2),
        int(reader.number("training.gradient_accumulation_steps", 4) or 4),
    )
    reader.put("training.global_batch_size", micro * accumulated, "training.gradient_accumulation_steps")
    steps, epochs = reader.number("training.max_steps", 0) or 0, reader.number("training.num_epochs", 3) or 3
    if steps > 0:
        reader.put("training.max_steps", int(steps), "training.max_steps", "training.num_epochs")
    else:
        reader.put("training.epochs", whole(epochs), "training.num_epochs", "training.max_steps")
    reader.put("training.warmup", int(reader.number("training.warmup_steps", 5) or 0) or 0.0, "training.warmup_steps")
    saved = int(reader.number("training.save_steps", 0) or 0)
    reader.put("checkpoint.every", saved or None, "training.save_steps")
    kind = str(reader.get("training.gradient_checkpointing", "unsloth")).lower()
    words = {"unsloth": "offload", "true": True, "1": True, "yes": True}
    reader.put("training.gradient_checkpointing", words.get(kind, False), "training.gradient_checkpointing")


def _logging(reader: Reader) -> None:
    used = [
        name
        for name, key in (("wandb", "enable_wandb"), ("tensorboard", "enable_tensorboard"))
        if reader.true(f"logging.{key}")
    ]
    reader.put("logging.to", used, "logging.enable_wandb", "logging.enable_tensorboard")
    if "wandb" in used:
        reader.put("logging.project", reader.get("logging.wandb_project", "unsloth-training"), "logging.wandb_project")
    else:
        reader.idle("nothing is sent to wandb", "logging.wandb_project")
    reader.idle(
        "secrets are read from the environment, and never from a recipe", "logging.wandb_token", "logging.hf_token"
    )
    reader.idle("tensorboard's files lie in the output folder", "logging.tensorboard_dir")


def _rest(reader: Reader) -> None:
    """Keys that the command itself stops at."""
    taken = reader.taken()
    for key in occurrences(reader.config):
        if not covered(key, taken):
            reader.note("lost", key, "`unsloth train` knows no such key, and stops at it")
