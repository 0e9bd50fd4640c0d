"""The plan as Axolotl's YAML file, and what stands beside it."""

from __future__ import annotations

from typing import Final, cast

from backends.alike import merged_by_hand
from backends.axolotl.data import data, reading
from backends.axolotl.method import method, model
from backends.axolotl.table import CHAPTERS, TABLE, TRACKERS
from backends.base import apply
from backends.cadence import Cadence, cadence, evaluation, scheduler, warmup_steps
from backends.emission import Made, Tool, artifact, by_hand, config_keys, config_text
from backends.release import Release, Spoken, renamed
from backends.sharding import DEEPSPEED, deepspeed_files, fsdp, zero
from schemas.artifact import Artifact, Step
from schemas.diagnostic import Finding
from schemas.footprint import Footprint
from schemas.plan import Plan

TOOL: Final = Tool("axolotl", "Axolotl", "axolotl==0.19.0")
CONFIG: Final = "config.yaml"
MERGING: Final = ("axolotl", "merge-lora", CONFIG)
LIGER: Final = "axolotl.integrations.liger.LigerPlugin"
UNTURNED: Final = ("glm4", "qwen3_5", "qwen3_5_moe", "qwen3_next")
"""Families of whose rotary positions Liger has no kernel: asked for it, it stops (transformers/monkey_patch.py)."""


def keys(plan: Plan) -> dict[str, object]:
    """Everything that stands in `config.yaml`."""
    told = {**apply(TABLE, plan).keys, **model(plan), **method(plan), **data(plan)}
    told |= {**_preference(plan), **_training(plan), **_sharding(plan), **_run(plan)}
    return {name: value for name, value in told.items() if value is not None}


def said(plan: Plan, release: Release | None = None) -> Spoken:
    """Those keys in that version's words."""
    return config_keys("axolotl", keys(plan), plan, release)


def emit(
    plan: Plan, footprint: Footprint | None, lost: tuple[Finding, ...], release: Release | None = None
) -> Artifact:
    """`config.yaml` and what stands beside it."""
    tool, told = TOOL.at(release), said(plan, release).keys
    config = config_text(tool, plan, renamed(CHAPTERS, release), told, lost, raw=_raw(plan, told))
    files = {CONFIG: config, **deepspeed_files(plan)}
    merge = (Step(MERGING),) if plan.output.merge and plan.lora and plan.hardware.nodes == 1 else ()
    steps = (_train(plan), *merge)
    return artifact(
        tool,
        plan,
        Made(CONFIG, files, steps, reading(plan).preparation, _extras(plan), _remarks(plan)),
        footprint,
        lost,
    )


def _raw(plan: Plan, told: dict[str, object]) -> dict[str, object]:
    """Raw keys; plugins among them come after ours."""
    raw = plan.targets.axolotl
    if "plugins" not in raw:
        return raw
    ours = cast("list[object]", told.get("plugins", []))
    return {**raw, "plugins": [*ours, *(item for item in cast("list[object]", raw["plugins"]) if item not in ours)]}


def _extras(plan: Plan) -> tuple[str, ...]:
    """Words that ask for a package; Axolotl brings Liger's kernels and torchao itself."""
    return (*plan.logging.to, *(("deepspeed",) if zero(plan) else ()))


def _remarks(plan: Plan) -> tuple[str, ...]:
    """What is too small for a finding. Steps are counted by Axolotl where the plan only has epochs."""
    said: list[str] = []
    if not isinstance(warmup_steps(plan), int):
        said.append("Axolotl rounds a share of warm-up steps down, and makes one step two; the others round it up.")
    if plan.output.merge:
        said.append("The merged model goes to `merged` in the folder of the results.")
    if plan.hardware.nodes > 1:
        said.append(
            f"Start it on each of the {plan.hardware.nodes} machines, with `PET_RDZV_ENDPOINT=HOST:29500` in the "
            "environment, where HOST is one of them."
        )
    if merged_by_hand(plan):
        said.append(by_hand(MERGING))
    return tuple(said)


def _train(plan: Plan) -> Step:
    train = ("axolotl", "train", CONFIG)
    if plan.devices == 1:
        return Step((*train, "--launcher", "python"))
    several = ("--rdzv_backend=c10d", f"--nnodes={plan.hardware.nodes}") if plan.hardware.nodes > 1 else ()
    return Step((*train, "--launcher", "torchrun", "--", *several, f"--nproc_per_node={plan.hardware.count}"))


def _preference(plan: Plan) -> dict[str, object]:
    """DPO, ORPO and KTO: TRL's own trainers."""
    preference = plan.training.preference
    if preference is None:
        return {}
    return {"rl": plan.training.objective, "trl": {"beta": preference.beta}, "dpo_loss_type": _losses(plan)}


def _losses(plan: Plan) -> list[str] | None:
    preference = plan.training.preference
    return [preference.loss] if preference and preference.loss else None


def _sharding(plan: Plan) -> dict[str, object]:
    if zero(plan):
        return {"deepspeed": DEEPSPEED}
    return {"fsdp_version": 2, "fsdp_config": fsdp(plan)} if plan.hardware.strategy == "fsdp" else {}


def _training(plan: Plan) -> dict[str, object]:
    training = plan.training
    name, arguments = scheduler(plan)
    warmup = warmup_steps(plan)
    betas = training.betas or (None, None)
    liger = training.kernels == "liger" or None
    return {
        "gradient_accumulation_steps": plan.accumulation,
        "lr_scheduler": name,
        "lr_scheduler_kwargs": arguments,
        "warmup_steps": warmup if isinstance(warmup, int) else None,
        "warmup_ratio": None if isinstance(warmup, int) else warmup,
        "adam_beta1": betas[0],
        "adam_beta2": betas[1],
        **_checkpointing(plan),
        "plugins": [LIGER] if liger else None,
        "liger_rope": liger and plan.facts.family not in UNTURNED,
        "liger_rms_norm": liger,
        "liger_glu_activation": liger,
        "liger_fused_linear_cross_entropy": False if liger else None,
    }


def _checkpointing(plan: Plan) -> dict[str, object]:
    """8-bit layers keep their inputs by themselves while gradients are on, as in checkpointing's newer kind."""
    kind = plan.training.gradient_checkpointing
    reentrant = plan.quantization is not None and plan.quantization.bits == 8 and kind is True
    return {
        "gradient_checkpointing_kwargs": {"use_reentrant": reentrant} if kind else None,
        "selective_checkpointing": {"save": ["attention"]} if kind == "selective" else None,
        "activation_offloading": "hidden_states" if kind == "offload" else None,
    }


def _run(plan: Plan) -> dict[str, object]:
    seen, saved = evaluation(plan), cadence(plan.checkpoint.every, plan)
    resume = plan.checkpoint.resume
    return {
        **_cadence("eval", seen),
        **_cadence("save", saved),
        "load_best_model_at_end": plan.checkpoint.best and seen.strategy != "no",
        "resume_from_checkpoint": None if resume in ("auto", "never") else resume,
        **_trackers(plan),
    }


def _cadence(what: str, when: Cadence) -> dict[str, object]:
    return {f"{what}_strategy": when.strategy, f"{what}_steps": when.steps}


def _trackers(plan: Plan) -> dict[str, object]:
    told: dict[str, object] = {"use_tensorboard": "tensorboard" in plan.logging.to}
    for tracker, project in TRACKERS.items():
        used = tracker in plan.logging.to
        name = f"{tracker}_run_name" if tracker != "wandb" else "wandb_name"
        told |= {
            f"use_{tracker}": used,
            project: plan.logging.project if used else None,
            name: plan.name if used else None,
        }
    return told
