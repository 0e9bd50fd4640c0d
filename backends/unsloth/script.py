"""The plan as a script over Unsloth and TRL, and what stands beside it."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from msgspec import Struct

from backends.alike import TEMPLATE_FILE, own_template, template_files
from backends.base import apply
from backends.beside import scripts
from backends.cadence import cadence, evaluation, scheduler, warmup_steps
from backends.emission import Made, Tool, artifact, comment, head_lines, out_folder
from backends.native import READS, ROWS
from backends.release import Release, Spoken, renamed, spoken
from backends.unsloth.table import ARGUMENTS, LOAD, OWNERS, PEFT, QUANTIZED, TABLE
from backends.yaml_text import Chapter
from schemas.artifact import Artifact, Step
from schemas.diagnostic import Finding
from schemas.footprint import Footprint
from schemas.method_plan import FullPlan, LoraPlan
from schemas.plan import Plan, SourcePlan, is_sources
from schemas.recipe import Fields, Objective

if TYPE_CHECKING:
    from jinja2 import Template

TOOL: Final = Tool("unsloth", "Unsloth", "unsloth==2026.10.9")
SCRIPT: Final = "train.py"
BESIDE: Final = "Path(__file__).resolve().parent"
"""Where the script's files are: beside it."""

BACKENDS: Final = Path(__file__).parent.parent
PREPARES: Final = ("prepared.py", "shards.py", "packing.py", *ROWS)
"""Files of the native target that the script reads its rows with: the same tokens are trained."""


class Trainer(Struct, frozen=True):
    """TRL's trainer of an objective, and where it is imported from."""

    package: str
    name: str
    config: str


_SFT: Final = Trainer("trl", "SFTTrainer", "SFTConfig")
TRAINERS: Final[dict[Objective, Trainer]] = {
    "sft": _SFT,
    "pretrain": _SFT,
    "dpo": Trainer("trl", "DPOTrainer", "DPOConfig"),
    "orpo": Trainer("trl.experimental.orpo", "ORPOTrainer", "ORPOConfig"),
    "kto": Trainer("trl", "KTOTrainer", "KTOConfig"),
}


def keys(plan: Plan) -> dict[str, object]:
    """The keywords of its calls, as `call.keyword`, but those that the template writes itself."""
    told = {**apply(TABLE, plan).keys, **_model(plan), **_training(plan), **_preference(plan), **_run(plan)}
    arguments = {TRAINERS[plan.training.objective].config: tuple(name for _, names in ARGUMENTS for name in names)}
    calls = {"from_pretrained": LOAD, **({"get_peft_model": PEFT} if plan.lora else {}), **arguments}
    found = {
        f"{call}.{name}": told[name] for call, names in calls.items() for name in names if told.get(name) is not None
    }
    return {**found, **{f"BitsAndBytesConfig.{name}": value for name, value in (_quantization(plan) or {}).items()}}


def said(plan: Plan, release: Release | None = None) -> Spoken:
    """Those keywords in that version's words."""
    return spoken(keys(plan), release, plan, OWNERS)


def emit(
    plan: Plan, footprint: Footprint | None, lost: tuple[Finding, ...], release: Release | None = None
) -> Artifact:
    """`train.py` and what stands beside it. The script must parse; one that does not is a `SyntaxError`."""
    tool = TOOL.at(release)
    script = render(plan, comment(head_lines(tool, plan, lost)), tool, release)
    ast.parse(script)
    files = {SCRIPT: script, **scripts(READS if plan.training.preference else PREPARES), **template_files(plan)}
    extras = (*plan.logging.to, plan.training.optimizer)
    made = Made(SCRIPT, files, (_run_step(plan),), extras=extras, remarks=_remarks(plan))
    return artifact(tool, plan, made, footprint, lost)


def _run_step(plan: Plan) -> Step:
    """One process a card; FSDP2 is switched on by the environment (unsloth/fsdp2_launch.py)."""
    if plan.devices == 1:
        return Step(("python", SCRIPT))
    several = (
        ("--rdzv-backend=c10d", f"--nnodes={plan.hardware.nodes}") if plan.hardware.nodes > 1 else ("--standalone",)
    )
    told = {"UNSLOTH_FSDP2": "1"} if plan.hardware.strategy == "fsdp" else {}
    return Step(("torchrun", *several, f"--nproc-per-node={plan.hardware.count}", SCRIPT), told)


def _remarks(plan: Plan) -> tuple[str, ...]:
    if plan.hardware.nodes == 1:
        return ()
    return (
        f"Start it on each of the {plan.hardware.nodes} machines, with `PET_RDZV_ENDPOINT=HOST:29500` in the "
        "environment, where HOST is one of them.",
    )


def literal(value: object) -> str:
    """A value as Python source. Only plain types: anything else is a `TypeError`."""
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(literal, cast(Iterable[object], value))) + "]"
    if isinstance(value, dict):
        items = cast(dict[str, object], value).items()
        return "{" + ", ".join(f"{literal(name)}: {literal(item)}" for name, item in items) + "}"
    raise TypeError(f"{type(value).__name__} has no literal")


def render(plan: Plan, head: str, tool: Tool, release: Release | None, here: str = BESIDE) -> str:
    """The script as text. `here`: the folder of its files, as Python."""
    told = _calls(said(plan, release).keys, plan, release)
    folder = out_folder("unsloth", plan, tool.other)
    return _template().render(head=head, here=here, out=folder, **told, **_values(plan))


@cache
def _template() -> Template:
    """Compiled once: that takes longer than all else of an artifact."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(BACKENDS / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - the output is Python, and every value passes through `literal`
    )
    environment.filters["literal"] = literal
    return environment.get_template("unsloth.py.jinja")


def _calls(told: dict[str, object], plan: Plan, release: Release | None) -> dict[str, object]:
    """The keywords of each call, under the titles of their chapters where it has any."""

    def of(call: str, chapter: Chapter) -> dict[str, object]:
        ((_, names),) = renamed([(chapter[0], tuple(f"{call}.{name}" for name in chapter[1]))], release)
        return {name.removeprefix(f"{call}."): told[name] for name in names if name in told}

    config = TRAINERS[plan.training.objective].config
    return {
        "load": of("from_pretrained", ("", LOAD)),
        "peft": of("get_peft_model", ("", PEFT)),
        "arguments": [(chapter[0], of(config, chapter)) for chapter in ARGUMENTS],
        "quantization": of("BitsAndBytesConfig", ("", QUANTIZED)),
    }


def _values(plan: Plan) -> dict[str, object]:
    return {
        "plan": plan,
        "full": isinstance(plan.method, FullPlan),
        "checkpointing": _checkpointing(plan),
        "chat_template": TEMPLATE_FILE if own_template(plan) else None,
        "tokens": _tokens(plan),
        "train": [_source(source) for source in plan.data.train],
        "validation": _validation(plan),
        "projects": _projects(plan),
        "columns": list(Fields.model_fields),
        "compares": plan.training.preference is not None,
        "trainer": TRAINERS[plan.training.objective],
        "shuffled": plan.training.objective == "kto" and plan.data.shuffle,
        "frozen": isinstance(plan.method, FullPlan) and bool(plan.method.freeze or plan.method.train_only),
        "lora_plus": plan.lora.lora_plus_ratio if plan.lora else None,
    }


def _model(plan: Plan) -> dict[str, object]:
    method = plan.method
    full = isinstance(method, FullPlan)
    bits = plan.quantization.bits if plan.quantization else 16
    told: dict[str, object] = {
        "load_in_4bit": bits == 4,
        "load_in_8bit": bits == 8,
        "load_in_16bit": bits == 16 and not full and plan.model.dtype != "float32",
        "full_finetuning": full,
        "float32_mixed_precision": (full and method.weights_dtype == "float32" != plan.model.dtype) or None,
    }
    if isinstance(method, LoraPlan):
        targets = method.target_modules
        told["target_modules"] = targets.removeprefix("re:") if isinstance(targets, str) else targets
        told["modules_to_save"] = method.modules_to_save or None
    return told


def _checkpointing(plan: Plan) -> bool | str:
    """Unsloth's own kind keeps what it needs in CPU memory: that is `offload`."""
    kind = plan.training.gradient_checkpointing
    return "unsloth" if kind == "offload" else bool(kind)


def _quantization(plan: Plan) -> dict[str, object] | None:
    quantization = plan.quantization
    if quantization is None or quantization.bits == 8:
        return None
    return {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": quantization.type,
        "bnb_4bit_use_double_quant": quantization.double_quant,
        "bnb_4bit_compute_dtype": quantization.compute_dtype,
    }


def _tokens(plan: Plan) -> dict[str, str]:
    tokens = plan.model.tokens
    named = {"pad_token": tokens.pad, "eos_token": tokens.eos, "bos_token": tokens.bos}
    return {name: token for name, token in named.items() if token}


def _source(source: SourcePlan) -> dict[str, object]:
    """What differs from a local file with its usual columns."""
    said = {
        "local": None if source.local else False,
        "split": None if source.split == "train" else source.split,
        "subset": source.subset,
        "revision": source.revision,
        "weight": None if source.weight == 1 else source.weight,
        "limit": source.limit,
        **{name: getattr(source.fields, name) for name in Fields.model_fields},
    }
    given = {name: value for name, value in said.items() if value is not None}
    return {"path": source.path, "format": source.format, **given}


def _validation(plan: Plan) -> list[dict[str, object]] | float | int | None:
    validation = plan.data.validation
    return (
        [_source(source) for source in validation] if is_sources(validation) else cast("float | int | None", validation)
    )


def _training(plan: Plan) -> dict[str, object]:
    training, dtype = plan.training, plan.model.dtype
    name, arguments = scheduler(plan)
    betas = training.betas or (None, None)
    pure = isinstance(plan.method, FullPlan) and plan.method.weights_dtype == dtype
    return {
        "num_train_epochs": training.epochs or 1,
        "max_steps": training.max_steps or -1,
        "gradient_accumulation_steps": plan.accumulation,
        "dataloader_num_workers": 0,
        "lr_scheduler_type": name,
        "lr_scheduler_kwargs": arguments,
        "warmup_steps": warmup_steps(plan),
        "adam_beta1": betas[0],
        "adam_beta2": betas[1],
        "bf16": dtype == "bfloat16" and not pure,
        "fp16": dtype == "float16" and not pure,
        "gradient_checkpointing": bool(training.gradient_checkpointing),
    }


def _preference(plan: Plan) -> dict[str, object]:
    """Compared rows are never packed, and only DPO has a choice of losses."""
    preference = plan.training.preference
    if preference is None:
        return {}
    told: dict[str, object] = {"packing": None, "beta": preference.beta}
    if plan.training.objective == "kto":
        # It pairs each row with its neighbour beforehand, so that rows are drawn as they lie (trl kto_trainer.py).
        return {**told, "train_sampling_strategy": "sequential"}
    return {**told, "loss_type": [preference.loss] if preference.loss else None}


def _run(plan: Plan) -> dict[str, object]:
    seen, saved = evaluation(plan), cadence(plan.checkpoint.every, plan)
    best = plan.checkpoint.best and seen.strategy != "no"
    return {
        "eval_strategy": seen.strategy,
        "eval_steps": seen.steps,
        "save_strategy": saved.strategy,
        "save_steps": saved.steps,
        "load_best_model_at_end": best,
        "metric_for_best_model": "eval_loss" if best else None,
        "greater_is_better": False if best else None,
        "report_to": list(plan.logging.to) or "none",
        "project": plan.logging.project,
    }


def _projects(plan: Plan) -> dict[str, str]:
    """Trackers that are told their project by the environment."""
    names = {"wandb": "WANDB_PROJECT", "mlflow": "MLFLOW_EXPERIMENT_NAME"}
    return {name: plan.logging.project for tracker, name in names.items() if tracker in plan.logging.to}
