"""Answers that Axolotl, LLaMA-Factory and Unsloth give alike, and how training rows reach them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct

from schemas.artifact import Split
from schemas.diagnostic import Finding
from schemas.plan import Plan, SourcePlan, is_sources
from schemas.recipe import Fields
from schemas.support import Never, NotImpl, NotYet, Ours, Table

OTHER_KINDS: Final = ("ia3", "prefix_tuning", "prompt_tuning", "p_tuning", "adapter")
NO_SUCH_METHOD: Final = NotYet("it trains every weight, or LoRA and its kin; the native target has this method")

OURS: Final[Table] = {
    "version": Ours("the version of the language"),
    "hardware.gpu": Ours("the memory verdict and the automatic values come from it"),
    "hardware.memory": Ours("the memory verdict comes from it"),
    "hardware.reserve": Ours("the memory verdict comes from it"),
}

OTHER_METHODS: Final[Table] = {
    "method.feedforward_modules": NO_SUCH_METHOD,
    "method.virtual_tokens": NO_SUCH_METHOD,
    "method.init_text": NO_SUCH_METHOD,
    "method.projection": NO_SUCH_METHOD,
    "method.encoder_hidden_size": NO_SUCH_METHOD,
    "method.bottleneck": NO_SUCH_METHOD,
    "method.activation": NO_SUCH_METHOD,
    "method.placement": NO_SUCH_METHOD,
}

LATER: Final[Table] = {
    "training.objective": NotImpl("only supervised fine-tuning is written for this target", neutral=("sft",)),
    "training.preference": NotImpl("preference objectives are not written for this target", neutral=(None,)),
    "training.preference.beta": NotImpl("preference objectives are not written for this target"),
    "training.preference.loss": NotImpl("preference objectives are not written for this target"),
    "output.merge": NotImpl("merging is a command of its own there, and not written yet", neutral=(False,)),
    "hardware.nodes": NotImpl("several machines are not written for this target", neutral=(1,)),
    "hardware.offload": NotImpl("sharding is not written for this target", neutral=("none",)),
    "targets.axolotl": NotImpl("raw keys under targets.axolotl are not written yet", neutral=({},)),
    "targets.llamafactory": NotImpl("raw keys under targets.llamafactory are not written yet", neutral=({},)),
}

DIFFERS: Final = "FTC405"
"""The code of warnings that say: the target does it, a little differently."""


def lost(path: str, why: str, hint: str | None = None) -> Finding:
    """This value cannot be had beside the others."""
    return Finding("FTC404", path, f"{path} cannot be kept beside the rest: {why}", hint)


def later(path: str, why: str) -> Finding:
    """The target could, and it is not written."""
    return Finding("FTC401", path, f"{path} cannot be said here: {why}")


def differs(path: str, how: str) -> Finding:
    """The target does it, a little differently: worth a warning."""
    return Finding(DIFFERS, path, f"{path}: {how}", level="warning")


NO_FIELD_HERE: Final = Never("only preference data has this column, and this target is given none", neutral=(None,))


class Rows(Struct, frozen=True):
    """What a target reads. `split`: training rows are parted by ftc into two files, and `train` is one of them."""

    train: tuple[SourcePlan, ...]
    validation: tuple[SourcePlan, ...]
    split: Split | None


TRAIN_FILE: Final = "data/train.jsonl"
VALIDATION_FILE: Final = "data/validation.jsonl"


def rows(plan: Plan) -> Rows:
    """The sources as the target sees them. A share of the training rows is parted by hash: the same rows everywhere."""
    validation = plan.data.validation
    if validation is None:
        return Rows(plan.data.train, (), None)
    if isinstance(validation, tuple):
        return Rows(plan.data.train, validation, None)
    split = Split(plan.data.train, validation, plan.training.seed, TRAIN_FILE, VALIDATION_FILE)
    first = plan.data.train[0]
    return Rows((_part(first, TRAIN_FILE),), (_part(first, VALIDATION_FILE),), split)


def _part(source: SourcePlan, path: str) -> SourcePlan:
    """A file that ftc wrote from rows of this shape."""
    return SourcePlan(
        path=path,
        local=True,
        format=source.format,
        split="train",
        subset=None,
        revision=None,
        weight=1.0,
        limit=None,
        fields=source.fields,
    )


def unsplittable(plan: Plan) -> list[Finding]:
    """Training sources of which no share can be kept back: those on the hub, and those of another shape."""
    if plan.data.validation is None or isinstance(plan.data.validation, tuple):
        return []
    first = plan.data.train[0]
    found: list[Finding] = []
    for index, source in enumerate(plan.data.train):
        path = f"data.train[{index}]"
        if not source.local:
            found.append(
                Finding(
                    "FTC401",
                    f"{path}.path",
                    f'a share of "{source.path}" cannot be kept back for validation: it is on the hub',
                    "name a source under data.validation, or null for no validation",
                )
            )
        elif (source.format, source.fields) != (first.format, first.fields):
            found.append(
                Finding(
                    "FTC401",
                    f"{path}.format",
                    "a share of sources with different formats or fields cannot be kept back for validation",
                    "name a source under data.validation, or null for no validation",
                )
            )
    return found


def read_directly(plan: Plan) -> list[tuple[str, SourcePlan]]:
    """The sources that the tool itself opens, with their paths in the plan."""
    found = [] if rows(plan).split else [(f"data.train[{i}]", source) for i, source in enumerate(plan.data.train)]
    if is_sources(plan.data.validation):
        found += [(f"data.validation[{i}]", source) for i, source in enumerate(plan.data.validation)]
    return found


def all_sources(plan: Plan) -> list[tuple[str, SourcePlan]]:
    """Every source of the plan, with its path."""
    found = [(f"data.train[{i}]", source) for i, source in enumerate(plan.data.train)]
    if is_sources(plan.data.validation):
        found += [(f"data.validation[{i}]", source) for i, source in enumerate(plan.data.validation)]
    return found


def column(fields: Fields, name: str, default: str) -> str:
    """Their name of a column of ours."""
    return getattr(fields, name) or default


CHAT_TEMPLATES: Final = Path(__file__).parent.parent / "schemas" / "catalog" / "chat_templates"
TEMPLATE_FILE: Final = "chat_template.jinja"


def own_template(plan: Plan) -> Path | None:
    """The file of a chat template that is not the tokenizer's own: one of ours by name, or the user's."""
    named = plan.model.chat_template
    if named in (None, "tokenizer"):
        return None
    return Path(named) if named.endswith(".jinja") else CHAT_TEMPLATES / f"{named}.jinja"


def template_files(plan: Plan) -> dict[str, str]:
    """That chat template, to stand in the artifact."""
    path = own_template(plan)
    return {TEMPLATE_FILE: path.read_text(encoding="utf-8")} if path and path.is_file() else {}


def unreadable_template(plan: Plan) -> list[Finding]:
    """A chat template that is not there."""
    path = own_template(plan)
    if path is None or path.is_file():
        return []
    named = plan.model.chat_template
    return [Finding("FTC404", "model.chat_template", f'the chat template "{named}" is not there to be read')]
