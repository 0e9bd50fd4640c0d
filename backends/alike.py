"""Answers that Axolotl, LLaMA-Factory and Unsloth give alike, and how training rows reach them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from msgspec import Struct

from schemas.artifact import Preparation
from schemas.diagnostic import Finding
from schemas.plan import Plan, SourcePlan, is_sources
from schemas.recipe import DataFormat, Fields
from schemas.support import Folded, Never, NotYet, Ours, Table

OTHER_KINDS: Final = ("ia3", "prefix_tuning", "prompt_tuning", "p_tuning", "adapter")
NO_SUCH_METHOD: Final = NotYet("it trains every weight, or LoRA and its kin; the native target has this method")

OURS: Final[Table] = {
    "version": Ours("the version of the language"),
    "hardware.gpu": Ours("the memory verdict and the automatic values come from it"),
    "hardware.memory": Ours("the memory verdict comes from it"),
    "hardware.reserve": Ours("the memory verdict comes from it"),
}

ONCE: Final = Never("validation rows are each seen once", neutral=(1.0,))

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

_TITLES: Final[dict[str, str]] = {"axolotl": "Axolotl", "llamafactory": "LLaMA-Factory"}


def raw(target: str = "", into: str = "") -> Table:
    """Raw keys: this target's own go into its config, those of others mean nothing to it."""
    return {
        f"targets.{tool}": Folded(into) if tool == target else Never(f"raw keys for {title} alone", neutral=({},))
        for tool, title in _TITLES.items()
    }


DIFFERS: Final = "FTC405"
"""The code of warnings that say: the target does it, a little differently."""


def lost(path: str, why: str, hint: str | None = None) -> Finding:
    """This value cannot be had beside the others."""
    return Finding("FTC404", path, f"{path} cannot be kept beside the rest: {why}", hint)


def differs(path: str, how: str) -> Finding:
    """The target does it, a little differently: worth a warning."""
    return Finding(DIFFERS, path, f"{path}: {how}", level="warning")


class Rows(Struct, frozen=True):
    """What a target reads. `preparation`: ftc writes the rows first, and `train` and `validation` are what it wrote."""

    train: tuple[SourcePlan, ...]
    validation: tuple[SourcePlan, ...]
    preparation: Preparation | None


TRAIN_FILE: Final = "data/train.jsonl"
VALIDATION_FILE: Final = "data/validation.jsonl"


def rows(
    plan: Plan,
    *,
    anyway: bool = False,
    system: bool = False,
    marked: bool = False,
    answers: Literal["turns", "turn"] = "turns",
    paired: bool = False,
) -> Rows:
    """The sources as the target sees them: its own to read where it can, else as ftc prepares them.

    A share of the training rows is kept back by hash, the same rows in every target, which no tool does. `anyway`:
    whether the target has other reasons. `system`: whether it cannot put a system text in front itself. `marked`,
    `answers` and `paired`: as of `Preparation`.
    """
    validation = plan.data.validation
    read = validation if is_sources(validation) else ()
    picked = plan.data.bad_rows == "drop" or any(source.weight != 1 for source in plan.data.train)
    if not (anyway or _parted(plan) or picked):
        return Rows(plan.data.train, read, None)
    made = Preparation(
        train=plan.data.train,
        validation=validation,
        seed=plan.training.seed,
        system=plan.data.system if system else None,
        templated=plan.model.chat_template is not None,
        train_file=TRAIN_FILE,
        validation_file=VALIDATION_FILE,
        marked=marked,
        answers=answers,
        bad_rows=plan.data.bad_rows,
        paired=paired,
    )
    held = (_written(read[0] if read else plan.data.train[0], VALIDATION_FILE, plan),) if validation else ()
    return Rows((_written(plan.data.train[0], TRAIN_FILE, plan),), held, made)


def _parted(plan: Plan) -> bool:
    return plan.data.validation is not None and not is_sources(plan.data.validation)


def _written(source: SourcePlan, path: str, plan: Plan) -> SourcePlan:
    """A file that ftc wrote from rows like this source's."""
    return SourcePlan(
        path=path,
        local=True,
        format=shape(source, plan),
        split="train",
        subset=None,
        revision=None,
        weight=1.0,
        limit=None,
        fields=Fields(tools="tools") if source.fields.tools else Fields(),
    )


def shape(source: SourcePlan, plan: Plan) -> DataFormat:
    """The format of rows of this source once they are prepared."""
    if source.format in ("text", "preference", "kto"):
        return source.format
    plain = source.format == "prompt_completion" and plan.model.chat_template is None
    return "prompt_completion" if plain else "messages"


def job(made: Preparation) -> dict[str, object]:
    """A preparation as `prepare.py` reads it."""
    values = {name: getattr(made, name) for name in made.__struct_fields__}
    listed = {name: values[name] for name in ("train", "validation") if isinstance(values[name], tuple)}
    return {**values, **{name: [told(source) for source in sources] for name, sources in listed.items()}}


def told(source: SourcePlan) -> dict[str, Any]:
    """A source as the native target reads it."""
    values = {name: getattr(source, name) for name in source.__struct_fields__}
    return {**values, "fields": source.fields.model_dump()}


def unchecked(read: Rows) -> list[Finding]:
    """Rows of the hub that the tool fetches by itself: nobody looks at them before."""
    if read.preparation or all(source.local for source in (*read.train, *read.validation)):
        return []
    how = "rows of the hub are first seen by the tool, which may leave bad ones out; ftc data reads them all"
    return [differs("data.bad_rows", how)]


def unmixable(plan: Plan, read: Rows) -> list[Finding]:
    """Training sources that cannot stand in one file: conversations beside raw text."""
    if read.preparation is None:
        return []
    first = shape(plan.data.train[0], plan)
    return [
        Finding(
            "FTC404",
            f"data.train[{index}].format",
            f"{source.format} rows cannot be mixed with {plan.data.train[0].format} rows before the target reads them",
            "name sources under data.validation, or null for no validation, and leave out weight",
        )
        for index, source in enumerate(plan.data.train)
        if shape(source, plan) != first
    ]


def read_directly(plan: Plan, read: Rows) -> list[tuple[str, SourcePlan]]:
    """The sources that the tool itself opens, with their paths in the plan: none of those that ftc prepares."""
    return [] if read.preparation else all_sources(plan)


def all_sources(plan: Plan) -> list[tuple[str, SourcePlan]]:
    """Every source of the plan, with its path."""
    found = [(f"data.train[{i}]", source) for i, source in enumerate(plan.data.train)]
    if is_sources(plan.data.validation):
        found += [(f"data.validation[{i}]", source) for i, source in enumerate(plan.data.validation)]
    return found


def suffixes(plan: Plan) -> tuple[str, ...]:
    """The ends of the names of local files, some of which need a package to be read."""
    return tuple(dict.fromkeys(Path(source.path).suffix for _, source in all_sources(plan) if source.local))


def merged_by_hand(plan: Plan) -> list[Finding]:
    """Commands that run on every machine cannot merge: only one has the adapter, or all write the same files."""
    if not (plan.output.merge and plan.lora and plan.hardware.nodes > 1):
        return []
    return [differs("output.merge", "of several machines one merges, by a command of its own, which the README has")]


def chosen(path: str, plan: Plan) -> bool:
    """Whether the recipe says this leaf itself, rather than leaving it to the compiler."""
    return all(decision.path != path for decision in plan.decisions)


def shortened_by_trl(plan: Plan) -> list[Finding]:
    """Compared answers over the length: TRL's trainers keep their first tokens, and know nothing else."""
    if plan.data.overlong == "truncate":
        return []
    how = "a prompt with its answer keeps its first data.max_length tokens"
    if chosen("data.overlong", plan):
        return [lost("data.overlong", how, "write truncate")]
    return [differs("data.overlong", how)]


def bounded_by_trl(plan: Plan) -> list[Finding]:
    """TRL's ORPO trainer (`add_bos_token_if_needed`, `add_eos_token_if_needed` in trl/experimental/orpo)."""
    if plan.training.objective != "orpo":
        return []
    how = (
        "ORPO's trainer begins and ends each text with the tokenizer's own tokens for that, where the template does not"
    )
    more = "TRL's ORPO learns the prompt with the chosen answer; its paper and the native run, the answer alone"
    return [differs("model.chat_template", how), differs("training.objective", more)]


def of_kto(plan: Plan) -> list[Finding]:
    """TRL's KTO trainer pairs each row with its neighbour beforehand, and takes rows as they lie (trl/trainer)."""
    if plan.training.objective != "kto":
        return []
    found: list[Finding] = []
    if plan.data.shuffle:
        found.append(differs("data.shuffle", "rows are drawn at random once, in the same order each epoch"))
    if plan.training.micro_batch_size == 1:
        why = "KTO weighs a row against the others of its micro batch, and there are none"
        found.append(lost("training.micro_batch_size", why, "write 2 or more"))
    return found


def untrained_tokens(plan: Plan) -> list[Finding]:
    """New tokens whose embeddings would stay as they began."""
    if not plan.model.tokens.add or plan.lora is None:
        return []
    needed = ("embed_tokens",) if plan.facts.tied else ("embed_tokens", "lm_head")
    missing = [name for name in needed if name not in plan.lora.modules_to_save]
    if not missing:
        return []
    return [
        lost(
            "model.tokens.add",
            f"embeddings of new tokens are trained only where method.modules_to_save has {' and '.join(missing)}",
            f"add {', '.join(missing)} to method.modules_to_save",
        )
    ]


def unoffloadable(plan: Plan) -> list[Finding]:
    """What a strategy cannot keep in CPU memory: FSDP2 moves parameters with their state, or nothing; ZeRO-2 has whole
    parameters on every card (DeepSpeed's offload_param is for stage 3)."""
    strategy, offload = plan.hardware.strategy, plan.hardware.offload
    if strategy == "fsdp" and offload == "optimizer":
        return [lost("hardware.offload", "FSDP2 keeps parameters and optimizer in CPU memory, or nothing", "write all")]
    if strategy == "zero2" and offload == "all":
        return [lost("hardware.offload", "ZeRO-2 keeps no parameters in CPU memory", "write optimizer, or zero3")]
    return []


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
