"""The plan as LLaMA-Factory's YAML file, and what stands beside it."""

from __future__ import annotations

import json
from typing import Final

from backends.alike import Rows, column, rows
from backends.base import apply
from backends.cadence import cadence, evaluation, scheduler, warmup_steps
from backends.emission import Made, Step, Tool, artifact, config_text, out_folder
from backends.llamafactory.table import CHAPTERS, DATASETS, TABLE
from backends.llamafactory.templates import template
from schemas.artifact import Artifact
from schemas.diagnostic import Finding
from schemas.footprint import Footprint
from schemas.method_plan import FullPlan, LoraPlan
from schemas.plan import Plan, SourcePlan

TOOL: Final = Tool("llamafactory", "LLaMA-Factory", "llamafactory==0.9.5")
CONFIG: Final = "config.yaml"


def keys(plan: Plan) -> dict[str, object]:
    """Everything that stands in `config.yaml`."""
    told = {**apply(TABLE, plan).keys, **_model(plan), **_method(plan), **_data(plan), **_training(plan), **_run(plan)}
    return {name: value for name, value in told.items() if value is not None}


def emit(plan: Plan, footprint: Footprint | None, lost: tuple[Finding, ...]) -> Artifact:
    """`config.yaml`, `dataset_info.json` and what stands beside them."""
    read = rows(plan)
    files = {
        CONFIG: config_text(TOOL, plan, CHAPTERS, keys(plan), lost),
        DATASETS: json.dumps(_dataset_info(read), indent=2, ensure_ascii=False) + "\n",
    }
    made = Made(CONFIG, files, (_train(plan),), read.preparation, (*plan.logging.to, plan.training.kernels))
    return artifact(TOOL, plan, made, footprint, lost)


def _train(plan: Plan) -> Step:
    """The number of GPUs and a tracker's project are told by the environment alone."""
    told: dict[str, str] = {}
    if plan.devices > 1:
        told |= {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": str(plan.hardware.count)}
    if "wandb" in plan.logging.to:
        told["WANDB_PROJECT"] = plan.logging.project
    if "mlflow" in plan.logging.to:
        told["MLFLOW_EXPERIMENT_NAME"] = plan.logging.project
    return Step(("llamafactory-cli", "train", CONFIG), told)


def _model(plan: Plan) -> dict[str, object]:
    dtype = plan.model.dtype
    pure = isinstance(plan.method, FullPlan) and plan.method.weights_dtype == dtype == "bfloat16"
    return {"bf16": dtype == "bfloat16" and not pure, "fp16": dtype == "float16", "pure_bf16": pure, "tf32": False}


def _method(plan: Plan) -> dict[str, object]:
    method = plan.method
    stage: dict[str, object] = {"stage": "sft", "do_train": True}
    if not isinstance(method, LoraPlan):
        return {**stage, "finetuning_type": "full"}
    quantized = method.quantization is not None
    return {
        **stage,
        "finetuning_type": "lora",
        "lora_target": _listed(method.target_modules),
        "additional_target": _listed(method.modules_to_save),
        "use_dora": method.kind in ("dora", "qdora"),
        "pissa_iter": -1 if method.init == "pissa" else None,
        "loraplus_lr_embedding": 1e-6 if method.lora_plus_ratio else None,
        "quantization_method": "bnb" if quantized else None,
    }


def _listed(names: tuple[str, ...] | str) -> str | None:
    """Names as it reads them: one text, commas between."""
    return (names if isinstance(names, str) else ",".join(names)) or None


def _data(plan: Plan) -> dict[str, object]:
    read, found = rows(plan), template(plan)
    seen = evaluation(plan).strategy != "no"
    return {
        "dataset_dir": ".",
        "dataset": ",".join(_names("train", read.train)),
        "eval_dataset": ",".join(_names("validation", read.validation)) if seen else None,
        "mix_strategy": "concat",
        "template": found.name if found else None,
        "packing": plan.data.packing,
        "mask_history": plan.data.loss_on == "last_assistant",
        "overwrite_cache": True,
        "dataloader_num_workers": 0,
    }


def _names(what: str, sources: tuple[SourcePlan, ...]) -> list[str]:
    return [what] if len(sources) == 1 else [f"{what}_{number}" for number in range(len(sources))]


def _dataset_info(read: Rows) -> dict[str, object]:
    named = [*zip(_names("train", read.train), read.train, strict=True)]
    named += zip(_names("validation", read.validation), read.validation, strict=True)
    return {name: _dataset(source) for name, source in named}


def _dataset(source: SourcePlan) -> dict[str, object]:
    """One entry. Every column and tag is named: a block that names some leaves the others without."""
    if source.local:
        return {"file_name": source.path, **_shape(source)}
    subset = {"subset": source.subset} if source.subset else {}
    return {"hf_hub_url": source.path, **subset, "split": source.split, **_shape(source)}


def _shape(source: SourcePlan) -> dict[str, object]:
    fields = source.fields
    optional = {name: value for name in ("system", "tools") if (value := getattr(fields, name))}
    if source.format == "alpaca":
        columns = {ours: column(fields, name, name) for ours, name in ALPACA.items()}
        return {"formatting": "alpaca", "columns": {**columns, **optional}}
    if source.format == "prompt_completion":
        columns = {"prompt": fields.prompt or "prompt", "response": fields.completion or "completion"}
        return {"formatting": "alpaca", "columns": {**columns, **optional}}
    return _conversation(source, optional)


ALPACA: Final = {"prompt": "instruction", "query": "input", "response": "output"}

MESSAGES_TAGS: Final = {
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function_call",
    "system_tag": "system",
}
SHAREGPT_TAGS: Final = {
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}


def _conversation(source: SourcePlan, optional: dict[str, str]) -> dict[str, object]:
    sharegpt, fields = source.format == "sharegpt", source.fields
    tags = {
        "role_tag": column(fields, "role", "from" if sharegpt else "role"),
        "content_tag": column(fields, "content", "value" if sharegpt else "content"),
    }
    messages = column(fields, "messages", "conversations" if sharegpt else "messages")
    return {
        # Its converter for OpenAI's own shape adds "detailed thinking off" to every conversation's system text.
        "formatting": "sharegpt",
        "columns": {"messages": messages, **optional},
        "tags": {**tags, **(SHAREGPT_TAGS if sharegpt else MESSAGES_TAGS)},
    }


def _training(plan: Plan) -> dict[str, object]:
    training = plan.training
    name, arguments = scheduler(plan)
    betas = training.betas or (None, None)
    return {
        "max_steps": training.max_steps or -1,
        "gradient_accumulation_steps": plan.accumulation,
        "average_tokens_across_devices": True,
        "lr_scheduler_type": name,
        "lr_scheduler_kwargs": arguments,
        "warmup_steps": warmup_steps(plan),
        "adam_beta1": betas[0],
        "adam_beta2": betas[1],
        # 8-bit layers keep their inputs by themselves while gradients are on, as in checkpointing's newer kind.
        "use_reentrant_gc": plan.quantization is not None and plan.quantization.bits == 8,
        "use_unsloth_gc": training.gradient_checkpointing == "offload",
    }


def _run(plan: Plan) -> dict[str, object]:
    seen, saved = evaluation(plan), cadence(plan.checkpoint.every, plan)
    best = plan.checkpoint.best and seen.strategy != "no"
    resume = plan.checkpoint.resume
    return {
        "output_dir": out_folder("llamafactory", plan),
        "resume_from_checkpoint": None if resume in ("auto", "never") else resume,
        "eval_strategy": seen.strategy,
        "eval_steps": seen.steps,
        "save_strategy": saved.strategy,
        "save_steps": saved.steps,
        "load_best_model_at_end": best,
        "metric_for_best_model": "eval_loss" if best else None,
        "greater_is_better": False if best else None,
        "report_to": plan.logging.to or "none",
        "plot_loss": False,
        "push_to_hub": False,
    }
