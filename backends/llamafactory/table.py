"""What LLaMA-Factory calls each leaf of a plan, and the order of its config."""

from __future__ import annotations

from typing import Final, cast

from backends.alike import NO_SUCH_METHOD, ONCE, OTHER_KINDS, OTHER_METHODS, OURS, raw
from schemas.support import Folded, Key, NotYet, Table

ATTENTION: Final = {"eager": "disabled", "sdpa": "sdpa", "flash_attention_2": "fa2"}

OPTIMIZERS: Final = {
    "adamw": "adamw_torch_fused",
    "adamw_8bit": "adamw_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "paged_adamw": "paged_adamw_32bit",
    "adafactor": "adafactor",
    "lion_8bit": "lion_8bit",
    "sgd": "sgd",
    "adamw_4bit": "adamw_torch_4bit",
    "muon": "adamw_torch_fused",  # beside `use_muon`, for what Muon leaves to AdamW
}

DATASETS: Final = "dataset_info.json"

_FIELDS: Final[Table] = {
    "messages": Folded(DATASETS),
    "role": Folded(DATASETS),
    "content": Folded(DATASETS),
    "thinking": NotYet("it reads thoughts out of the text, between tags", neutral=(None,)),
    "tools": Folded(DATASETS),
    "system": Folded(DATASETS),
    "instruction": Folded(DATASETS),
    "input": Folded(DATASETS),
    "output": Folded(DATASETS),
    "prompt": Folded(DATASETS),
    "completion": Folded(DATASETS),
    "chosen": Folded(DATASETS),
    "rejected": Folded(DATASETS),
    "label": Folded(DATASETS),
    "text": Folded(DATASETS),
}

_SOURCE: Final[Table] = {
    "path": Folded(DATASETS),
    "local": Folded(DATASETS),
    "format": Folded(DATASETS),
    "split": Folded(DATASETS),
    "subset": Folded(DATASETS),
    "revision": Folded(DATASETS),
    "weight": Folded(DATASETS),
    "limit": Folded(DATASETS),
}

_SOURCE_ROWS: Final[Table] = {**_SOURCE, **{f"fields.{name}": answer for name, answer in _FIELDS.items()}}

NO_QDORA: Final = NotYet("it stops at DoRA on any quantised base: it looks for bitsandbytes by another name")
"""`_setup_lora_tuning` in llamafactory/model/adapter.py, of 0.9.4 and 0.9.5 alike."""

TABLE: Final[Table] = {
    **OURS,
    **OTHER_METHODS,
    **raw("llamafactory", "config.yaml"),
    "name": Key("run_name"),
    # The base
    "model.base": Key("model_name_or_path"),
    "model.revision": Key("model_revision"),
    "model.dtype": Folded("bf16"),
    "model.attention": Key(
        "flash_attn",
        lambda value: ATTENTION[str(value)],
        {
            "flash_attention_3": NotYet("it knows fa3 by name and then stops"),
            "flex": NotYet("it knows eager, sdpa and flash attention 2"),
        },
    ),
    "model.trust_remote_code": Key("trust_remote_code"),
    "model.tokenizer": NotYet("the tokenizer is the base's", neutral=(None,)),
    "model.chat_template": Folded("template"),
    "model.tokens.pad": NotYet("special tokens come from the template", neutral=(None,)),
    "model.tokens.eos": NotYet("special tokens come from the template", neutral=(None,)),
    "model.tokens.bos": NotYet("special tokens come from the template", neutral=(None,)),
    "model.tokens.add": Key("add_tokens", lambda value: ",".join(cast(tuple[str, ...], value)) or None),
    # The method
    "method.kind": Key("finetuning_type", refused={**dict.fromkeys(OTHER_KINDS, NO_SUCH_METHOD), "qdora": NO_QDORA}),
    "method.rank": Key("lora_rank"),
    "method.alpha": Key("lora_alpha"),
    "method.dropout": Key("lora_dropout"),
    "method.target_modules": Folded("lora_target"),
    "method.modules_to_save": Folded("additional_target"),
    "method.rslora": Key("use_rslora"),
    "method.init": Key(
        "pissa_init",
        lambda value: value == "pissa",
        {
            "gaussian": NotYet("adapters start in PEFT's default way, or by PiSSA"),
            "olora": NotYet("adapters start in PEFT's default way, or by PiSSA"),
            "loftq": NotYet("adapters start in PEFT's default way, or by PiSSA"),
        },
    ),
    "method.lora_plus_ratio": Key("loraplus_lr_ratio"),
    "method.adapter_dtype": NotYet("adapters are float32 where the rest is mixed precision", neutral=("float32",)),
    "method.quantization": Folded("quantization_bit"),
    "method.quantization.bits": Key("quantization_bit"),
    "method.quantization.type": Key("quantization_type"),
    "method.quantization.double_quant": Key("double_quantization"),
    "method.quantization.compute_dtype": Folded("bf16"),
    "method.freeze": NotYet("it freezes all but the last layers, not by pattern", neutral=((),)),
    "method.train_only": NotYet("it trains the last layers, not by pattern", neutral=((),)),
    "method.weights_dtype": Folded("pure_bf16"),
    # The data
    **{f"data.train[].{name}": answer for name, answer in _SOURCE_ROWS.items()},
    "data.validation": Folded("eval_dataset"),
    **{f"data.validation[].{name}": answer for name, answer in _SOURCE_ROWS.items()},
    "data.validation[].weight": ONCE,
    "data.system": Key("default_system"),
    "data.max_length": Key("cutoff_len"),
    "data.overlong": NotYet("rows that are too long are always shortened", neutral=("truncate", "drop")),
    "data.bad_rows": Folded(DATASETS),
    "data.packing": Folded("neat_packing"),
    "data.loss_on": Folded("train_on_prompt or mask_history"),
    "data.shuffle": Key("disable_shuffling", lambda value: not value),
    # The training
    "training.objective": Folded("stage or pref_loss", alike=("sft", "pretrain")),
    "training.preference": Folded("pref_loss"),
    "training.preference.beta": Folded("pref_beta"),
    "training.preference.loss": Folded("pref_loss"),
    "training.epochs": Key("num_train_epochs"),
    "training.max_steps": Key("max_steps"),
    "training.global_batch_size": Folded("gradient_accumulation_steps"),
    "training.micro_batch_size": Key("per_device_train_batch_size"),
    "training.learning_rate": Key("learning_rate"),
    "training.scheduler": Folded("lr_scheduler_type"),
    "training.min_lr_ratio": Folded("lr_scheduler_kwargs"),
    "training.warmup": Folded("warmup_steps"),
    "training.optimizer": Key(
        "optim",
        lambda value: OPTIMIZERS[str(value)],
    ),
    "training.weight_decay": Key("weight_decay"),
    "training.betas": Key("adam_beta1"),
    "training.epsilon": Key("adam_epsilon"),
    "training.max_grad_norm": Key("max_grad_norm"),
    "training.gradient_checkpointing": Key(
        "disable_gradient_checkpointing",
        lambda value: not value,
        {"selective": NotYet("it recomputes whole layers, or nothing")},
    ),
    "training.loss": NotYet("the logits are whole", neutral=("full",)),
    "training.compile": Key("torch_compile"),
    "training.kernels": Key("enable_liger_kernel", lambda value: value == "liger"),
    "training.neftune_alpha": Key("neftune_noise_alpha"),
    "training.seed": Key("seed"),
    # The run
    "evaluation.every": Key("eval_steps"),
    "evaluation.batch_size": Key("per_device_eval_batch_size"),
    "checkpoint.every": Key("save_steps"),
    "checkpoint.keep": Key("save_total_limit"),
    "checkpoint.best": Key("load_best_model_at_end"),
    "checkpoint.weights_only": Key("save_only_model"),
    "checkpoint.resume": Key("overwrite_output_dir", lambda value: value == "never"),
    "logging.every": Key("logging_steps"),
    "logging.to": Folded("report_to"),
    "logging.project": Key("project"),
    "output.dir": Folded("output_dir"),
    "output.merge": Folded("run.sh"),
    "hardware.count": Folded("gradient_accumulation_steps"),
    "hardware.nodes": Folded("run.sh"),
    "hardware.strategy": Folded("deepspeed.json or accelerate.yaml", alike=("single", "ddp")),
    "hardware.offload": Folded("deepspeed.json or accelerate.yaml"),
}

EXPORT: Final = (
    (
        "The base and its adapter",
        ("model_name_or_path", "trust_remote_code", "adapter_name_or_path", "finetuning_type", "template"),
    ),
    ("The merged model", ("export_dir", "export_device", "export_legacy_format")),
)
"""The chapters of `merge.yaml`."""

CHAPTERS: Final = (
    (
        "The base model",
        (
            "model_name_or_path",
            "model_revision",
            "trust_remote_code",
            "add_tokens",
            "bf16",
            "fp16",
            "pure_bf16",
            "tf32",
            "flash_attn",
            "quantization_bit",
            "quantization_method",
            "quantization_type",
            "double_quantization",
        ),
    ),
    (
        "What is trained",
        (
            "stage",
            "do_train",
            "pref_beta",
            "pref_loss",
            "pref_ftx",
            "finetuning_type",
            "lora_rank",
            "lora_alpha",
            "lora_dropout",
            "lora_target",
            "additional_target",
            "use_dora",
            "use_rslora",
            "pissa_init",
            "pissa_iter",
            "loraplus_lr_ratio",
            "loraplus_lr_embedding",
        ),
    ),
    (
        "The data: dataset_info.json says what each name stands for",
        (
            "dataset_dir",
            "dataset",
            "eval_dataset",
            "mix_strategy",
            "disable_shuffling",
            "template",
            "default_system",
            "cutoff_len",
            "packing",
            "neat_packing",
            "train_on_prompt",
            "mask_history",
            "overwrite_cache",
            "dataloader_num_workers",
        ),
    ),
    (
        "The training",
        (
            "num_train_epochs",
            "max_steps",
            "per_device_train_batch_size",
            "gradient_accumulation_steps",
            "average_tokens_across_devices",
            "learning_rate",
            "lr_scheduler_type",
            "lr_scheduler_kwargs",
            "warmup_steps",
            "optim",
            "use_muon",
            "weight_decay",
            "adam_beta1",
            "adam_beta2",
            "adam_epsilon",
            "max_grad_norm",
            "neftune_noise_alpha",
            "disable_gradient_checkpointing",
            "use_reentrant_gc",
            "use_unsloth_gc",
            "enable_liger_kernel",
            "torch_compile",
            "seed",
            "deepspeed",
        ),
    ),
    (
        "The run",
        (
            "output_dir",
            "overwrite_output_dir",
            "resume_from_checkpoint",
            "run_name",
            "eval_strategy",
            "eval_steps",
            "per_device_eval_batch_size",
            "save_strategy",
            "save_steps",
            "save_total_limit",
            "save_only_model",
            "load_best_model_at_end",
            "metric_for_best_model",
            "greater_is_better",
            "logging_steps",
            "report_to",
            "project",
            "plot_loss",
            "push_to_hub",
        ),
    ),
)
