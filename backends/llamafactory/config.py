"""The plan as LLaMA-Factory's YAML file, and what stands beside it."""

from __future__ import annotations

import json
from typing import Final

from backends.alike import Rows, merged_by_hand, unchecked
from backends.base import apply
from backends.cadence import cadence, evaluation, scheduler, warmup_steps
from backends.emission import (
    Made,
    Tool,
    artifact,
    by_hand,
    comment,
    config_keys,
    config_text,
    head_lines,
    out_folder,
)
from backends.llamafactory.data import data, dataset_info, raw_text, reading
from backends.llamafactory.table import CHAPTERS, DATASETS, EXPORT, TABLE
from backends.llamafactory.templates import template
from backends.release import Release, Spoken, renamed
from backends.sharding import ACCELERATE, DEEPSPEED, accelerate, deepspeed_files, zero
from backends.yaml_text import yaml_document
from schemas.artifact import Artifact, Step
from schemas.diagnostic import Finding
from schemas.footprint import Footprint
from schemas.method_plan import FullPlan, LoraPlan
from schemas.plan import Plan

TOOL: Final = Tool("llamafactory", "LLaMA-Factory", "llamafactory==0.9.5")
CONFIG: Final = "config.yaml"
MERGE: Final = "merge.yaml"
MERGING: Final = ("llamafactory-cli", "export", MERGE)
LEFT_OUT: Final = (
    "LLaMA-Factory leaves out conversations whose turns do not alternate between user and assistant, with a warning in "
    "its log."
)
MACHINES: Final = (
    "Start it on each of the {count} machines, with `NODE_RANK=0`, `1`, … and the first one's address as `MASTER_ADDR` "
    "in the environment."
)


def keys(plan: Plan) -> dict[str, object]:
    """Everything that stands in `config.yaml`."""
    told = {**apply(TABLE, plan).keys, **_model(plan), **_method(plan), **data(plan), **_training(plan), **_run(plan)}
    return {name: value for name, value in told.items() if value is not None}


def said(plan: Plan, release: Release | None = None) -> Spoken:
    """Those keys in that version's words."""
    return config_keys("llamafactory", keys(plan), plan, release)


def emit(
    plan: Plan, footprint: Footprint | None, lost: tuple[Finding, ...], release: Release | None = None
) -> Artifact:
    """`config.yaml`, `dataset_info.json` and what stands beside them."""
    read, tool, told = reading(plan), TOOL.at(release), said(plan, release).keys
    files = {
        CONFIG: config_text(tool, plan, renamed(CHAPTERS, release), told, lost, raw=plan.targets.llamafactory),
        DATASETS: json.dumps(dataset_info(read), indent=2, ensure_ascii=False) + "\n",
        **_merge_file(plan, tool, lost),
        **deepspeed_files(plan),
        **({ACCELERATE: accelerate(plan)} if _by_accelerate(plan) else {}),
    }
    merge = (Step(MERGING),) if MERGE in files and plan.hardware.nodes == 1 else ()
    steps = (_train(plan), *merge)
    made = Made(CONFIG, files, steps, read.preparation, _extras(plan), _remarks(plan, read), paired=True)
    return artifact(tool, plan, made, footprint, lost)


def _extras(plan: Plan) -> tuple[str, ...]:
    zeroed = ("deepspeed",) if zero(plan) else ()
    return (*plan.logging.to, plan.training.kernels, plan.training.optimizer, *zeroed)


def _remarks(plan: Plan, read: Rows) -> tuple[str, ...]:
    several = (MACHINES.format(count=plan.hardware.nodes),) if plan.hardware.nodes > 1 else ()
    merging = (by_hand(MERGING),) if merged_by_hand(plan) else ()
    # Of other rows ftc says it before the tool reads them.
    unseen = bool(unchecked(read)) and not raw_text(plan)
    return (*((LEFT_OUT,) if unseen else ()), *several, *merging)


def _by_accelerate(plan: Plan) -> bool:
    return plan.hardware.strategy == "fsdp"


def _train(plan: Plan) -> Step:
    """Cards, machines and a tracker's project are told by the environment alone; FSDP by accelerate's own file."""
    told: dict[str, str] = {}
    if "wandb" in plan.logging.to:
        told["WANDB_PROJECT"] = plan.logging.project
    if "mlflow" in plan.logging.to:
        told["MLFLOW_EXPERIMENT_NAME"] = plan.logging.project
    if _by_accelerate(plan):
        return Step(("accelerate", "launch", "--config_file", ACCELERATE, "-m", "llamafactory.launcher", CONFIG), told)
    if plan.devices > 1:
        told |= {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": str(plan.hardware.count)}
    if plan.hardware.nodes > 1:
        # Without one each machine would look for a free port of its own.
        told |= {"NNODES": str(plan.hardware.nodes), "MASTER_PORT": "29500"}
    return Step(("llamafactory-cli", "train", CONFIG), told)


def _merge_file(plan: Plan, tool: Tool, lost: tuple[Finding, ...]) -> dict[str, str]:
    """The YAML of its export: the adapter on a 16-bit reload of the base."""
    if not plan.output.merge or plan.lora is None:
        return {}
    found, out = template(plan), out_folder("llamafactory", plan, tool.other)
    told = {
        "model_name_or_path": plan.model.base,
        "trust_remote_code": plan.model.trust_remote_code,
        "adapter_name_or_path": out,
        "finetuning_type": "lora",
        "template": found.name if found else None,
        "export_dir": f"{out}/merged",
        "export_device": "cpu",
        "export_legacy_format": False,
    }
    head = comment(head_lines(tool, plan, lost))
    return {MERGE: yaml_document(head, EXPORT, {name: value for name, value in told.items() if value is not None})}


def _model(plan: Plan) -> dict[str, object]:
    dtype = plan.model.dtype
    pure = isinstance(plan.method, FullPlan) and plan.method.weights_dtype == dtype == "bfloat16"
    return {"bf16": dtype == "bfloat16" and not pure, "fp16": dtype == "float16", "pure_bf16": pure, "tf32": False}


def _method(plan: Plan) -> dict[str, object]:
    method = plan.method
    stage: dict[str, object] = {"stage": _stage(plan), "do_train": True, **_preference(plan)}
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


def _stage(plan: Plan) -> str:
    """ORPO is one of the losses of its DPO stage."""
    named = {"dpo": "dpo", "orpo": "dpo", "kto": "kto"}
    return named.get(plan.training.objective, "pt" if raw_text(plan) else "sft")


def _preference(plan: Plan) -> dict[str, object]:
    preference, objective = plan.training.preference, plan.training.objective
    if preference is None:
        return {}
    loss = {"dpo": preference.loss, "orpo": "orpo"}.get(objective)
    return {"pref_beta": preference.beta, "pref_loss": loss, "pref_ftx": 0.0 if loss else None}


def _listed(names: tuple[str, ...] | str) -> str | None:
    """Names as it reads them: one text, commas between."""
    return (names if isinstance(names, str) else ",".join(names)) or None


def _training(plan: Plan) -> dict[str, object]:
    training = plan.training
    name, arguments = scheduler(plan)
    betas = training.betas or (None, None)
    return {
        "max_steps": training.max_steps or -1,
        "gradient_accumulation_steps": plan.accumulation,
        "deepspeed": DEEPSPEED if zero(plan) else None,
        "average_tokens_across_devices": True,
        "lr_scheduler_type": name,
        "lr_scheduler_kwargs": arguments,
        "warmup_steps": warmup_steps(plan),
        "adam_beta1": betas[0],
        "adam_beta2": betas[1],
        # 8-bit layers keep their inputs by themselves while gradients are on, as in checkpointing's newer kind.
        "use_reentrant_gc": plan.quantization is not None and plan.quantization.bits == 8,
        "use_muon": training.optimizer == "muon",
        "use_unsloth_gc": training.gradient_checkpointing == "offload",
    }


def _run(plan: Plan) -> dict[str, object]:
    seen, saved = evaluation(plan), cadence(plan.checkpoint.every, plan)
    best = plan.checkpoint.best and seen.strategy != "no"
    resume = plan.checkpoint.resume
    return {
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
