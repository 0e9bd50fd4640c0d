"""What the Unsloth script calls each leaf of a plan: keywords of its calls, and the names at its head."""

from __future__ import annotations

from typing import Final

from backends.alike import NO_SUCH_METHOD, ONCE, OTHER_KINDS, OTHER_METHODS, OURS, raw
from backends.raw_keys import owners
from schemas.support import Folded, Key, NotYet, Table

OPTIMIZERS: Final = {
    "adamw": "adamw_torch_fused",
    "adamw_8bit": "adamw_8bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "paged_adamw": "paged_adamw_32bit",
    "adafactor": "adafactor",
    "lion_8bit": "lion_8bit",
    "sgd": "sgd",
    "adamw_4bit": "adamw_torch_4bit",
}

_SOURCE: Final = ("path", "local", "format", "split", "subset", "revision", "weight", "limit")
_FIELDS: Final = (
    "messages",
    "role",
    "content",
    "thinking",
    "tools",
    "system",
    "instruction",
    "input",
    "output",
    "prompt",
    "completion",
    "chosen",
    "rejected",
    "label",
    "text",
)


def _sources(prefix: str, into: str) -> Table:
    """The rows of one list of sources: the script reads them itself, by the code that the native target uses."""
    table: Table = {f"{prefix}[].{name}": Folded(into) for name in _SOURCE}
    return table | {f"{prefix}[].fields.{name}": Folded(into) for name in _FIELDS}


TABLE: Final[Table] = {
    **OURS,
    **OTHER_METHODS,
    **raw(),
    "name": Key("run_name"),
    # The base
    "model.base": Key("model_name"),
    "model.revision": Key("revision"),
    "model.dtype": Folded("dtype"),
    "model.attention": NotYet("it brings its own attention", neutral=("sdpa", "eager")),
    "model.trust_remote_code": Key("trust_remote_code"),
    "model.tokenizer": Folded("tokenizer"),
    "model.chat_template": Folded("CHAT_TEMPLATE"),
    "model.tokens.pad": Folded("TOKENS"),
    "model.tokens.eos": Folded("TOKENS"),
    "model.tokens.bos": Folded("TOKENS"),
    "model.tokens.add": Folded("new_tokens"),
    # The method
    "method.kind": Key(
        "use_dora", lambda value: value in ("dora", "qdora"), dict.fromkeys(OTHER_KINDS, NO_SUCH_METHOD)
    ),
    "method.rank": Key("r"),
    "method.alpha": Key("lora_alpha"),
    "method.dropout": Key("lora_dropout"),
    "method.target_modules": Folded("target_modules"),
    "method.modules_to_save": Folded("modules_to_save"),
    "method.rslora": Key("use_rslora"),
    "method.init": Key(
        "init_lora_weights",
        lambda value: True if value == "default" else value,
        {"loftq": NotYet("LoftQ there rounds a base that stays in 16 bit; a quantised one it refuses")},
    ),
    "method.lora_plus_ratio": Folded("loraplus_lr_ratio"),
    "method.adapter_dtype": NotYet("adapters are float32 under mixed precision", neutral=("float32",)),
    "method.quantization": Folded("load_in_4bit"),
    "method.quantization.bits": Folded("load_in_4bit"),
    "method.quantization.type": Folded("quantization_config"),
    "method.quantization.double_quant": Folded("quantization_config"),
    "method.quantization.compute_dtype": Folded("quantization_config"),
    "method.freeze": Folded("FREEZE"),
    "method.train_only": Folded("TRAIN_ONLY"),
    "method.weights_dtype": Folded("float32_mixed_precision"),
    # The data
    **_sources("data.train", "TRAIN"),
    "data.validation": Folded("VALIDATION"),
    **_sources("data.validation", "VALIDATION"),
    "data.validation[].weight": ONCE,
    "data.system": Folded("SYSTEM"),
    "data.max_length": Folded("MAX_LENGTH"),
    "data.overlong": Folded("JOB"),
    "data.bad_rows": Folded("JOB or BAD_ROWS"),
    "data.packing": Key("packing"),
    "data.loss_on": Folded("JOB"),
    "data.shuffle": Key("train_sampling_strategy", lambda value: "random" if value else "sequential"),
    # The training
    "training.objective": Folded("trainer", alike=("sft", "pretrain")),
    "training.preference": Folded("beta"),
    "training.preference.beta": Folded("beta"),
    "training.preference.loss": Folded("loss_type"),
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
        {"muon": NotYet("its trainer has no Muon")},
    ),
    "training.weight_decay": Key("weight_decay"),
    "training.betas": Key("adam_beta1"),
    "training.epsilon": Key("adam_epsilon"),
    "training.max_grad_norm": Key("max_grad_norm"),
    "training.gradient_checkpointing": Folded(
        "use_gradient_checkpointing", {"selective": NotYet("it recomputes whole layers, or nothing")}
    ),
    "training.loss": Folded("trainer"),  # SFT never has the logits whole, compared answers always: losses.py
    "training.compile": NotYet("it compiles what it chooses", neutral=(False,)),
    "training.kernels": NotYet("it brings its own kernels", neutral=("none",)),
    "training.neftune_alpha": Key("neftune_noise_alpha"),
    "training.seed": Folded("SEED"),
    # The run
    "evaluation.every": Key("eval_steps"),
    "evaluation.batch_size": Key("per_device_eval_batch_size"),
    "checkpoint.every": Key("save_steps"),
    "checkpoint.keep": Key("save_total_limit"),
    "checkpoint.best": Key("load_best_model_at_end"),
    "checkpoint.weights_only": Key("save_only_model"),
    "checkpoint.resume": Folded("RESUME"),
    "logging.every": Key("logging_steps"),
    "logging.to": Folded("report_to"),
    "logging.project": Folded("project"),
    "output.dir": Folded("OUT"),
    "output.merge": Folded("merged"),
    "hardware.count": Folded("gradient_accumulation_steps"),
    "hardware.nodes": Folded("run.sh"),
    "hardware.strategy": Folded(
        "run.sh",
        {"zero2": NotYet("it shards by FSDP2"), "zero3": NotYet("it shards by FSDP2")},
        alike=("single", "ddp"),
    ),
    "hardware.offload": NotYet("nothing is kept in CPU memory but activations", neutral=("none",)),
}

LOAD: Final = (
    "model_name",
    "revision",
    "trust_remote_code",
    "load_in_4bit",
    "load_in_8bit",
    "load_in_16bit",
    "full_finetuning",
    "float32_mixed_precision",
)
PEFT: Final = (
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "modules_to_save",
    "use_dora",
    "use_rslora",
    "init_lora_weights",
)
ARGUMENTS: Final = (
    (
        "How long, and how much at once",
        (
            "num_train_epochs",
            "max_steps",
            "per_device_train_batch_size",
            "gradient_accumulation_steps",
            "packing",
            "beta",
            "loss_type",
            "train_sampling_strategy",
            "dataloader_num_workers",
        ),
    ),
    (
        "The optimizer",
        (
            "optim",
            "learning_rate",
            "lr_scheduler_type",
            "lr_scheduler_kwargs",
            "warmup_steps",
            "weight_decay",
            "adam_beta1",
            "adam_beta2",
            "adam_epsilon",
            "max_grad_norm",
            "neftune_noise_alpha",
        ),
    ),
    ("Precision and memory", ("bf16", "fp16", "gradient_checkpointing")),
    (
        "Evaluation, checkpoints, reports",
        (
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
            "run_name",
            "project",
        ),
    ),
)
"""Keywords of the script's calls: `from_pretrained`, `get_peft_model`, `SFTConfig` in its parts."""

QUANTIZED: Final = ("load_in_4bit", "bnb_4bit_quant_type", "bnb_4bit_use_double_quant", "bnb_4bit_compute_dtype")
CONFIGS: Final = ("SFTConfig", "DPOConfig", "ORPOConfig", "KTOConfig")
CALLS: Final[dict[str, tuple[str, ...]]] = {
    "from_pretrained": LOAD,
    "get_peft_model": PEFT,
    "BitsAndBytesConfig": QUANTIZED,
    **dict.fromkeys(CONFIGS, tuple(name for _, names in ARGUMENTS for name in names)),
}
"""The calls of the script, and the keywords that the plan decides."""

_MORE: Final = {
    "load_in_8bit": "method.quantization.bits",
    "load_in_16bit": "method.quantization.bits",
    "full_finetuning": "method.kind",
    "bnb_4bit_quant_type": "method.quantization.type",
    "bnb_4bit_use_double_quant": "method.quantization.double_quant",
    "bnb_4bit_compute_dtype": "method.quantization.compute_dtype",
    "bf16": "model.dtype",
    "fp16": "model.dtype",
    "dataloader_num_workers": "data.shuffle",
    "adam_beta2": "training.betas",
    "gradient_checkpointing": "training.gradient_checkpointing",
    "eval_strategy": "evaluation.every",
    "save_strategy": "checkpoint.every",
    "metric_for_best_model": "checkpoint.best",
    "greater_is_better": "checkpoint.best",
}
_LEAVES: Final = owners(TABLE, _MORE)
OWNERS: Final = {f"{call}.{name}": _LEAVES[name] for call, names in CALLS.items() for name in names}
"""Keyword, as `call.keyword` → the leaf that it comes from."""
