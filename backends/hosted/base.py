"""What a provider's module is, and the answers that providers give alike.

A provider is told leaves of the recipe, as it has no plan of its own: where a leaf is `auto`, the provider decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from msgspec import Struct

from backends.base import Applied, finding, pattern, refused
from backends.native.findings import RowError
from backends.native.formats import Row
from schemas.columns import Fields
from schemas.diagnostic import Finding
from schemas.hosted import HostedPlan, Limit
from schemas.support import Folded, Key, Never, NotImpl, Ours, Refusal, Table

TRAIN: Final = "train.jsonl"
VALIDATION: Final = "validation.jsonl"
JOB: Final = "job.json"
BOTH: Final = f"{TRAIN} or {VALIDATION}"


class Job(Struct, frozen=True):
    """What the API is told. `body`: the request, but for what only the start knows. `secrets`: names of the environment
    that the start reads. `remarks`: paragraphs for the README."""

    body: dict[str, object]
    environment: tuple[str, ...]
    remarks: tuple[str, ...]


class HostedBackend(Protocol):
    """A provider's module."""

    CLIENT: str
    """The official client, as `package==version`."""
    REQUIREMENTS: str
    """What the start needs, one requirement a line."""
    SCRIPT: str
    """The file beside this one that becomes the artifact's `start.py`."""
    COMMAND: tuple[str, ...]
    """How it is started, in the artifact's folder."""
    TABLE: Table

    def losses(self, plan: HostedPlan) -> tuple[Finding, ...]:
        """What of this plan is lost or done otherwise although each leaf alone can be said."""
        ...

    def record(self, row: Row, plan: HostedPlan) -> dict[str, Any] | RowError:
        """A row in the provider's format, or why it cannot be one."""
        ...

    def job(self, plan: HostedPlan, mark: str, *, validated: bool) -> Job:
        """The request. `mark` tells this job from others; `validated`: whether there are validation rows."""
        ...


PROVIDES: Final = "the provider decides that, and takes no word on it"
MACHINES: Final = "it trains on the provider's machines"
RENDERS: Final = "the provider renders conversations by itself"
STEPS: Final = "the provider's training loop has no such setting"
KEEPS: Final = "the weights stay with the provider"
ROWS: Final = Folded(BOTH)
_FIELDS: Final = tuple(Fields.model_fields)


def _never(why: str, **neutral: object) -> Table:
    return {path.replace("__", "."): Never(why, neutral=(value,)) for path, value in neutral.items()}


def _source(part: str) -> Table:
    path = f"data.{part}[]"
    hub = NotImpl("only of datasets on the hub, and rows for a provider are files", neutral=(None,))
    return {
        f"{path}.path": ROWS,
        f"{path}.format": Folded(
            BOTH,
            refused={
                "text": Never("a provider trains conversations, and raw text is none"),
                "kto": Never("no provider trains on single answers that are marked good or bad"),
            },
        ),
        f"{path}.split": NotImpl("only of datasets on the hub, and rows for a provider are files", neutral=("train",)),
        f"{path}.subset": hub,
        f"{path}.revision": hub,
        f"{path}.weight": ROWS if part == "train" else Never("validation rows are each seen once", neutral=(1.0,)),
        f"{path}.limit": ROWS,
        **{f"{path}.fields.{name}": ROWS for name in _FIELDS if name != "thinking"},
        f"{path}.fields.thinking": Never("its rows have no place for what is thought before the answer", (None,)),
    }


COMMON: Final[Table] = {
    "$schema": Ours("the editor's schema"),
    "version": Ours("the version of the language"),
    "model.base": Folded(JOB),
    "method.kind": Folded(JOB),
    **_never("the provider's names have their version in them", model__revision="main"),
    **_never(MACHINES, model__dtype="auto", model__attention="auto", model__trust_remote_code=False),
    **_never(RENDERS, model__tokenizer=None, model__chat_template="auto"),
    **_never(RENDERS, model__tokens__pad=None, model__tokens__eos=None, model__tokens__bos=None, model__tokens__add=()),
    **_source("train"),
    **_source("validation"),
    "data.validation": Folded(VALIDATION),
    "data.system": ROWS,
    "data.max_length": ROWS,
    "data.overlong": Folded(
        BOTH,
        refused={
            "truncate": Never("where to cut a row its tokenizer alone knows; rows can be left out"),
            "split": Never("its rows are conversations, which are not cut into several"),
        },
    ),
    "data.bad_rows": ROWS,
    "data.packing": Never(PROVIDES, neutral=("auto",)),
    "data.shuffle": Never(PROVIDES, neutral=(True,)),
    **_never("a provider counts epochs, not steps", training__max_steps=None),
    **_never(MACHINES, training__micro_batch_size="auto", training__gradient_checkpointing="auto"),
    **_never(MACHINES, training__loss="auto", training__compile=False, training__kernels="auto"),
    **_never(
        "a provider takes a multiple of its own rate: write method.learning_rate_multiplier",
        training__learning_rate="auto",
    ),
    **_never(STEPS, training__scheduler="cosine", training__min_lr_ratio=0.0, training__warmup=0.1),
    "training.optimizer": Never(STEPS, neutral=("adamw", "auto")),
    **_never(STEPS, training__weight_decay=0.0, training__betas="auto"),
    **_never(STEPS, training__epsilon="auto", training__max_grad_norm=1.0, training__neftune_alpha=None),
    **_never("the provider decides when it looks at the validation rows", evaluation__every="epoch"),
    **_never(MACHINES, evaluation__batch_size="auto"),
    **_never("the provider decides what it keeps on the way", checkpoint__every="epoch", checkpoint__keep=2),
    **_never("the provider decides what it keeps on the way", checkpoint__best=False, checkpoint__weights_only=False),
    **_never("the start goes on watching the job that it began, wherever that is", checkpoint__resume="auto"),
    **_never("the provider decides how often it reports", logging__every=10),
    **_never(KEEPS, output__dir="outputs", output__merge=False),
    **_never(MACHINES, hardware__gpu=None, hardware__count=1, hardware__memory=None, hardware__nodes=1),
    **_never(MACHINES, hardware__strategy="auto", hardware__offload="none", hardware__reserve="auto"),
    "targets.axolotl": Never("raw keys for Axolotl alone", neutral=({},)),
    "targets.llamafactory": Never("raw keys for LLaMA-Factory alone", neutral=({},)),
}
"""Leaves that every provider answers alike. A neutral value is the language's default: it asks for nothing."""


def apply(table: Table, leaves: Mapping[str, object]) -> Applied:
    """Answer every leaf of the recipe from the table. A leaf without an answer is a `KeyError`: tables are total."""
    keys: dict[str, object] = {}
    said: dict[str, tuple[object, Refusal]] = {}
    for path, value in leaves.items():
        answer = table[pattern(path)]
        refusal = refused(answer, value)
        if refusal:
            said[path] = value, refusal
        elif isinstance(answer, Key):
            keys[answer.key] = answer.via(value)
    return Applied(keys, tuple(finding(path, *item) for path, item in said.items()))


def out_of_range(path: str, value: float, limit: Limit | None, title: str) -> Finding | None:
    """A value that the provider does not take."""
    if limit is None or limit.takes(value):
        return None
    return Finding("FTC434", path, f"{title} takes {limit.words} here, not {value:g}", f"says {limit.source}")


def ranges(plan: HostedPlan) -> tuple[Finding, ...]:
    """What lies outside of the ranges that all providers have."""
    training, limits, times = plan.recipe.training, plan.limits, plan.method.learning_rate_multiplier
    asked = [
        ("training.epochs", training.epochs, limits.epochs),
        ("training.global_batch_size", training.global_batch_size, limits.batch_size),
        ("data.max_length", plan.recipe.data.max_length, plan.about.example),
        *([("method.learning_rate_multiplier", times, limits.learning_rate_multiplier)] if times != "auto" else []),
    ]
    found = [item for item in (out_of_range(*one, plan.title) for one in asked) if item]
    if training.epochs != int(training.epochs):
        message = f"{plan.title} takes whole epochs, not {training.epochs:g}"
        found.append(Finding("FTC434", "training.epochs", message))
    return tuple(found)
