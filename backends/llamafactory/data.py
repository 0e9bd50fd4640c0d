"""Where LLaMA-Factory's rows come from: its settings, and `dataset_info.json`, which says what each name stands for."""

from __future__ import annotations

from typing import Final

from backends.alike import Rows, all_sources, column, rows
from backends.cadence import evaluation
from backends.llamafactory.templates import template
from schemas.plan import Plan, SourcePlan

FILE_KINDS: Final = (".json", ".jsonl", ".csv", ".parquet", ".txt")
"""What it opens itself (llamafactory/extras/constants.py, FILEEXT2TYPE)."""

ALPACA: Final = {"prompt": "instruction", "query": "input", "response": "output"}

MESSAGES_TAGS: Final = {
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function_call",
    "system_tag": "system",
}
SHAREGPT_TAGS: Final = {
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}


def raw_text(plan: Plan) -> bool:
    """Whether this is its stage for raw text."""
    return plan.data.train[0].format == "text"


def reading(plan: Plan) -> Rows:
    """The rows as it sees them: prepared by ftc where it would read them otherwise."""
    return rows(plan, anyway=any(_rewritten(source) for _, source in all_sources(plan)), answers="turn", paired=True)


def _rewritten(source: SourcePlan) -> bool:
    """Limits are drawn at random there, patterns and packed files not opened, and answers compared in another shape."""
    unread = source.local and (
        any(mark in source.path for mark in "*?[") or not source.path.lower().endswith(FILE_KINDS)
    )
    return unread or source.limit is not None or bool(source.revision) or source.format in ("preference", "kto")


def data(plan: Plan) -> dict[str, object]:
    """Data sets by name, the template, packing and masking."""
    read, found = reading(plan), template(plan)
    seen = evaluation(plan).strategy != "no"
    return {
        "dataset_dir": ".",
        "dataset": ",".join(_names("train", read.train)),
        "eval_dataset": ",".join(_names("validation", read.validation)) if seen else None,
        "mix_strategy": "concat",
        "template": found.name if found else None,
        "packing": plan.data.packing,
        "mask_history": plan.data.loss_on == "last_assistant",
        # Of raw text nothing is masked, and it is not packed: documents would see each other.
        "train_on_prompt": None if raw_text(plan) else plan.data.loss_on == "all",
        "neat_packing": plan.data.packing,
        "overwrite_cache": True,
        "dataloader_num_workers": 0,
    }


def _names(what: str, sources: tuple[SourcePlan, ...]) -> list[str]:
    return [what] if len(sources) == 1 else [f"{what}_{number}" for number in range(len(sources))]


def dataset_info(read: Rows) -> dict[str, object]:
    """What each name of a data set stands for."""
    named = [*zip(_names("train", read.train), read.train, strict=True)]
    named += zip(_names("validation", read.validation), read.validation, strict=True)
    return {name: _dataset(source) for name, source in named}


def _dataset(source: SourcePlan) -> dict[str, object]:
    """One entry. Every column and tag is named: a block that names some leaves the others without."""
    if source.local:
        return {"file_name": source.path, **_shape(source)}
    subset = {"subset": source.subset} if source.subset else {}
    return {"hf_hub_url": source.path, **subset, "split": source.split, **_shape(source)}


def _shape(source: SourcePlan) -> dict[str, object]:
    fields = source.fields
    optional = {name: value for name in ("system", "tools") if (value := getattr(fields, name))}
    if source.format == "text":
        return {"formatting": "alpaca", "columns": {"prompt": fields.text or "text"}}
    if source.format == "preference":
        return {**_turns("messages", optional, chosen="chosen", rejected="rejected"), "ranking": True}
    if source.format == "kto":
        return _turns("messages", optional, kto_tag="label")
    if source.format == "alpaca":
        columns = {ours: column(fields, name, name) for ours, name in ALPACA.items()}
        return {"formatting": "alpaca", "columns": {**columns, **optional}}
    if source.format == "prompt_completion":
        columns = {"prompt": fields.prompt or "prompt", "response": fields.completion or "completion"}
        return {"formatting": "alpaca", "columns": {**columns, **optional}}
    return _conversation(source, optional)


def _turns(messages: str, optional: dict[str, str], **columns: str) -> dict[str, object]:
    """Conversations as ftc prepares them."""
    tags = {"role_tag": "role", "content_tag": "content", **MESSAGES_TAGS}
    return {"formatting": "sharegpt", "columns": {"messages": messages, **columns, **optional}, "tags": tags}


def _conversation(source: SourcePlan, optional: dict[str, str]) -> dict[str, object]:
    sharegpt, fields = source.format == "sharegpt", source.fields
    tags = {
        "role_tag": column(fields, "role", "from" if sharegpt else "role"),
        "content_tag": column(fields, "content", "value" if sharegpt else "content"),
    }
    messages = column(fields, "messages", "conversations" if sharegpt else "messages")
    return {
        # Its converter for OpenAI's own shape adds "detailed thinking off" to every conversation's system text.
        "formatting": "sharegpt",
        "columns": {"messages": messages, **optional},
        "tags": {**tags, **(SHAREGPT_TAGS if sharegpt else MESSAGES_TAGS)},
    }
