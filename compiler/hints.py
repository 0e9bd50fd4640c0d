"""What to do instead: did-you-mean, and the words that other tools have for ours. Loaded only when needed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, cast

from compiler.shape import Member, arms, describe, fields_of, form_of, leaf_places, required_of

FOREIGN: Final = {
    "base_model": "model.base",
    "model_name": "model.base",
    "model_name_or_path": "model.base",
    "torch_dtype": "model.dtype",
    "bf16": "model.dtype",
    "fp16": "model.dtype",
    "attn_implementation": "model.attention",
    "flash_attention": "model.attention",
    "flash_attn": "model.attention",
    "adapter": "method.kind",
    "finetuning_type": "method.kind",
    "peft_type": "method.kind",
    "r": "method.rank",
    "lora_r": "method.rank",
    "lora_rank": "method.rank",
    "lora_alpha": "method.alpha",
    "lora_dropout": "method.dropout",
    "lora_target": "method.target_modules",
    "lora_target_modules": "method.target_modules",
    "lora_target_linear": "method.target_modules",
    "lora_modules_to_save": "method.modules_to_save",
    "use_rslora": "method.rslora",
    "use_dora": "method.kind",
    "init_lora_weights": "method.init",
    "loraplus_lr_ratio": "method.lora_plus_ratio",
    "num_virtual_tokens": "method.virtual_tokens",
    "load_in_4bit": "method.quantization.bits",
    "load_in_8bit": "method.quantization.bits",
    "quantization_bit": "method.quantization.bits",
    "bnb_4bit_quant_type": "method.quantization.type",
    "quantization_type": "method.quantization.type",
    "bnb_4bit_use_double_quant": "method.quantization.double_quant",
    "double_quantization": "method.quantization.double_quant",
    "dataset": "data.train",
    "datasets": "data.train",
    "val_set_size": "data.validation",
    "val_size": "data.validation",
    "max_seq_length": "data.max_length",
    "sequence_len": "data.max_length",
    "cutoff_len": "data.max_length",
    "sample_packing": "data.packing",
    "neat_packing": "data.packing",
    "train_on_inputs": "data.loss_on",
    "assistant_only_loss": "data.loss_on",
    "train_on_responses_only": "data.loss_on",
    "lr": "training.learning_rate",
    "num_epochs": "training.epochs",
    "num_train_epochs": "training.epochs",
    "per_device_train_batch_size": "training.micro_batch_size",
    "batch_size": "training.global_batch_size",
    "gradient_accumulation_steps": "training.global_batch_size",
    "lr_scheduler": "training.scheduler",
    "lr_scheduler_type": "training.scheduler",
    "warmup_ratio": "training.warmup",
    "warmup_steps": "training.warmup",
    "optim": "training.optimizer",
    "adam_beta1": "training.betas",
    "adam_beta2": "training.betas",
    "adam_epsilon": "training.epsilon",
    "gradient_clipping": "training.max_grad_norm",
    "neftune_noise_alpha": "training.neftune_alpha",
    "torch_compile": "training.compile",
    "use_liger_kernel": "training.kernels",
    "use_gradient_checkpointing": "training.gradient_checkpointing",
    "rl": "training.objective",
    "stage": "training.objective",
    "beta": "training.preference.beta",
    "pref_beta": "training.preference.beta",
    "per_device_eval_batch_size": "evaluation.batch_size",
    "eval_steps": "evaluation.every",
    "eval_strategy": "evaluation.every",
    "save_steps": "checkpoint.every",
    "save_strategy": "checkpoint.every",
    "save_total_limit": "checkpoint.keep",
    "load_best_model_at_end": "checkpoint.best",
    "resume_from_checkpoint": "checkpoint.resume",
    "logging_steps": "logging.every",
    "report_to": "logging.to",
    "wandb_project": "logging.project",
    "output_dir": "output.dir",
    "deepspeed": "hardware.strategy",
    "fsdp": "hardware.strategy",
    "num_gpus": "hardware.count",
    "gpus": "hardware.count",
}
"""Words of PEFT, transformers, TRL, Axolotl, LLaMA-Factory and Unsloth → our leaf."""


_FOLLOWS: Final = {
    "gradient_accumulation_steps": "it follows: a global batch is micro_batch_size x devices x accumulation steps",
}
"""Of what is no leaf of ours under another name: where it comes from."""


def closest(word: str, words: Iterable[str]) -> str | None:
    """The word that was probably meant."""
    folded = {known.lower(): known for known in words}
    key = word.lower().replace("-", "_").replace(" ", "_")
    if key in folded:
        return folded[key]
    from difflib import get_close_matches  # only where something is misspelled

    found = get_close_matches(word.lower()[:64], folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def for_unknown_key(key: str, section: str, known: Iterable[str]) -> tuple[str | None, str | None]:
    """A hint for an unknown key of a section, and the path of the leaf that was meant, where there is one."""
    if key in FOREIGN:
        return _FOLLOWS.get(key, f"this is called {FOREIGN[key]} here"), FOREIGN[key]
    places = sorted({place for place in leaf_places(key) if place != section}, key=len)
    if places:
        where = f"under {places[0]}" if places[0] else "at the top of the recipe"
        return f"{key} belongs {where}", f"{places[0]}.{key}".lstrip(".")
    meant = closest(key, known)
    if meant:
        return f'did you mean "{meant}"?', f"{section}.{meant}" if section else meant
    return f"known here: {', '.join(known)}", None


_YES_NO: Final = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_FOREIGN_WORDS: Final = {
    "bf16": "bfloat16",
    "fp16": "float16",
    "half": "float16",
    "fp32": "float32",
    "fa2": "flash_attention_2",
    "fa3": "flash_attention_3",
    "flash": "flash_attention_2",
    "flash_attn": "flash_attention_2",
    "flash_attention": "flash_attention_2",
    "flex_attention": "flex",
    "adamw_torch": "adamw",
    "adamw_torch_fused": "adamw",
    "adamw_bnb_8bit": "adamw_8bit",
    "paged_adamw_32bit": "paged_adamw",
    "deepspeed": "zero3",
    "prefix": "prefix_tuning",
    "prompt": "prompt_tuning",
    "full_finetuning": "full",
    "never": "null",
}


_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kmgt]?)i?b?")


def for_value(value: object, found: tuple[Member, ...]) -> str | None:
    """A hint for a value that cannot stand where it does."""
    choices = [str(choice) for member in found for choice in member.choices]
    if isinstance(value, str):
        return _for_text(value, choices, found)
    if form_of(value) == "value" and all(member.section for member in found):
        return _for_section(value, found)
    numbers = any(member.type is int or member.type is float for member in found)
    if form_of(value) == "value" and not numbers and any(member.form == "list" for member in found):
        return f"write it as a list: [{value}]"
    if isinstance(value, list) and len(cast("list[object]", value)) == 1:
        return "write the one value without brackets"
    return None


def _for_text(value: str, choices: list[str], found: tuple[Member, ...]) -> str | None:
    types = {member.type for member in found}
    folded = value.lower()
    spelled = _spelled(folded, set(choices), found)
    if spelled:
        return spelled
    if _FOREIGN_WORDS.get(folded) in choices or (folded == "never" and type(None) in types):
        return f'this is called "{_FOREIGN_WORDS[folded]}" here'
    meant = closest(value, choices)
    if meant:
        return f'did you mean "{meant}"?'
    if any(member.section for member in found):
        return _for_section(value, found)
    return f"write it as a list: [{value}]" if any(member.form == "list" for member in found) else None


def _for_section(value: object, found: tuple[Member, ...]) -> str:
    """How the value is written as a section, or which keys there are."""
    placed = _placed(value, found)
    if placed:
        return f"write `{placed}` on a line of its own below, indented"
    section = next(member.section for member in found if member.section)
    return f"its keys stand on lines of their own below, indented: {', '.join(fields_of(section))}"


def _placed(value: object, found: tuple[Member, ...]) -> str | None:
    """The key of a section that the value was meant for, with the value."""
    section = next((member.section for member in found if member.section), None)
    if section is None:
        return str(value)
    if arms(found):
        return f"kind: {value}"
    known, required = fields_of(section), required_of(section)
    if len(required) == 1 and isinstance(value, str):
        (key,) = required
        inner = _placed(value, known[key])
        return f"{key}: {{{inner}}}" if any(member.section for member in known[key]) else f"{key}: {inner}"
    for key, taken in known.items():
        if any(value in member.choices for member in taken):
            return f"{key}: {value}"
        if any(value in item.choices for member in taken for item in member.items):
            return f"{key}: [{value}]"
    return None


def _spelled(folded: str, choices: set[str], found: tuple[Member, ...]) -> str | None:
    """How a yes, a number or a size is written."""
    types = {member.type for member in found}
    size = _SIZE.fullmatch(folded)
    if size and any("GiB" in describe((member,)) for member in found):
        return f"write {size[1]}{(size[2] or 'g').upper()}iB"
    if bool in types and folded in _YES_NO:
        return f"write {_YES_NO[folded]}"
    number = types & {int, float} or folded in choices
    return "write the number without quotes" if number and _is_number(folded) else None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
