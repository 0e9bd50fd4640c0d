"""The native target: a script over TRL that reads `plan.json`, and the few files beside it."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import to_builtins

from backends.alike import all_sources, suffixes
from backends.base import pattern
from backends.beside import scripts
from backends.native.losses import TEMPLATES, chat_templates, losses, template_path
from backends.native.table import TABLE, template_file
from backends.sharding import zero
from schemas.artifact import Artifact
from schemas.diagnostic import Finding
from schemas.facts import GIB
from schemas.footprint import Footprint
from schemas.plan import Plan, SourcePlan, is_sources, leaves
from schemas.support import Key
from schemas.work import gradient_flops, pair_flops, peak_flops, token_flops

if TYPE_CHECKING:  # read only where another version of a tool is asked for
    from backends.release import Release, Spoken

__all__ = ["TABLE", "TEMPLATES", "TITLE", "VERSION", "chat_templates", "emit", "largest_micro", "losses", "said"]

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
    "vocabulary.py",
    "muon.py",
    "spread.py",
    "launch.py",
    "prepared.py",
    "shards.py",
    "packing.py",
    *ROWS,
    *("resume.py", "origins.py", "checkpoints.py", "disk.py", "room.py"),
    *("report.py", "pace.py", "meter.py", "samples.py", "story.py", "trackers.py"),
    *("page.py", "page_words.py", "amounts.py", "pictures.py", "curves.py"),
    *("result.py", "merging.py", "card.py", "serving.py"),
    "measure.py",
    "gauge.py",
)
"""Copied into an artifact."""
LOOKS: Final = ("report.html.jinja", "report.css", "base.css")
"""Copied as well: the page of a run."""

EXTRAS: Final = {
    "adamw_4bit": "torchao==0.18.0",
    "liger": "liger-kernel==0.8.5",
    "tensorboard": "tensorboard==2.21.0",
    "wandb": "wandb==0.31.0",
    "mlflow": "mlflow==3.17.2",
    "trackio": "trackio==0.43.0",
    "deepspeed": "deepspeed==0.19.8",
    ".zst": "zstandard==0.25.0",
}
"""What a plan needs beyond the pinned packages, by the word in it that asks for it."""

PORT: Final = 29500
"""Where processes of several machines meet, on the first of them."""

MACHINES: Final = """
The same on each of the {nodes} machines, with the name of one of them in the place of `HOST`; they wait for each other.
This folder, the data and the folder of the results must be on a disk that all of them see under one path.
"""

README: Final = """\
# {name}: a native run

Written by ftc from the recipe `{name}`. It needs nothing of ftc. To train on another machine, copy this
folder there{read}.

    pip install -r requirements.txt
    {command}
{machines}
| file | what it is |
| --- | --- |
| `plan.json` | every setting of the run; change the recipe rather than this |
| `recipe.ftc.yaml`, `ftc.lock.json` | the recipe as it was written, and what was made of it; no run needs them |
| `train.py` | the run, read from the top |
| `trainer.py`, `settings.py` | the trainer, which is TRL's; what each setting is called by it |
| `counting.py`, `guards.py` | what is added to it; what ends a run before its end |
| `compared.py` | trainers for answers that are compared or judged |
| `prepared.py`, `shards.py`, `packing.py` | rows prepared once and kept for later runs; packed |
| `corpus.py`, `parallel.py`, `examine.py` | rows looked at one by one, by several processes |
| `chat.py`, `calls.py`, `tokenizer.py` | the tokenizer, its chat template, and where in it the answers are |
| `vocabulary.py` | new tokens: where their rows begin, and which are trained |
| `data.py`, `spans.py` | which tokens are trained |
| `rows.py`, `formats.py`, `notes.py` | which rows are read; what their columns mean; what is odd about them |
| `files.py`, `readers.py`, `tables.py`, `findings.py` | data files, row by row; what is wrong with them |
| `model.py`, `attention.py` | loading the model; how packed rows are attended to, document by document |
| `methods.py`, `bottlenecks.py` | what of it is trained, or put on it to be trained |
| `spread.py`, `launch.py` | how the run is spread over devices and machines; `torchrun` of few words |
| `muon.py` | the optimizer of that name, which transformers has not |
| `resume.py`, `checkpoints.py` | where a run that was stopped goes on |
| `origins.py`, `disk.py` | the files that a run is made of; what is there whole or not at all |
| `room.py` | in words, that memory ran out |
| `report.py`, `pace.py`, `meter.py` | progress and metrics; how long it will take; memory as it is taken |
| `result.py` | what is saved, and the summary |
| `merging.py`, `card.py`, `serving.py` | the adapter merged and looked at; the model card; how to serve it |
| `samples.py`, `story.py` | answers before and after; when it ran, and its page |
| `trackers.py` | what tensorboard, wandb, mlflow and trackio are told |
| `page.py`, `page_words.py`, `amounts.py`, `pictures.py`, `curves.py` | what the page says; its curves |
| `report.html.jinja`, `report.css`, `base.css` | how it looks |
| `measure.py`, `gauge.py` | `--measure`: the memory that two steps at the largest shape really take |

Results go to `{out}`: `report.html`, `{result}/`, `SERVING.md`, `summary.json`, `metrics.jsonl`, `samples.json`,
`checkpoints/`. Started again, a run that was stopped goes on from its newest checkpoint; `--fresh` puts what is there
aside and starts anew, `--dry-run` loads model and data and stops, `--measure` writes `calibration.json` instead of
training.
{lost}"""


def largest_micro(plan: Plan) -> int | None:  # noqa: ARG001 - the signature is that of every target
    """None: the native run has no limit of its own."""
    return None


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
        **scripts((*SCRIPTS, *LOOKS)),
        **_template(plan),
    }
    return Artifact("native", "plan.json", files, command)


def _command(plan: Plan) -> tuple[str, ...]:
    """As `spread.launch` says it to whoever started it otherwise."""
    hardware = plan.hardware
    if plan.devices == 1 and hardware.strategy == "single":
        return ("python", "train.py")
    each = ("--nproc-per-node", str(hardware.count))
    if hardware.nodes == 1:
        return ("torchrun", "--standalone", *each, "train.py")
    meeting = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"HOST:{PORT}")
    return ("torchrun", "--nnodes", str(hardware.nodes), *each, *meeting, "train.py")


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
        "template": next((sha256(text.encode()).hexdigest() for text in _template(plan).values()), None),
        "memory": _memory(footprint) if footprint else {},
        "predicted": _predicted(footprint) if footprint else {},
        "flops": {
            "token": token_flops(plan),
            "gradient": gradient_flops(plan),
            "pair": pair_flops(plan),
            "peak": peak_flops(plan),
        },
        "card": _card(plan),
        "decisions": [
            {"path": item.path, "value": to_builtins(item.value), "because": item.because} for item in plan.decisions
        ],
    }


def _card(plan: Plan) -> dict[str, Any]:
    """What the page says of the card that was planned for."""
    gpu = plan.gpu
    return {} if gpu is None else {"title": gpu.title, "usd_per_hour": gpu.usd_per_hour}


def _memory(footprint: Footprint) -> dict[str, Any]:
    sizes = {name: getattr(footprint, name) for name in ("allocated", "reserved", "device", "low", "high")}
    relief = [
        {"set": item.set, "device_gib": round(item.device / GIB, 3), "costs": item.costs} for item in footprint.relief
    ]
    phases = {name: getattr(footprint.phases, name) for name in ("load", "step", "optimizer", "eval")}
    by_phase = {name: round(size / GIB, 3) for name, size in phases.items()}
    planned = {f"{name}_gib": round(size / GIB, 3) for name, size in sizes.items()}
    return {"verdict": footprint.verdict, **planned, "phases": by_phase, "fixes": relief}


def _predicted(footprint: Footprint) -> dict[str, Any]:
    """Bytes, for `measure.py` to be compared with."""
    names = ("stack", "allocated", "reserved", "device")
    return {name: getattr(footprint, name) for name in names}


def _template(plan: Plan) -> dict[str, str]:
    name = plan.model.chat_template
    if name is None or name == "tokenizer":
        return {}
    path = template_path(name)
    return {str(template_file(name)): path.read_text("utf-8")} if path.is_file() else {}


def _requirements(plan: Plan) -> str:
    pinned = (HERE / "requirements.txt").read_text("utf-8")
    asked = [plan.training.optimizer, plan.training.kernels, *plan.logging.to, *suffixes(plan)]
    asked += ["deepspeed"] if zero(plan) else []
    return pinned + "".join(f"{EXTRAS[word]}\n" for word in dict.fromkeys(asked) if word in EXTRAS)


def _read(plan: Plan) -> str:
    """What of this machine the run reads beside its folder, in words."""
    models = [path for path in (plan.model.base, plan.model.tokenizer) if path and Path(path).is_absolute()]
    rows = [source.path for _, source in all_sources(plan) if source.local and Path(source.path).is_absolute()]
    local = [*models, *rows]
    if not local:
        return ""
    return ", and what it reads to the same paths: " + ", ".join(f"`{path}`" for path in dict.fromkeys(local))


def _readme(plan: Plan, command: tuple[str, ...], lost: tuple[Finding, ...]) -> str:
    said = "".join(f"\n- `{item.path}`: {item.message}" for item in lost)
    return README.format(
        name=plan.name,
        command=" ".join(command),
        read=_read(plan),
        machines=MACHINES.format(nodes=plan.hardware.nodes) if plan.hardware.nodes > 1 else "",
        out=plan.output.dir,
        result="adapter" if plan.lora else "model",
        lost=f"\nLeft out, as `--allow-lossy` was given:\n{said}\n" if lost else "",
    )
