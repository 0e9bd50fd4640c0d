"""The native target: a script over TRL that reads `plan.json`, and the few files beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from backends.alike import suffixes
from backends.base import pattern
from backends.beside import scripts
from backends.native.table import TABLE, template_file
from schemas.artifact import Artifact
from schemas.diagnostic import Finding
from schemas.facts import GIB
from schemas.footprint import Footprint
from schemas.method_plan import LoraPlan, PrefixPlan, PTuningPlan
from schemas.plan import Plan, SourcePlan, is_sources, leaves
from schemas.support import Key
from schemas.work import pair_flops, peak_flops, token_flops

if TYPE_CHECKING:  # read only where another version of a tool is asked for
    from backends.release import Release, Spoken

__all__ = ["TABLE", "TITLE", "VERSION", "chat_templates", "emit", "largest_micro", "losses", "said"]

TITLE: Final = "TRL"
VERSION: Final = "trl==1.16.0"

HERE: Final = Path(__file__).parent
READS: Final = ("rows.py", "formats.py", "files.py", "readers.py", "tables.py", "findings.py")
"""What reads rows."""
ROWS: Final = (
    "corpus.py",
    "parallel.py",
    "examine.py",
    "notes.py",
    "data.py",
    "spans.py",
    "chat.py",
    "calls.py",
    *READS,
)
"""What makes tokens of them."""
SCRIPTS: Final = (
    "train.py",
    "trainer.py",
    "compared.py",
    "counting.py",
    "guards.py",
    "settings.py",
    "model.py",
    "attention.py",
    "methods.py",
    "bottlenecks.py",
    "tokenizer.py",
    "prepared.py",
    "shards.py",
    "packing.py",
    *ROWS,
    *("resume.py", "checkpoints.py", "disk.py", "room.py"),
    *("report.py", "result.py", "merging.py", "card.py", "serving.py"),
    "measure.py",
    "gauge.py",
)
"""Copied into an artifact."""

TEMPLATES: Final = HERE.parent.parent / "schemas" / "catalog" / "chat_templates"
EXTRAS: Final = {
    "adamw_4bit": "torchao==0.18.0",
    "liger": "liger-kernel==0.8.5",
    "tensorboard": "tensorboard==2.21.0",
    "wandb": "wandb==0.31.0",
    "mlflow": "mlflow==3.17.2",
    "trackio": "trackio==0.43.0",
    "deepspeed": "deepspeed==0.18.9",
    ".zst": "zstandard==0.25.0",
}
"""What a plan needs beyond the pinned packages, by the word in it that asks for it."""

README: Final = """\
# {name}: a native run

Written by ftc from the recipe `{name}`. It needs nothing of ftc: copy this folder to the machine that trains.

    pip install -r requirements.txt
    {command}

| file | what it is |
| --- | --- |
| `plan.json` | every setting of the run; change the recipe rather than this |
| `train.py` | the run, read from the top |
| `trainer.py`, `settings.py` | the trainer, which is TRL's; what each setting is called by it |
| `counting.py`, `guards.py` | what is added to it; what ends a run before its end |
| `compared.py` | trainers for answers that are compared or judged |
| `prepared.py`, `shards.py`, `packing.py` | rows prepared once and kept for later runs; packed |
| `corpus.py`, `parallel.py`, `examine.py` | rows looked at one by one, by several processes |
| `chat.py`, `calls.py`, `tokenizer.py` | the tokenizer, its chat template, and where in it the answers are |
| `data.py`, `spans.py` | which tokens are trained |
| `rows.py`, `formats.py`, `notes.py` | which rows are read; what their columns mean; what is odd about them |
| `files.py`, `readers.py`, `tables.py`, `findings.py` | data files, row by row; what is wrong with them |
| `model.py`, `attention.py` | loading the model; how packed rows are attended to, document by document |
| `methods.py`, `bottlenecks.py` | what of it is trained, or put on it to be trained |
| `resume.py`, `checkpoints.py`, `disk.py` | where a run that was stopped goes on; what is there whole or not at all |
| `room.py` | in words, that memory ran out |
| `report.py`, `result.py` | progress and metrics; what is saved, and the summary |
| `merging.py`, `card.py`, `serving.py` | the adapter merged and looked at; the model card; how to serve it |
| `measure.py`, `gauge.py` | `--measure`: the memory that two steps at the largest shape really take |

Results go to `{out}`: `{result}/`, `SERVING.md`, `summary.json`, `metrics.jsonl`, `checkpoints/`. Started again, a run
that was stopped goes on from its newest checkpoint; `--fresh` puts what is there aside and starts anew, `--dry-run`
loads model and data and stops, `--measure` writes `calibration.json` instead of training.
{lost}"""


def chat_templates() -> tuple[str, ...]:
    """The names that `model.chat_template` may have."""
    return tuple(sorted(path.stem for path in TEMPLATES.glob("*.jinja")))


def largest_micro(plan: Plan) -> int | None:  # noqa: ARG001 - the signature is that of every target
    """None: the native run has no limit of its own."""
    return None


def losses(plan: Plan) -> tuple[Finding, ...]:
    """Combinations that the native run cannot do although it can do each leaf."""
    return (
        *_template_losses(plan),
        *_best_losses(plan),
        *_eight_bit_losses(plan),
        *_start_losses(plan),
        *_compared_losses(plan),
    )


def _template_losses(plan: Plan) -> tuple[Finding, ...]:
    name = plan.model.chat_template
    if name is None or name == "tokenizer" or _template_path(name).is_file():
        return ()
    if name.endswith(".jinja"):
        return (Finding("FTC404", "model.chat_template", f'"{name}" is not there to be read'),)
    known = ", ".join(chat_templates())
    return (Finding("FTC404", "model.chat_template", f'"{name}" is none of the known chat templates: {known}'),)


def _best_losses(plan: Plan) -> tuple[Finding, ...]:
    """The best checkpoint is chosen among those that were evaluated, so each of them must be."""
    evaluation, checkpoint = plan.evaluation.every, plan.checkpoint.every
    if not plan.checkpoint.best or (evaluation == checkpoint is not None and plan.data.validation is not None):
        return ()
    message = (
        "the best checkpoint can be told only if each is evaluated: set evaluation.every and checkpoint.every alike"
    )
    return (Finding("FTC404", "checkpoint.best", message),)


def _eight_bit_losses(plan: Plan) -> tuple[Finding, ...]:
    """bitsandbytes computes 8-bit products in the type of the model's other weights."""
    asked = plan.quantization
    if asked is None or asked.bits == 4 or asked.compute_dtype == plan.model.dtype:
        return ()
    message = f"with 8 bits it is computed in model.dtype, which is {plan.model.dtype}"
    return (Finding("FTC404", "method.quantization.compute_dtype", message),)


def _start_losses(plan: Plan) -> tuple[Finding, ...]:
    """A network that makes virtual tokens cannot be told which; eight bits lose so little that LoftQ has no code."""
    method = plan.method
    if plan.lora and plan.lora.init == "loftq" and plan.quantization and plan.quantization.bits == 8:
        return (Finding("FTC404", "method.init", "loftq is written for a base of 4 bits; of 8 bits little is lost"),)
    by_network = isinstance(method, PTuningPlan) or (isinstance(method, PrefixPlan) and method.projection)
    if not by_network or not getattr(method, "init_text", None):
        return ()
    return (Finding("FTC404", "method.init_text", "a network makes its virtual tokens, and it starts at random"),)


def _compared_losses(plan: Plan) -> Iterator[Finding]:
    """DPO and KTO ask what the model said before it learnt: without its adapter, the base."""
    method, objective = plan.method, plan.training.objective
    if objective in ("dpo", "kto") and isinstance(method, LoraPlan) and method.init not in ("default", "gaussian"):
        message = f"{objective} compares with the model without its adapter, and {method.init} changes that"
        yield Finding("FTC404", "method.init", message)
    if objective == "kto" and plan.training.micro_batch_size < 2:
        message = "kto weighs each answer against the others of its forward pass, so there must be two at least"
        yield Finding("FTC404", "training.micro_batch_size", message)
    if objective == "orpo" and plan.training.gradient_checkpointing == "offload":
        yield Finding("FTC404", "training.gradient_checkpointing", "TRL's ORPO does not move activations off the card")


def said(plan: Plan, release: Release | None = None) -> Spoken:
    """Nothing: the script is ftc's own, and has one version."""
    from backends.release import Spoken

    del plan, release
    return Spoken({})


def emit(
    plan: Plan, footprint: Footprint | None, lost: tuple[Finding, ...], release: Release | None = None
) -> Artifact:
    """The scripts, the plan they read, and what to install."""
    del release
    command = _command(plan)
    files = {
        "plan.json": json.dumps(_config(plan, footprint), indent=2, sort_keys=True) + "\n",
        "requirements.txt": _requirements(plan),
        "README.md": _readme(plan, command, lost),
        **scripts(SCRIPTS),
        **_template(plan),
    }
    return Artifact("native", "plan.json", files, command)


def _command(plan: Plan) -> tuple[str, ...]:
    if plan.hardware.count == 1:
        return ("python", "train.py")
    return ("torchrun", "--standalone", "--nproc-per-node", str(plan.hardware.count), "train.py")


def _config(plan: Plan, footprint: Footprint | None) -> dict[str, Any]:
    """What `train.py` reads: the table's keys as nested sections, sources as lists, and what follows from the plan."""
    config: dict[str, Any] = {}
    for path, value in leaves(plan).items():
        answer = TABLE[pattern(path)]
        if isinstance(answer, Key):
            _set(config, answer.key, None if value is None else answer.via(value))
    for path, sources in (("data.train", plan.data.train), ("data.validation", plan.data.validation)):
        if is_sources(sources):
            _set(config, path, [_source(item) for item in sources])
    return {**config, "derived": _derived(plan, footprint)}


def _set(config: dict[str, Any], path: str, value: object) -> None:
    *sections, last = path.split(".")
    for section in sections:
        config = config.setdefault(section, {})
    config[last] = value


def _source(source: SourcePlan) -> dict[str, Any]:
    values = {name: getattr(source, name) for name in source.__struct_fields__}
    return {**values, "fields": source.fields.model_dump()}


def _derived(plan: Plan, footprint: Footprint | None) -> dict[str, Any]:
    """What the scripts could not find out by themselves."""
    return {
        "cpu": plan.gpu is not None and plan.gpu.is_cpu,
        "prequantized": plan.facts.prequantized,
        "memory": _memory(footprint) if footprint else {},
        "predicted": _predicted(footprint) if footprint else {},
        "flops": {"token": token_flops(plan), "pair": pair_flops(plan), "peak": peak_flops(plan)},
    }


def _memory(footprint: Footprint) -> dict[str, Any]:
    sizes = {name: getattr(footprint, name) for name in ("allocated", "reserved", "device")}
    relief = [
        {"set": item.set, "device_gib": round(item.device / GIB, 3), "costs": item.costs} for item in footprint.relief
    ]
    planned = {f"{name}_gib": round(size / GIB, 3) for name, size in sizes.items()}
    return {"verdict": footprint.verdict, **planned, "fixes": relief}


def _predicted(footprint: Footprint) -> dict[str, Any]:
    """Bytes, for `measure.py` to be compared with."""
    names = ("stack", "allocated", "reserved", "device")
    return {name: getattr(footprint, name) for name in names}


def _template(plan: Plan) -> dict[str, str]:
    name = plan.model.chat_template
    if name is None or name == "tokenizer":
        return {}
    path = _template_path(name)
    return {str(template_file(name)): path.read_text("utf-8")} if path.is_file() else {}


def _template_path(name: str) -> Path:
    return Path(name) if name.endswith(".jinja") else TEMPLATES / f"{name}.jinja"


def _requirements(plan: Plan) -> str:
    pinned = (HERE / "requirements.txt").read_text("utf-8")
    asked = [plan.training.optimizer, plan.training.kernels, *plan.logging.to, *suffixes(plan)]
    return pinned + "".join(f"{EXTRAS[word]}\n" for word in dict.fromkeys(asked) if word in EXTRAS)


def _readme(plan: Plan, command: tuple[str, ...], lost: tuple[Finding, ...]) -> str:
    said = "".join(f"\n- `{item.path}`: {item.message}" for item in lost)
    return README.format(
        name=plan.name,
        command=" ".join(command),
        out=plan.output.dir,
        result="adapter" if plan.lora else "model",
        lost=f"\nLeft out, as `--allow-lossy` was given:\n{said}\n" if lost else "",
    )
