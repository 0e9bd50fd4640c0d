"""What Axolotl calls each leaf of a plan, and the order of its config."""

from __future__ import annotations

from typing import Final

from backends.alike import LATER, NO_FIELD_HERE, NO_SUCH_METHOD, OTHER_KINDS, OTHER_METHODS, OURS
from schemas.support import Folded, Key, NotImpl, NotYet, Table

OPTIMIZERS: Final = {
    "adamw": "adamw_torch_fused",
    "adamw_8bit": "adamw_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "paged_adamw": "paged_adamw_32bit",
    "adafactor": "adafactor",
    "lion_8bit": "lion_8bit",
    "sgd": "sgd",
}

OVERLONG: Final = {"drop": "drop", "truncate": "truncate", "error": "raise", "split": "drop"}
"""Raw text is cut into pieces before this is looked at, so that none is left to drop."""

TRACKERS: Final = {"wandb": "wandb_project", "mlflow": "mlflow_experiment_name", "trackio": "trackio_project_name"}
"""Tracker → the key of its project; the key alone switches the tracker on."""

_FIELDS: Final[Table] = {
    "messages": Folded("datasets"),
    "role": Folded("datasets"),
    "content": Folded("datasets"),
    "thinking": Folded("datasets"),
    "tools": Folded("datasets"),
    "system": NotYet("a conversation's system text is its first message", neutral=(None,)),
    "instruction": NotYet("alpaca rows are written in Alpaca's own words there", neutral=(None,)),
    "input": NotYet("alpaca rows are written in Alpaca's own words there", neutral=(None,)),
    "output": NotYet("alpaca rows are written in Alpaca's own words there", neutral=(None,)),
    "prompt": Folded("datasets"),
    "completion": Folded("datasets"),
    "chosen": NO_FIELD_HERE,
    "rejected": NO_FIELD_HERE,
    "label": NO_FIELD_HERE,
    "text": Folded("datasets"),
}

_SOURCE: Final[Table] = {
    "path": Folded("datasets"),
    "local": Folded("datasets"),
    "format": Folded(
        "datasets",
        {
            "alpaca": NotYet("alpaca rows are written in Alpaca's own words there, not in the chat template"),
            "preference": NotImpl("preference objectives are not written for this target"),
            "kto": NotImpl("preference objectives are not written for this target"),
        },
    ),
    "split": Folded("datasets"),
    "subset": Folded("datasets"),
    "revision": Folded("datasets"),
    "weight": NotYet("it mixes sources by their sizes only", neutral=(1.0,)),
    "limit": Folded("datasets"),
}


def _source_rows(prefix: str, into: str) -> Table:
    """The rows of one list of sources."""
    table = {**_SOURCE, **{f"fields.{name}": answer for name, answer in _FIELDS.items()}}
    return {
        f"{prefix}[].{name}": Folded(into, answer.refused) if isinstance(answer, Folded) else answer
        for name, answer in table.items()
    }


TABLE: Final[Table] = {
    **OURS,
    **OTHER_METHODS,
    **LATER,
    "name": Folded("output_dir"),
    # The base
    "model.base": Key("base_model"),
    "model.revision": Key("revision_of_model"),
    "model.dtype": Folded("bf16"),
    "model.attention": Key("attn_implementation", lambda value: "flex_attention" if value == "flex" else value),
    "model.trust_remote_code": Key("trust_remote_code"),
    "model.tokenizer": Key("tokenizer_config"),
    "model.chat_template": Folded("chat_template"),
    "model.tokens.pad": Folded("special_tokens"),
    "model.tokens.eos": Folded("special_tokens"),
    "model.tokens.bos": Folded("special_tokens"),
    "model.tokens.add": NotImpl("added tokens are not written for this target", neutral=((),)),
    # The method
    "method.kind": Key("adapter", refused=dict.fromkeys(OTHER_KINDS, NO_SUCH_METHOD)),
    "method.rank": Key("lora_r"),
    "method.alpha": Key("lora_alpha"),
    "method.dropout": Key("lora_dropout"),
    "method.target_modules": Folded("lora_target_modules"),
    "method.modules_to_save": Folded("lora_modules_to_save"),
    "method.rslora": Key("peft_use_rslora"),
    "method.init": Key("peft_init_lora_weights", refused={"loftq": NotImpl("LoftQ is not written for this target")}),
    "method.lora_plus_ratio": Key("loraplus_lr_ratio"),
    "method.adapter_dtype": Key("peft_autocast_adapter_dtype", lambda value: value == "float32"),
    "method.quantization": Folded("adapter"),
    "method.quantization.bits": Folded("load_in_4bit"),
    "method.quantization.type": Folded("bnb_config_kwargs"),
    "method.quantization.double_quant": Folded("bnb_config_kwargs"),
    "method.quantization.compute_dtype": Folded("bnb_config_kwargs"),
    "method.freeze": NotImpl("it names what stays trained, by regular expressions", neutral=((),)),
    "method.train_only": NotImpl("it names what stays trained, by regular expressions", neutral=((),)),
    "method.weights_dtype": Folded("bf16"),
    # The data
    **_source_rows("data.train", "datasets"),
    "data.validation": Folded("test_datasets"),
    **_source_rows("data.validation", "test_datasets"),
    "data.system": NotYet("it has no system text for conversations that lack one", neutral=(None,)),
    "data.max_length": Key("sequence_len"),
    "data.overlong": Key("excess_length_strategy", lambda value: OVERLONG[str(value)]),
    "data.packing": Key("sample_packing"),
    "data.loss_on": Folded(
        "train_on_inputs", {"last_assistant": NotYet("it trains all turns of a speaker, or turns that the data marks")}
    ),
    "data.shuffle": Key("shuffle_merged_datasets"),
    # The training
    "training.epochs": Key("num_epochs"),
    "training.max_steps": Key("max_steps"),
    "training.global_batch_size": Folded("gradient_accumulation_steps"),
    "training.micro_batch_size": Key("micro_batch_size"),
    "training.learning_rate": Key("learning_rate"),
    "training.scheduler": Folded("lr_scheduler"),
    "training.min_lr_ratio": Folded("lr_scheduler_kwargs"),
    "training.warmup": Folded("warmup_ratio"),
    "training.optimizer": Key(
        "optimizer",
        lambda value: OPTIMIZERS[str(value)],
        {
            "muon": NotImpl("Muon is not written for this target"),
            "adamw_4bit": NotImpl("torchao's optimizers are not written for this target"),
        },
    ),
    "training.weight_decay": Key("weight_decay"),
    "training.betas": Key("adam_beta1"),
    "training.epsilon": Key("adam_epsilon"),
    "training.max_grad_norm": Key("max_grad_norm"),
    "training.gradient_checkpointing": Key("gradient_checkpointing", bool),
    "training.loss": Key("chunked_cross_entropy", lambda value: value == "chunked"),
    "training.compile": Key("torch_compile"),
    "training.kernels": Folded("plugins"),
    "training.neftune_alpha": Key("neftune_noise_alpha"),
    "training.seed": Key("seed"),
    # The run
    "evaluation.every": Key("eval_steps"),
    "evaluation.batch_size": Key("eval_batch_size"),
    "checkpoint.every": Key("save_steps"),
    "checkpoint.keep": Key("save_total_limit"),
    "checkpoint.best": Key("load_best_model_at_end"),
    "checkpoint.weights_only": Key("save_only_model"),
    "checkpoint.resume": Key("auto_resume_from_checkpoints", lambda value: value == "auto"),
    "logging.every": Key("logging_steps"),
    "logging.to": Key("use_tensorboard"),
    "logging.project": Folded("wandb_project"),
    "output.dir": Folded("output_dir"),
    "hardware.count": Folded("gradient_accumulation_steps"),
    "hardware.strategy": NotImpl("sharding is not written for this target", neutral=("single", "ddp")),
}

CHAPTERS: Final = (
    (
        "The base model",
        (
            "base_model",
            "revision_of_model",
            "tokenizer_config",
            "trust_remote_code",
            "special_tokens",
            "bf16",
            "fp16",
            "tf32",
            "attn_implementation",
            "load_in_4bit",
            "load_in_8bit",
            "bnb_config_kwargs",
        ),
    ),
    (
        "What is trained",
        (
            "adapter",
            "lora_r",
            "lora_alpha",
            "lora_dropout",
            "lora_target_modules",
            "lora_modules_to_save",
            "peft_use_dora",
            "peft_use_rslora",
            "peft_init_lora_weights",
            "peft_autocast_adapter_dtype",
            "loraplus_lr_ratio",
            "loraplus_lr_embedding",
            "lora_mlp_kernel",
            "lora_qkv_kernel",
            "lora_o_kernel",
            "lora_embedding_kernel",
        ),
    ),
    (
        "The data",
        (
            "chat_template",
            "chat_template_jinja",
            "datasets",
            "test_datasets",
            "val_set_size",
            "shuffle_merged_datasets",
            "train_on_inputs",
            "sequence_len",
            "excess_length_strategy",
            "sample_packing",
            "eval_sample_packing",
            "pad_to_sequence_len",
            "group_by_length",
            "dataloader_num_workers",
        ),
    ),
    (
        "The training",
        (
            "num_epochs",
            "max_steps",
            "micro_batch_size",
            "gradient_accumulation_steps",
            "learning_rate",
            "lr_scheduler",
            "lr_scheduler_kwargs",
            "warmup_steps",
            "warmup_ratio",
            "optimizer",
            "weight_decay",
            "adam_beta1",
            "adam_beta2",
            "adam_epsilon",
            "max_grad_norm",
            "neftune_noise_alpha",
            "gradient_checkpointing",
            "gradient_checkpointing_kwargs",
            "selective_checkpointing",
            "activation_offloading",
            "chunked_cross_entropy",
            "torch_compile",
            "plugins",
            "liger_rope",
            "liger_rms_norm",
            "liger_glu_activation",
            "liger_fused_linear_cross_entropy",
            "seed",
        ),
    ),
    (
        "The run",
        (
            "output_dir",
            "eval_strategy",
            "eval_steps",
            "eval_batch_size",
            "save_strategy",
            "save_steps",
            "save_total_limit",
            "save_only_model",
            "load_best_model_at_end",
            "auto_resume_from_checkpoints",
            "resume_from_checkpoint",
            "logging_steps",
            "use_tensorboard",
            "use_wandb",
            "wandb_project",
            "wandb_name",
            "use_mlflow",
            "mlflow_experiment_name",
            "mlflow_run_name",
            "use_trackio",
            "trackio_project_name",
            "trackio_run_name",
        ),
    ),
)
