"""Effective values of two configs of a tool, brought to what they mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from backends.axolotl.reading_keys import BACK, OLD_OPTIMIZERS
from backends.axolotl.reading_model import LINEAR
from backends.llamafactory.reading import KEPT
from backends.llamafactory.reading_method import BACK as LF_BACK
from backends.llamafactory.reading_training import OPTIMIZERS as LF_OPTIMIZERS

STEPS: Final = 1000
Values = Mapping[str, Any]


def meaning(tool: str, values: Values) -> dict[str, Any]:
    """What a config's effective values mean."""
    return axolotl(values) if tool == "axolotl" else llamafactory(values)


def axolotl(values: Values) -> dict[str, Any]:
    """Axolotl's, of its arguments for the trainer and of its config."""
    cfg = {name.removeprefix("cfg."): value for name, value in values.items() if name.startswith("cfg.")}
    plugins = " ".join(cfg["plugins"] or ())
    liger = "LigerPlugin" in plugins
    optimizer = cfg["optimizer"]
    found = {
        **_shared(values),
        # Its own code for wandb says so, when it begins.
        "trackers": sorted({*(values["report_to"] or ()), *(["wandb"] if cfg["wandb_project"] else [])}),
        "optimizer": OLD_OPTIMIZERS.get(optimizer, (None,))[0] or (BACK["optimizer"].values or {}).get(optimizer),
        "base": cfg["base_model"],
        "revision": cfg["revision_of_model"] or "main",
        "adapter": cfg["adapter"],
        "4 bit": bool(cfg["load_in_4bit"]) and cfg["adapter"] == "qlora",
        "8 bit": bool(cfg["load_in_8bit"]) and cfg["adapter"] == "lora",
        "length": cfg["sequence_len"],
        "packing": bool(cfg["sample_packing"]),
        "prompt trained": bool(cfg["train_on_inputs"]),
        "attention": cfg["attn_implementation"] or "sdpa",
        "overlong": cfg["excess_length_strategy"] or "drop",
        "tokens": {name: token for name, token in (cfg["special_tokens"] or {}).items() if name != "unk_token"},
        "new tokens": list(cfg["tokens"] or ()),
        "trained parameters": bool(cfg["unfrozen_parameters"]),
        "recomputed": bool(values["gradient_checkpointing"] or cfg["gradient_checkpointing"] or _by_fsdp(cfg)),
        "rl": cfg["rl"],
        "beta": values["beta"],
        "chunked": bool(
            "CutCross" in plugins or cfg["chunked_cross_entropy"] or (liger and cfg["liger_fused_linear_cross_entropy"])
        ),
        "liger": bool(liger and cfg["liger_rms_norm"]),
        "template": values["template"],
        "sharded": "zero" if cfg["deepspeed"] else "fsdp" if cfg["fsdp_config"] else None,
        "kto weight": cfg["kto_desirable_weight"],
        "in order": bool(cfg["curriculum_sampling"]),
    }
    return {**found, **(_adapters(cfg) if cfg["adapter"] else {})}


def _by_fsdp(cfg: Values) -> bool:
    told = cfg["fsdp_config"] or {}
    return bool(told.get("activation_checkpointing") or told.get("fsdp_activation_checkpointing"))


def _adapters(cfg: Values) -> dict[str, Any]:
    named = cfg["lora_target_modules"] or []
    modules = named if isinstance(named, str) else sorted({*named, *(cfg["lora_target_parameters"] or ())})
    everything = cfg["lora_target_linear"] or set(LINEAR) <= set(modules if isinstance(modules, list) else ())
    return {
        "rank": cfg["lora_r"],
        "alpha": cfg["lora_alpha"],
        "dropout": cfg["lora_dropout"] or 0.0,
        "modules": "all" if everything else modules,
        "saved": sorted(cfg["lora_modules_to_save"] or ()),
        "dora": bool(cfg["peft_use_dora"]),
        "rslora": bool(cfg["peft_use_rslora"]),
        "start": cfg["peft_init_lora_weights"],
        "lora+": cfg["loraplus_lr_ratio"],
    }


def _shared(values: Values) -> dict[str, Any]:
    """Transformers' arguments."""
    total = values["max_steps"] if (values["max_steps"] or 0) > 0 else STEPS
    scheduler, floor = values["lr_scheduler_type"], values.get("cfg.cosine_min_lr_ratio")
    arguments = values.get("cfg.lr_scheduler_kwargs") or values["lr_scheduler_kwargs"] or {}
    if scheduler == "cosine" and floor is not None:
        scheduler, arguments = "cosine_with_min_lr", {"min_lr_rate": floor}
    warmup = values["warmup_steps"] or 0
    betas = [values["adam_beta1"] or 0.9, values["adam_beta2"] or 0.999]
    return {
        "micro batch": values["per_device_train_batch_size"],
        "accumulated": values["gradient_accumulation_steps"] or 1,
        "learning rate": float(values["learning_rate"]),
        "scheduler": "constant" if scheduler == "constant_with_warmup" and not warmup else scheduler,
        "scheduler's": arguments,
        "warm-up": math.ceil(warmup * total) if 0 < warmup < 1 else 0 if scheduler == "constant" else int(warmup),
        "weight decay": values["weight_decay"] or 0.0,
        "betas": betas,
        "epsilon": values["adam_epsilon"] or 1e-8,
        "clipping": 1.0 if values["max_grad_norm"] is None else values["max_grad_norm"],
        "steps": total if (values["max_steps"] or 0) > 0 else None,
        "epochs": None if (values["max_steps"] or 0) > 0 else values["num_train_epochs"],
        "seed": values["seed"] or 42,
        "type": "bf16" if values["bf16"] else "fp16" if values["fp16"] else "fp32",
        "evaluated": _when(values["eval_strategy"], values["eval_steps"], values, total),
        "saved every": _when(values["save_strategy"], values["save_steps"], values, total),
        "kept": min(values["save_total_limit"] or KEPT, KEPT),
        "noise": values["neftune_noise_alpha"],
        "compiled": bool(values["torch_compile"]),
        "trackers": sorted(values["report_to"] or ()),
    }


def _when(strategy: str | None, steps: float | None, values: Values, total: int) -> int | None:
    """Steps between two."""
    if strategy in (None, "no"):
        return None
    if strategy == "epoch" or not steps:
        return math.ceil(STEPS / (values["num_train_epochs"] or 1)) if (values["max_steps"] or 0) <= 0 else -1
    return math.ceil(total * steps) if steps < 1 else int(steps)


def llamafactory(values: Values) -> dict[str, Any]:
    """LLaMA-Factory's, of its dataclasses."""
    named = values["optim"]
    lora = values["finetuning_type"] == "lora"
    known = LF_BACK["optim"].values or {}
    found = {
        **_shared(values),
        "optimizer": "muon" if values["use_muon"] else LF_OPTIMIZERS.get(named) or known.get(named),
        "base": values["model_name_or_path"],
        "revision": values["model_revision"],
        "method": values["finetuning_type"],
        "stage": values["stage"],
        "loss": values["pref_loss"] if values["stage"] == "dpo" else None,
        "beta": values["pref_beta"] if values["stage"] in ("dpo", "kto") else None,
        "mixed": values["pref_ftx"] if values["stage"] == "dpo" else None,
        "bits": values["quantization_bit"],
        "double": values["double_quantization"] if values["quantization_bit"] else None,
        "pure": bool(values["pure_bf16"]),
        "length": values["cutoff_len"],
        "packing": bool(values["neat_packing"]),
        "prompt trained": bool(values["train_on_prompt"]),
        "last answer": bool(values["mask_history"]),
        "attention": "sdpa" if values["flash_attn"] == "auto" else values["flash_attn"],
        "recomputed": not values["disable_gradient_checkpointing"],
        "liger": bool(values["enable_liger_kernel"] or values["use_liger_kernel"]),
        "template": values["template"],
        "new tokens": values["add_tokens"] or [],
        "in order": bool(values["disable_shuffling"]),
        "sharded": bool(values["deepspeed"]),
        "galore": [values[name] for name in ("use_galore", "use_apollo", "use_badam", "use_adam_mini")],
        "loss kinds": [values[name] for name in ("use_dft_loss", "use_asft_loss", "use_eaft_loss")],
    }
    names = ("lora_rank", "lora_alpha", "lora_dropout", "lora_target", "use_dora", "use_rslora", "pissa_init")
    more = {name: values[name] for name in (*names, "loraplus_lr_ratio", "additional_target")} if lora else {}
    if lora:
        listed = more["lora_target"]
        more["lora_target"] = "all" if {*LINEAR} <= {*listed} or "all" in listed else sorted(listed)
    return {**found, **more}
