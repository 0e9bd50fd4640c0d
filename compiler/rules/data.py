"""Rules about what is learnt from, and which of its tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from compiler.rules.context import Context, Rule, Seen
from schemas.diagnostic import Finding
from schemas.recipe import DataFormat, LossOn

PREFERENCE: Final = ("dpo", "orpo", "kto")
VIRTUAL_TOKENS: Final = ("prefix_tuning", "prompt_tuning", "p_tuning")
TRAINABLE: Final[dict[DataFormat, tuple[LossOn, ...]]] = {
    "messages": ("assistant", "last_assistant", "all"),
    "sharegpt": ("assistant", "last_assistant", "all"),
    "alpaca": ("completion", "all"),
    "prompt_completion": ("completion", "all"),
    "text": ("all",),
}
"""What `loss_on` can find in rows of a format."""

ANSWERS: Final = frozenset(("assistant", "gpt", "chatgpt", "model", "function_call"))
"""Words for the speaker that is trained, as the native run reads them."""

_TURNS: Final = ("messages", "role", "content", "thinking", "tools", "system")
COLUMNS: Final[dict[DataFormat, tuple[str, ...]]] = {
    "messages": _TURNS,
    "sharegpt": _TURNS,
    "alpaca": ("instruction", "input", "output", "system", "tools"),
    "prompt_completion": ("prompt", "completion", "system", "tools"),
    "text": ("text",),
    "preference": ("prompt", "chosen", "rejected", *_TURNS),
    "kto": ("prompt", "completion", "label", *_TURNS),
}
"""The leaves of `fields` that rows of a format have."""

COMPARED: Final[dict[DataFormat, tuple[str, ...]]] = {"preference": ("chosen", "rejected"), "kto": ("label",)}
"""The columns that conversations may have beside their turns, and that make other rows of them."""

OF_TEMPLATES: Final = ("system", "tools")
"""Columns of a prompt and its completion that a chat template alone can write."""

NEEDS_TEMPLATE: Final = ("messages", "sharegpt", "alpaca")
SOURCES: Final = ("data.train", "data.validation")


def split_conversations(context: Context) -> Iterator[Finding]:
    if context.recipe.data.overlong != "split":
        return
    for seen in context.sources:
        if seen.format not in (None, "text"):
            message = f"split cuts text anywhere, and {seen.path} holds {seen.format} rows"
            yield Finding("FTC230", "data.overlong", message, "write drop or truncate")
            return


def packed_preferences(context: Context) -> Iterator[Finding]:
    objective = context.recipe.training.objective
    if context.recipe.data.packing is True and objective in PREFERENCE:
        message = f"{objective} compares whole answers, which cannot share a row"
        yield Finding("FTC231", "data.packing", message, "write false, or leave it out")


def packed_virtual_tokens(context: Context) -> Iterator[Finding]:
    kind = context.recipe.method.kind
    if context.recipe.data.packing is True and kind in VIRTUAL_TOKENS:
        message = f"{kind} puts its trained positions once before a row, whatever is packed into it"
        yield Finding("FTC232", "data.packing", message, "write false, or leave it out")


def nothing_to_train(context: Context) -> Iterator[Finding]:
    """Every label would be -100: the loss is 0 or nan, and nothing is learnt."""
    asked = context.recipe.data.loss_on
    if asked == "auto" or context.recipe.training.objective in PREFERENCE:
        return
    for seen in context.sources:
        found = TRAINABLE.get(seen.format) if seen.format else None
        if found and asked not in found:
            message = f"{seen.format} rows have no {asked} tokens: nothing of {seen.path} would be trained"
            yield Finding("FTC233", "data.loss_on", message, f"write {found[0]}, or auto")
            return


def no_answer(context: Context) -> Iterator[Finding]:
    """Conversations in which the model does not speak: every label of such a row is -100."""
    recipe = context.recipe
    if recipe.data.loss_on in ("all", "completion") or recipe.training.objective != "sft":
        return
    for seen in context.sources:
        speakers = seen.row.speakers
        if seen.format in ("messages", "sharegpt") and speakers and not ANSWERS.intersection(speakers):
            message = f"nothing to learn in the first row of {seen.file.name}: it has no assistant turn"
            hint = f"its turns are by {', '.join(dict.fromkeys(speakers))}; loss_on: all trains on every turn"
            yield Finding("FTC243", f"{seen.path}.path", message, hint, "warning")


def loss_on_preferences(context: Context) -> Iterator[Finding]:
    objective = context.recipe.training.objective
    if context.recipe.data.loss_on != "auto" and objective in PREFERENCE:
        message = f"loss_on cannot be set with {objective}, which always compares the answers"
        yield Finding("FTC234", "data.loss_on", message, "remove it", at="key")


def split_is_a_name(context: Context) -> Iterator[Finding]:
    for seen in context.sources:
        found = re.fullmatch(r"([^\[\]]+)\[:(\d+)(%?)\]", seen.source.split)
        if found:
            limit = f"{int(found[2]) / 100:g}" if found[3] else found[2]
            message = f'split is the name of a split, found "{seen.source.split}"'
            yield Finding("FTC235", f"{seen.path}.split", message, f"write split: {found[1]} and limit: {limit}")
        elif re.search(r"[\[\]+]", seen.source.split):
            message = f'split is the name of a split, found "{seen.source.split}"'
            yield Finding("FTC235", f"{seen.path}.split", message, "write its name; limit takes the first rows of it")


def over_context(context: Context) -> Iterator[Finding]:
    facts, asked = context.facts, context.recipe.data.max_length
    if facts is not None and asked > facts.context:
        message = f"max_length {asked} is over the context of {facts.name}, {facts.context} tokens"
        yield Finding("FTC236", "data.max_length", message, f"write max_length: {facts.context} or less")


def format_for_objective(context: Context) -> Iterator[Finding]:
    objective = context.recipe.training.objective
    for seen in context.sources:
        contradicted = seen.row.format not in (None, seen.format)
        if seen.format is None or contradicted or seen.format in _formats(objective):
            continue
        message = f"{objective} cannot learn from {seen.format} rows"
        path = f"{seen.path}.format" if seen.source.format != "auto" else f"{seen.path}.path"
        yield Finding("FTC237", path, message, _format_hint(objective, seen))


def _formats(objective: str) -> tuple[str, ...]:
    if objective == "kto":
        return ("kto",)
    return ("preference",) if objective in PREFERENCE else tuple(TRAINABLE)


def _format_hint(objective: str, seen: Seen) -> str:
    if objective not in PREFERENCE:
        return "set training.objective: kto" if seen.format == "kto" else "set training.objective: dpo, or orpo"
    wanted = "kto" if objective == "kto" else "preference"
    return f"write format: {wanted}" if _has(seen, COMPARED[wanted]) else f"{objective} needs {wanted} rows"


def _has(seen: Seen, leaves: tuple[str, ...]) -> bool:
    """Whether rows that were taken for others have these columns as well."""
    return all((getattr(seen.source.fields, leaf) or leaf) in seen.row.columns for leaf in leaves)


def unseen_format(context: Context) -> Iterator[Finding]:
    for seen in context.sources:
        if seen.clear and seen.source.format == "auto" and not seen.local:
            path = seen.source.path
            message = f'the format of "{path}", a dataset of the hub, cannot be seen without the network'
            formats = ", ".join((*TRAINABLE, "preference", "kto"))
            hint = f"write format: one of {formats}{_here(path, context.folder)}"
            yield Finding("FTC238", f"{seen.path}.path", message, hint)


def _here(path: str, folder: Path) -> str:
    """How to name what lies beside the recipe under what looks like a dataset's id."""
    try:
        return f"; for the folder of that name write ./{path}/*.jsonl" if (folder / path).is_dir() else ""
    except (OSError, ValueError):
        return ""


def columns_of_other_formats(context: Context) -> Iterator[Finding]:
    for seen in context.sources:
        if seen.format is None:
            continue
        known = COLUMNS[seen.format]
        for name in seen.source.fields.model_fields_set:
            if name not in known and getattr(seen.source.fields, name) is not None:
                message = f"{seen.format} rows have no {name}"
                hint = f"remove it, or write another format; {seen.format} has {', '.join(known)}"
                yield Finding("FTC242", f"{seen.path}.fields.{name}", message, hint, at="key")


def unwritten_texts(context: Context) -> Iterator[Finding]:
    """A system text, or tools, that no chat template writes into the rows."""
    plain = tuple(seen for seen in context.sources if not _is_rendered(seen, context))
    if context.recipe.data.system is not None and plain and plain == context.sources:
        message = f"{plain[0].format} rows are trained as they are, and get no system text"
        yield Finding("FTC245", "data.system", message, _unwritten_hint(plain), at="key")
    for seen in plain:
        named = (leaf for leaf in OF_TEMPLATES if seen.format != "text" and getattr(seen.source.fields, leaf))
        for leaf in named:
            message = f"without a chat template prompts are trained as they are, and {leaf} is not read"
            yield Finding("FTC245", f"{seen.path}.fields.{leaf}", message, _unwritten_hint((seen,)), at="key")


def _is_rendered(seen: Seen, context: Context) -> bool:
    """Whether a chat template writes its rows."""
    return seen.format != "text" and (seen.format != "prompt_completion" or context.templated)


def _unwritten_hint(sources: tuple[Seen, ...]) -> str:
    if all(seen.format == "text" for seen in sources):
        return "remove it, or write it into the text of each row"
    return "set model.chat_template (tokenizer: the base's own), or put it into the prompts"


def weight_of_validation(context: Context) -> Iterator[Finding]:
    for seen in context.sources:
        if seen.path.startswith("data.validation") and seen.source.weight != 1:
            message = "every validation row counts once, and weight says how often rows are learnt"
            yield Finding("FTC246", f"{seen.path}.weight", message, "remove it; limit takes fewer rows", at="key")


def rows_named_twice(context: Context) -> Iterator[Finding]:
    """The same rows in two sources: trained twice as often as meant, or validated on what was learnt."""
    first: dict[tuple[object, ...], Seen] = {}
    for seen in context.sources:
        source = seen.source
        earlier = first.setdefault((source.path, source.split, source.subset, source.revision), seen)
        if earlier is seen:
            continue
        learnt = seen.path.startswith("data.validation") and earlier.path.startswith("data.train")
        message = f"{seen.path} names the rows of {earlier.path}"
        hint = (
            "validation on rows that were learnt says little; take others" if learnt else "weight makes rows count more"
        )
        yield Finding("FTC241", f"{seen.path}.path", message, hint, "warning")


def no_template(context: Context) -> Iterator[Finding]:
    facts, model = context.facts, context.recipe.model
    own = model.chat_template in ("auto", "tokenizer")
    if facts is None or not own or model.tokenizer is not None or facts.chat_format is not None:
        return
    seen = next((item for item in context.sources if _needs_template(item, context)), None)
    if seen:
        message = f"{facts.name} comes without a chat template, and {seen.path} holds {seen.format} rows"
        yield Finding("FTC239", "model.chat_template", message, _template_hint(seen))


def _needs_template(seen: Seen, context: Context) -> bool:
    """Whether it takes one to render the rows; prompts and completions are rendered by one that is named."""
    asked = context.recipe.model.chat_template == "tokenizer" and seen.format == "prompt_completion"
    return seen.format in NEEDS_TEMPLATE or seen.turns or asked


def _template_hint(seen: Seen) -> str:
    first, second = ("alpaca", "chatml") if seen.format == "alpaca" else ("chatml", "alpaca")
    return f"write chat_template: {first} (or {second}, or the path of a .jinja file), or take the instruct model"


RULES: Final = (
    Rule(("data.overlong", *SOURCES), split_conversations),
    Rule(("data.packing", "training.objective"), packed_preferences),
    Rule(("data.packing", "method.kind"), packed_virtual_tokens),
    Rule(("data.loss_on", "training.objective", *SOURCES), nothing_to_train),
    Rule(("data.loss_on", "training.objective"), no_answer),
    Rule(("data.loss_on", "training.objective"), loss_on_preferences),
    Rule((), split_is_a_name),
    Rule(("data.max_length", "model.base"), over_context),
    Rule(("training.objective",), format_for_objective),
    Rule((), unseen_format),
    Rule((), columns_of_other_formats),
    Rule(("model.chat_template", *SOURCES), unwritten_texts),
    Rule((), weight_of_validation),
    Rule((), rows_named_twice),
    Rule(("model.base", "model.chat_template", "model.tokenizer", *SOURCES), no_template),
)
