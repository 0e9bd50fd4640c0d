"""What a plan says that a run will do, in the fields that the tools' own objects are read out in."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from msgspec import Struct
from reading_points import POINTS

from backends.cadence import evaluates
from backends.emission import out_folder
from schemas.artifact import Target
from schemas.method_plan import FullPlan
from schemas.plan import Plan
from schemas.recipe import Every

Values = dict[str, Any]


class Around(Struct, frozen=True):
    """What a plan does not say: the folder of the model that is read, how many steps the run has, the checkpoint that
    lies in its results."""

    base: str
    steps: int
    resume: str


def expected(plan: Plan, target: Target, around: Around, seen: Values) -> Values:
    """Every field. `seen`: what the tool has, for names that only the loaded model knows."""
    return {
        **numbers(plan),
        **optimizer(plan),
        **schedule(plan, around.steps),
        **model(plan, around.base),
        **method(plan, seen),
        **quantization(plan),
        **data(plan),
        **objective(plan),
        **cadence(plan, around.steps),
        **run(plan, target, around.resume),
        **cards(plan),
    }


def numbers(plan: Plan) -> Values:
    """How much at once, how long, and what is done to gradients."""
    training = plan.training
    length = {"training.epochs": training.epochs} if training.epochs else {}
    return {
        **length,
        "training.max_steps": training.max_steps,
        "training.micro_batch_size": training.micro_batch_size,
        "accumulation": plan.accumulation,
        "training.global_batch_size": training.global_batch_size,
        "training.max_grad_norm": training.max_grad_norm,
        "training.neftune_alpha": training.neftune_alpha,
        "training.seed": training.seed,
        "training.compile": training.compile,
        "training.gradient_checkpointing": training.gradient_checkpointing,
        "training.kernels": training.kernels,
        "training.loss": training.loss,
    }


def optimizer(plan: Plan) -> Values:
    """Its kind and numbers; vectors (norms) are never decayed."""
    training = plan.training
    return {
        "training.optimizer": training.optimizer,
        "training.learning_rate": training.learning_rate,
        "training.weight_decay": training.weight_decay,
        "training.weight_decay.vectors": 0.0,
        **({"training.betas": list(training.betas)} if training.betas else {}),
        **({"training.epsilon": training.epsilon} if training.epsilon else {}),
        "method.lora_plus_ratio": plan.lora.lora_plus_ratio if plan.lora else None,
    }


def schedule(plan: Plan, steps: int) -> Values:
    """The steps of warm-up, and the learning rate at some points of the run, as shares of its peak."""
    warmup = plan.training.warmup
    climbing = warmup if isinstance(warmup, int) else math.ceil(warmup * steps)
    curve = [rate(plan, round(point * steps), climbing, steps) for point in POINTS]
    return {"training.warmup": climbing, "training.scheduler": [round(value, 6) for value in curve]}


def rate(plan: Plan, step: int, climbing: int, steps: int) -> float:
    """The learning rate of one step, as a share of its peak."""
    if step < climbing:
        return step / climbing
    floor, done = plan.training.min_lr_ratio, (step - climbing) / max(1, steps - climbing)
    left = {
        "constant": 1.0,
        "linear": 1 - done,
        "polynomial": 1 - done,
        "cosine": (1 + math.cos(math.pi * done)) / 2,
    }[plan.training.scheduler]
    return floor + (1 - floor) * left


def model(plan: Plan, base: str) -> Values:
    """The base, its type, its attention, its tokens."""
    tokens, dtype = plan.model.tokens, plan.model.dtype
    special = {"pad": tokens.pad, "eos": tokens.eos, "bos": tokens.bos}
    frozen = {"model.dtype.frozen": dtype} if plan.lora and not plan.quantization else {}
    return {
        "model.base": base,
        "model.revision": plan.model.revision,
        "model.trust_remote_code": plan.model.trust_remote_code,
        "model.attention": {"flex": "flex_attention"}.get(plan.model.attention, plan.model.attention),
        "model.dtype": dtype,
        "model.dtype.tf32": False,
        **frozen,
        **{f"model.tokens.{name}": token for name, token in special.items() if token},
        "model.tokens.add": sorted({*tokens.add, *own_tokens(Path(base))}),
        "model.tokens.rows": True,
    }


def own_tokens(base: Path) -> list[str]:
    """The tokens that a base's tokenizer has beside its vocabulary."""
    found = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    return [token["content"] for token in found["added_tokens"]]


def method(plan: Plan, seen: Values) -> Values:
    """The adapters, or the parameters that are trained."""
    how = plan.method
    if isinstance(how, FullPlan):
        return {
            "method.kind": "full",
            "method.weights_dtype": how.weights_dtype,
            "method.freeze": [name for name in seen["parameters"] if _trained(how, name)],
        }
    lora = plan.lora
    assert lora is not None
    return {
        "method.kind": lora.kind.removeprefix("q"),
        "method.rank": lora.rank,
        "method.alpha": lora.alpha,
        "method.dropout": lora.dropout,
        "method.target_modules": _targets(lora.target_modules, seen["parameters"]),
        "method.modules_to_save": sorted(lora.modules_to_save),
        "method.modules_to_save.dtype": _learning_type(plan.model.dtype) if lora.modules_to_save else None,
        "method.rslora": lora.rslora,
        "method.init": lora.init,
        "method.bias": "none",
        "method.adapter_dtype": lora.adapter_dtype,
    }


def _learning_type(dtype: str) -> str:
    """float16 is too coarse to learn in."""
    return "float32" if dtype == "float16" else dtype


def _trained(how: FullPlan, name: str) -> bool:
    """A pattern is one of whole names."""
    chosen = any(fnmatchcase(name, pattern) for pattern in how.train_only) if how.train_only else True
    return chosen and not any(fnmatchcase(name, pattern) for pattern in how.freeze)


def _targets(targets: Sequence[str] | str, parameters: Sequence[str]) -> list[str]:
    """The modules that get adapters, by their whole names."""
    modules = sorted({name.removesuffix(".weight") for name in parameters if name.endswith(".weight")})
    if isinstance(targets, str):
        return [name for name in modules if re.fullmatch(targets.removeprefix("re:"), name)]
    return [name for name in modules if name.rpartition(".")[2] in targets]


def quantization(plan: Plan) -> Values:
    """How the frozen base is kept."""
    found = plan.quantization
    if found is None or found.bits == 8:
        return {"method.quantization": found.bits if found else None}
    return {
        "method.quantization": 4,
        "method.quantization.type": found.type,
        "method.quantization.double_quant": found.double_quant,
        "method.quantization.compute_dtype": found.compute_dtype,
    }


def data(plan: Plan) -> Values:
    """How rows are cut, packed and ordered; what is in them is compared row by row."""
    return {
        "data.max_length": plan.data.max_length,
        "data.packing": "apart" if plan.data.packing else False,
        "data.shuffle": plan.data.shuffle,
    }


def objective(plan: Plan) -> Values:
    """What is learned from. Nothing is smoothed, and no other loss is mixed in."""
    preference = plan.training.preference
    named = "sft" if plan.training.objective == "pretrain" else plan.training.objective
    if preference is None:
        return {"training.objective": named}
    return {
        "training.objective": named,
        "training.preference.beta": preference.beta,
        "training.preference.loss": preference.loss,
        "training.preference.mixed": 0.0,
        "training.preference.smoothing": 0.0,
    }


def cadence(plan: Plan, steps: int) -> Values:
    """When the run is evaluated and saved."""
    held, saved = evaluates(plan), plan.checkpoint
    seen = every(plan.evaluation.every, plan, steps) if held else None
    return {
        "evaluation.every": seen,
        **({"evaluation.batch_size": plan.evaluation.batch_size} if seen else {}),
        "checkpoint.every": every(saved.every, plan, steps),
        **({"checkpoint.keep": saved.keep} if saved.every else {}),
        "checkpoint.best": saved.best and seen is not None,
        "checkpoint.weights_only": saved.weights_only,
        "logging.every": plan.logging.every,
    }


def every(when: Every, plan: Plan, steps: int) -> int | str | None:
    """Steps between two; "epoch"; None: never."""
    if isinstance(when, float):
        assert plan.training.epochs is not None
        return math.ceil(steps * (when / plan.training.epochs))
    return when


PROJECTS = ("wandb", "mlflow", "trackio")
"""Trackers that have projects."""


def run(plan: Plan, target: Target, resume: str) -> Values:
    """Where results go, who is told, what is gone on from."""
    resumed = {"auto": resume, "never": "never"}.get(plan.checkpoint.resume, plan.checkpoint.resume)
    return {
        "output.dir": out_folder(target, plan),
        "output.merge": plan.output.merge,
        "logging.to": sorted(plan.logging.to),
        "logging.project": {name: plan.logging.project for name in PROJECTS if name in plan.logging.to},
        "checkpoint.resume": resumed,
    }


def cards(plan: Plan) -> Values:
    """How many processes, and what each of them keeps."""
    strategy, dtype = plan.hardware.strategy, plan.model.dtype
    told: Values = {"hardware.count": plan.hardware.count, "hardware.nodes": plan.hardware.nodes}
    if plan.devices > 1:
        told["hardware.count.average"] = True
    if strategy in ("single", "ddp"):
        return told
    told |= {"hardware.strategy": strategy, "hardware.offload": plan.hardware.offload}
    if strategy == "fsdp":
        sharded = {"reshards": True, "saves": "FULL_STATE_DICT", "mixed": dtype}
        return {**told, **{f"hardware.strategy.{name}": value for name, value in sharded.items()}}
    return {
        **told,
        "hardware.strategy.micro_batch": plan.training.micro_batch_size,
        "hardware.strategy.accumulation": plan.accumulation,
        "hardware.strategy.clipping": plan.training.max_grad_norm,
        "hardware.strategy.type": dtype,
    }
