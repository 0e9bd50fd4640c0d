"""Where Axolotl's rows come from, and what it makes of them."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from backends.alike import Rows, all_sources, column, own_template, rows, shape
from backends.cadence import evaluation
from backends.turns import end_of_turn
from schemas.plan import Plan, SourcePlan

REWRITTEN: Final = ("system", "instruction", "input", "output")
"""Columns that Axolotl has no word for."""

ROLES: Final = {  # ShareGPT's words beside the usual ones
    "user": ["user", "human"],
    "assistant": ["assistant", "gpt", "chatgpt", "model", "function_call"],
    "system": ["system"],
    "tool": ["tool", "observation", "function_response"],
}


def reading(plan: Plan) -> Rows:
    """The rows as Axolotl sees them: prepared by ftc where it would read them otherwise."""
    return rows(plan, anyway=_rewritten(plan), system=True, marked=plan.data.loss_on == "last_assistant")


def _rewritten(plan: Plan) -> bool:
    """Whether a source means something else there: alpaca rows get Alpaca's words, prompts no chat template, answers
    that are compared a shape for each objective; a system text has no place, nor has a share of the rows."""
    formats = {source.format for _, source in all_sources(plan)}
    pairs = ("prompt_completion",) if plan.model.chat_template else ()
    return (
        not formats.isdisjoint(("alpaca", "preference", "kto", *pairs))
        or plan.data.loss_on == "last_assistant"
        or (plan.data.system is not None and formats != {"text"})
        or any(isinstance(source.limit, float) for _, source in all_sources(plan))
        or any(getattr(source.fields, name) for _, source in all_sources(plan) for name in REWRITTEN)
    )


def data(plan: Plan) -> dict[str, object]:
    """Data sets, the chat template, and how rows are cut, packed and ordered."""
    template, own = plan.model.chat_template, own_template(plan)
    compares = plan.training.preference is not None
    return {
        "chat_template": "jinja" if own else "tokenizer_default" if template else None,
        # The text, not the path: the tool reads the path anew in places that do not know this folder.
        "chat_template_jinja": own.read_text(encoding="utf-8") if own and own.is_file() else None,
        "eot_tokens": _ends(plan),
        **_datasets(plan, reading(plan)),
        "val_set_size": 0.0,
        "train_on_inputs": None if compares else plan.data.loss_on == "all",
        # Compared answers reach TRL as they are: it renders them itself, from their turns.
        "skip_prepare_dataset": True if compares else None,
        "remove_unused_columns": False if compares else None,
        # Packed evaluation is refused where there are few rows, and the mean loss is the same.
        "eval_sample_packing": None if compares else False,
        "pad_to_sequence_len": plan.data.packing,
        # Without this rows keep their order on disk, and are drawn at random all the same.
        "curriculum_sampling": None if compares else not plan.data.shuffle,
        "group_by_length": False,
        "dataloader_num_workers": 0,
    }


def _ends(plan: Plan) -> list[str] | None:
    """Told, as it takes the end of a sequence for the end of a turn."""
    end = end_of_turn(plan)
    talks = any(shape(source, plan) == "messages" for source in plan.data.train)
    return [end] if end and talks and plan.training.preference is None else None


def _datasets(plan: Plan, read: Rows) -> dict[str, object]:
    validation = [_dataset(source, plan) for source in read.validation] if evaluation(plan).strategy != "no" else None
    return {"datasets": [_dataset(source, plan) for source in read.train], "test_datasets": validation}


def _dataset(source: SourcePlan, plan: Plan) -> dict[str, object]:
    sliced = f"[:{source.limit}]" if source.limit else ""
    return {**_place(source), "split": f"{source.split}{sliced}", **_shape(source, plan)}


def _place(source: SourcePlan) -> dict[str, object]:
    if not source.local:
        named = {"name": source.subset, "revision": source.revision}
        return {"path": source.path, **{key: value for key, value in named.items() if value}}
    kind = _file_kind(source.path)
    if not any(mark in source.path for mark in "*?["):
        return {"path": source.path, "ds_type": kind}
    plain = [part for part in PurePath(source.path).parents if not any(mark in str(part) for mark in "*?[")]
    return {"path": str(plain[0]), "data_files": [source.path], "ds_type": kind}


def _file_kind(path: str) -> str:
    suffixes = [suffix for suffix in PurePath(path).suffixes if suffix not in (".gz", ".zst")]
    return {".csv": "csv", ".parquet": "parquet", ".txt": "text"}.get(suffixes[-1] if suffixes else "", "json")


def _shape(source: SourcePlan, plan: Plan) -> dict[str, object]:
    fields = source.fields
    if source.format in ("preference", "kto"):
        return {}
    if source.format == "text":
        return {"type": "completion", "field": fields.text or "text"}
    if source.format == "prompt_completion":
        return {
            "type": {
                "field_instruction": fields.prompt or "prompt",
                "field_output": fields.completion or "completion",
                "format": "{instruction}",
                "no_input_format": "{instruction}",
            }
        }
    return _conversation(source, marked=plan.data.loss_on == "last_assistant")


def _conversation(source: SourcePlan, *, marked: bool) -> dict[str, object]:
    sharegpt, fields = source.format == "sharegpt", source.fields
    optional = {"field_tools": fields.tools, "field_thinking": fields.thinking, "roles": ROLES if sharegpt else None}
    return {
        "type": "chat_template",
        "field_messages": column(fields, "messages", "conversations" if sharegpt else "messages"),
        "message_property_mappings": {
            "role": column(fields, "role", "from" if sharegpt else "role"),
            "content": column(fields, "content", "value" if sharegpt else "content"),
        },
        "roles_to_train": [] if marked else ["assistant"],
        **({"message_field_training": "train"} if marked else {}),
        "train_on_eos": "turn",
        **{key: value for key, value in optional.items() if value},
    }
