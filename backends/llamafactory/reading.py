"""LLaMA-Factory's YAML read as a recipe: its table backwards, and what one key alone does not say.

Defaults are those of llamafactory 0.9.5 (hparams/*.py) and transformers 5.6 (training_args.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Final

from backends import pinned
from backends.known import known
from backends.leftover import account
from backends.llamafactory.reading_data import listed, read_data
from backends.llamafactory.reading_method import BACK, read_method
from backends.llamafactory.reading_training import read_objective, read_optimizer, read_training
from backends.reading import Config, Reader, Reading, read_table
from backends.sharded_reading import cards, deepspeed, fully_sharded
from schemas.facts import ModelFacts

LISTS: Final = ("dataset", "eval_dataset", "lora_target", "additional_target", "add_tokens", "report_to")
"""Texts with commas between names, or lists of them."""
NAMED: Final = frozenset(
    (
        *("finetuning_type", "num_train_epochs", "max_steps", "eval_steps", "save_steps", "load_best_model_at_end"),
        *("lora_rank", "lora_alpha", "pissa_init", "quantization_bit", "quantization_type", "double_quantization"),
        *("add_tokens", "project", "run_name", "disable_gradient_checkpointing", "use_rslora", "lora_dropout"),
        "loraplus_lr_ratio",
    )
)
"""Keys of one leaf that are read beside others."""


FOREIGN: Final = {
    "compute_environment": "a file of accelerate's launcher, which trains nothing by itself",
    "export_dir": "it merges an adapter, and trains nothing",
    "infer_backend": "it answers questions, and trains nothing",
    "model": "a config of LLaMA-Factory's second language (v1), which its own `train` does not read",
    "tensor_model_parallel_size": "Megatron trains, not LLaMA-Factory's own trainers",
    "use_kt": "KTransformers trains, not LLaMA-Factory's own trainers",
}
VISION: Final = ("freeze_vision_tower", "freeze_multi_modal_projector", "image_max_pixels", "video_max_pixels")

IDLE: Final = {
    **dict.fromkeys(
        ("preprocessing_num_workers", "preprocessing_batch_size", "dataloader_num_workers", "overwrite_cache"),
        "it changes how fast rows are prepared or read",
    ),
    **dict.fromkeys(
        ("plot_loss", "ddp_timeout", "include_num_input_tokens_seen", "disable_tqdm"), "nothing is learnt of it"
    ),
    **dict.fromkeys(
        ("save_safetensors", "ddp_find_unused_parameters", "flash_attn_impl"), "what is computed is the same"
    ),
    **dict.fromkeys(
        ("use_reentrant_gc", "gradient_checkpointing_kwargs", "print_param_status"), "gradients are the same"
    ),
    **dict.fromkeys(("push_to_hub", "hub_model_id", "hub_token"), "ftc sends nothing away"),
    **dict.fromkeys(("cache_dir", "tokenized_path", "logging_dir"), "where files lie while it runs"),
    **dict.fromkeys(
        ("ray_run_name", "ray_storage_path", "ray_num_workers", "resources_per_worker"), "how Ray starts it"
    ),
    **dict.fromkeys(("placement_strategy", "ray_init_kwargs"), "how Ray starts it"),
    "gradient_checkpointing": "LLaMA-Factory does not read it",
    "resume_from_checkpoint": "a run goes on from its own folder",
    "do_eval": "eval_strategy says it",
    "average_tokens_across_devices": "the loss is the mean over the tokens of all cards",
    "mix_strategy": "rows are joined one after the other, and then mixed",
    "pissa_convert": "how the adapter is saved",
    "use_fast_tokenizer": "it follows from the base",
}

WRITTEN: Final = (
    ("overwrite_cache", True, "data.train"),
    ("dataloader_num_workers", 0, "data.train"),
    ("mix_strategy", "concat", "data.train"),
    ("plot_loss", False, "logging.to"),
    ("push_to_hub", False, "output.dir"),
    ("average_tokens_across_devices", True, "training.global_batch_size"),
    ("use_reentrant_gc", False, "training.gradient_checkpointing"),
)
"""Key, value and leaf of what ftc writes for LLaMA-Factory, whatever the recipe."""


def read(
    config: Config,
    info: Mapping[str, object] | None = None,
    facts: ModelFacts | None = None,
    count: int | None = None,
) -> Reading:
    """A config as leaves of a recipe. `info`: what its dataset_info.json says; `facts`: of its base, for the template;
    `count`: the cards that it is trained on, which the file does not say."""
    reader = Reader(config, known("llamafactory", pinned("llamafactory")).keys, LISTS)
    if _refuse(reader):
        return reader.done()
    _model(reader)
    read_method(reader)
    read_data(reader, info, facts)
    read_objective(reader)
    read_training(reader)
    read_optimizer(reader)
    _cadence(reader)
    _run(reader)
    for key, value, leaf in WRITTEN:
        if reader.get(key) == value and leaf in reader.leaves:
            reader.also(leaf, key)
    read_table(reader, BACK, NAMED)
    _sharding(reader, count)
    for leaf, value in DEFAULTS.items():
        if leaf not in reader.leaves:
            reader.put(leaf, value)
    account(reader, "llamafactory", IDLE)
    return reader.done()


def _refuse(reader: Reader) -> bool:
    """What is another kind of training, or none at all; whether nothing more can be said."""
    for key, why in FOREIGN.items():
        if reader.has(key) and not (key == "export_dir" and reader.has("stage")):
            reader.note("refused", key, why)
            return True
    if not reader.has("model_name_or_path"):
        reader.note("refused", "model_name_or_path", "there is no model_name_or_path, so that nothing is trained")
        return True
    stage = str(reader.get("stage", "sft"))
    if stage not in ("sft", "pt", "dpo", "kto"):
        named = {"rm": "a reward model is trained", "ppo": "reinforcement learning"}
        reader.note("refused", "stage", f"{named.get(stage, stage)}, which no recipe can say")
    if reader.get("do_train", True) is False or (reader.true("do_predict") and not reader.true("do_train")):
        reader.note("refused", "do_predict" if reader.has("do_predict") else "do_train", "nothing is trained")
    for key in VISION:
        if reader.has(key):
            reader.note("refused", key, "pictures and films: ftc trains on text")
    if reader.has("adapter_name_or_path"):
        reader.note("refused", "adapter_name_or_path", "training goes on from an adapter, which no recipe can say")
    return False


def _model(reader: Reader) -> None:
    if reader.true("fp16"):
        reader.put("model.dtype", "float16", "fp16", "bf16")
    elif reader.true("bf16") or reader.true("pure_bf16"):
        reader.put("model.dtype", "bfloat16", "bf16", "pure_bf16", "fp16")
    else:
        reader.put("model.dtype", "float32", "bf16", "fp16")
    if reader.true("tf32") and reader.leaves["model.dtype"].value == "float32":
        reader.note("differs", "tf32", "ftc computes float32 products to their last digit")
    elif reader.true("tf32"):
        reader.idle("it rounds float32 products, and these are in 16 bit", "tf32")
    reader.also("model.dtype", *(() if reader.true("tf32") else ("tf32",)))
    attention = reader.get("flash_attn")
    if attention == "auto":
        reader.put("model.attention", "auto", "flash_attn")
    elif attention in ("flash_attention_2", "fa3", "flash_attention_3"):
        reader.note("differs", "flash_attn", f"LLaMA-Factory stops at {attention}; it is read as what its name says")
        reader.put("model.attention", f"flash_attention_{str(attention)[-1]}", "flash_attn")
    if reader.has("add_tokens"):
        reader.put("model.tokens.add", listed(reader.get("add_tokens")), "add_tokens")


def _cadence(reader: Reader) -> None:
    validated = reader.has("eval_dataset") or bool(reader.number("val_size", 0.0))
    keys = ("eval_strategy", "eval_steps")
    if validated:
        reader.put("evaluation.every", _every(reader, "eval", "no"), *keys)
        reader.put(
            "evaluation.batch_size",
            int(reader.number("per_device_eval_batch_size", 8) or 8),
            "per_device_eval_batch_size",
        )
    else:
        reader.idle("there are no validation rows", *keys, "per_device_eval_batch_size")
    reader.put("checkpoint.every", _every(reader, "save", "steps"), "save_strategy", "save_steps")
    if reader.true("load_best_model_at_end"):
        reader.put("checkpoint.best", validated, "load_best_model_at_end")
    reader.also("checkpoint.best", "metric_for_best_model", "greater_is_better")


def _every(reader: Reader, what: str, usual: str) -> object:
    strategy = reader.get(f"{what}_strategy", usual)
    if strategy in ("no", False):
        return None
    if strategy == "epoch":
        return "epoch"
    steps = reader.number(f"{what}_steps", 500) or 500
    if steps >= 1:
        return int(steps)
    total, epochs = reader.number("max_steps") or 0, reader.number("num_train_epochs", 3.0) or 3.0
    if total > 0:
        return ceil(steps * total)
    share = round(steps * epochs, 9)
    return share if share < 1 else "epoch"


def _run(reader: Reader) -> None:
    told = reader.get("report_to")
    named = [name for name in listed(told) if name != "none"] if told is not None else []
    known = ("tensorboard", "wandb", "mlflow", "trackio")
    for name in named:
        if name not in known:
            reader.note("lost", "report_to", f"ftc reports to {', '.join(known)}, not to {name}")
    if told is not None:
        reader.put("logging.to", [name for name in named if name in known], "report_to")
    if reader.has("project"):
        reader.put("logging.project", reader.get("project"), "project")
    reader.idle("the run is named by the recipe's name", "run_name")
    if reader.has("output_dir"):
        reader.put("output.dir", reader.get("output_dir"), "output_dir")
    if reader.has("overwrite_output_dir"):
        resume = "never" if reader.true("overwrite_output_dir") else "auto"
        reader.put("checkpoint.resume", resume, "overwrite_output_dir")


def _sharding(reader: Reader, count: int | None) -> None:
    if reader.get("deepspeed"):
        deepspeed(reader)
    elif reader.get("fsdp"):
        fully_sharded(reader)
        reader.idle("ftc says how layers are sharded", "fsdp_transformer_layer_cls_to_wrap", "fsdp_min_num_params")
    cards(reader, count)


KEPT: Final = 1000
"""Without save_total_limit every checkpoint stays; a recipe wants a number."""

DEFAULTS: Final = {
    "model.attention": "sdpa",
    "data.max_length": 2048,
    "data.overlong": "truncate",
    "training.micro_batch_size": 8,
    "training.learning_rate": 5.0e-5,
    "training.loss": "full",
    "training.kernels": "none",
    "checkpoint.keep": KEPT,
    "logging.every": 500,
}
