"""What Axolotl makes of a config, as its own parser and its builder of training arguments say: no model, no rows.

Run by Axolotl's Python with folders that hold a `config.yaml`.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import yaml
from axolotl.core.builders.causal import HFCausalTrainerBuilder
from axolotl.core.builders.rl import HFRLTrainerBuilder
from axolotl.loaders.patch_manager import PatchManager
from axolotl.utils import config
from axolotl.utils.chat_templates import get_chat_template
from axolotl.utils.dict import DictDefault
from check_axolotl import validated
from pretend import a_card
from worker import Report, serve

STEPS = 1000
ARGUMENTS = (
    *("per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate", "lr_scheduler_type", "optim"),
    *("weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm", "warmup_steps", "max_steps"),
    *("num_train_epochs", "seed", "bf16", "fp16", "eval_strategy", "eval_steps", "save_strategy", "save_steps"),
    *("save_total_limit", "neftune_noise_alpha", "torch_compile", "save_only_model", "lr_scheduler_kwargs"),
    *("gradient_checkpointing", "load_best_model_at_end", "report_to", "beta", "loss_type"),
)
KEYS = (
    *("base_model", "revision_of_model", "adapter", "lora_r", "lora_alpha", "lora_dropout", "lora_modules_to_save"),
    *("lora_target_modules", "lora_target_linear", "lora_target_parameters", "peft_use_dora", "peft_use_rslora"),
    *("peft_init_lora_weights", "loraplus_lr_ratio", "load_in_4bit", "load_in_8bit", "trust_remote_code", "rl"),
    *("sequence_len", "sample_packing", "train_on_inputs", "attn_implementation", "excess_length_strategy"),
    *("special_tokens", "tokens", "optimizer", "lr_scheduler", "cosine_min_lr_ratio", "unfrozen_parameters"),
    *("activation_offloading", "val_set_size", "kto_desirable_weight", "logging_steps", "deepspeed", "fsdp_config"),
    *("cut_cross_entropy", "chunked_cross_entropy", "liger_rms_norm", "liger_fused_linear_cross_entropy", "plugins"),
    *("gradient_checkpointing", "curriculum_sampling", "dpo_loss_type", "train_on_eos", "bnb_config_kwargs"),
    *("wandb_project", "use_wandb", "lr_scheduler_kwargs"),
)
TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "How many?"},
    {"role": "assistant", "content": "Two."},
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": "I counted."},
]


def check(told: dict[str, Any]) -> Report:
    """Values by name."""
    del told
    config.load_model_config = lambda _: SimpleNamespace(model_type="llama")
    PatchManager.apply_pre_config_load_patches = staticmethod(lambda _: None)
    written = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
    cfg = validated(written)
    if cfg.optimizer is None:
        cfg.optimizer = "adamw_torch_fused"
    config.normalize_config(cfg)
    builder = HFRLTrainerBuilder if cfg.rl else HFCausalTrainerBuilder
    made = builder(cfg, torch.nn.Linear(1, 1), None)
    made.train_dataset, made.eval_dataset = [1], [1] if (cfg.val_set_size or cfg.test_datasets) else None
    arguments = made._set_base_training_args(cfg.max_steps or STEPS)[0]
    values = {name: arguments.get(name) for name in ARGUMENTS}
    values |= {f"cfg.{name}": plain(cfg.get(name)) for name in KEYS}
    values["max_steps"] = cfg.max_steps
    values["template"] = template(cfg)
    return {"wrong": [], "effective": {name: getattr(value, "value", value) for name, value in values.items()}}


def template(cfg: DictDefault) -> str:
    """What its template makes of a conversation; the name, where it is the tokenizer's."""
    named = str(getattr(cfg.chat_template, "value", cfg.chat_template or "tokenizer_default"))
    if named.startswith("tokenizer_default"):
        return "tokenizer"
    text = get_chat_template(named, jinja_template=cfg.chat_template_jinja)
    from transformers.utils.chat_template_utils import render_jinja_template

    words = {"bos_token": "<s>", "eos_token": "</s>"}
    return render_jinja_template([TURNS], chat_template=text, **words)[0][0]


def plain(value: Any) -> Any:
    """Enumerations and sections as JSON has them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return getattr(value, "value", value)


if __name__ == "__main__":
    a_card(config)
    serve(check)
