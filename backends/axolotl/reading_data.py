"""Axolotl's data sets and chat templates read as a recipe's sources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Final, cast

from backends.axolotl.reading_template import read_template
from backends.base import spelled
from backends.native.formats import ROLES
from backends.reading import Reader

PLACE: Final = ("path", "name", "split", "revision", "data_files", "ds_type")
HUB: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
CUT: Final = re.compile(r"(\w+)\[:(\d+)(%?)\]")
CHATTED: Final = ("chat_template", "chat_template.default", "sharegpt", "sharegpt.load_sharegpt")
PLAIN: Final = "{instruction}"
ASKED: Final = {
    "intel": "question",
    "icr": "input",
    "argilla": "instruction",
    "prompt_pairs": "prompt",
    "ultra": "prompt",
}
"""Strategies of pairs and judged answers → the column of the question."""

_IDLE: Final = ("ds_type", "preprocess_shards", "trust_remote_code", "keep_in_memory")


def read_data(reader: Reader) -> None:
    """Sources, validation, masking and the template that all share."""
    datasets = reader.get("datasets")
    if not datasets:
        if not reader.has("pretraining_dataset"):
            reader.note("refused", "datasets", "there are no datasets, so that nothing is learnt")
        return
    read_template(reader, _rows(reader, "datasets"))
    reader.put("data.train", _sources(reader, "datasets"))
    _validation(reader)
    _masking(reader)
    _order(reader)
    reader.put("data.packing", reader.true("sample_packing"), "sample_packing")
    if reader.has("default_system_message"):
        reader.put("data.system", reader.get("default_system_message"), "default_system_message")
    reader.also("model.chat_template", "eot_tokens")
    for key, value in (("eval_sample_packing", False), ("pad_to_sequence_len", reader.true("sample_packing"))):
        if reader.get(key) is value:
            reader.also("data.packing", key)


def _validation(reader: Reader) -> None:
    size = reader.number("val_set_size", 0.0) or 0
    if reader.has("test_datasets"):
        reader.put("data.validation", _sources(reader, "test_datasets"))
        reader.also("data.validation", "val_set_size")
    else:
        reader.put("data.validation", (int(size) if size >= 1 else size) or None, "val_set_size")


def _order(reader: Reader) -> None:
    """Rows are drawn at random, unless they come in the order that they were put in before."""
    in_order, mixed = reader.true("curriculum_sampling"), reader.get("shuffle_merged_datasets", True) is not False
    reader.put("data.shuffle", not in_order, "curriculum_sampling", "shuffle_merged_datasets")
    if in_order and mixed:
        reader.note("differs", "curriculum_sampling", "Axolotl mixes the rows once before it keeps their order")
    sources = cast("list[dict[str, object]]", reader.leaves["data.train"].value)
    if sources and all(source["format"] == "text" for source in sources):
        reader.put("data.overlong", "auto", "excess_length_strategy")


def _masking(reader: Reader) -> None:
    marked = any(_row(reader, "datasets", at).get("message_field_training") for at in range(_count(reader, "datasets")))
    if reader.true("train_on_inputs"):
        reader.put("data.loss_on", "all", "train_on_inputs")
    elif marked and all(
        _row(reader, "datasets", at).get("roles_to_train") == [] for at in range(_count(reader, "datasets"))
    ):
        reader.note("refused", "datasets", "each turn says by itself whether it is trained, which ftc does not go by")
    else:
        reader.put("data.loss_on", "auto", "train_on_inputs")


# --- sources


def _rows(reader: Reader, what: str) -> list[Mapping[str, object]]:
    return [_row(reader, what, at) for at in range(_count(reader, what))]


def _count(reader: Reader, what: str) -> int:
    value = reader.get(what)
    return len(cast("list[object]", value)) if isinstance(value, list) else 0


def _row(reader: Reader, what: str, at: int) -> Mapping[str, object]:
    item = cast("list[object]", reader.get(what))[at]
    return cast("Mapping[str, object]", item) if isinstance(item, dict) else {}


def _sources(reader: Reader, what: str) -> list[dict[str, object]]:
    """Each data set as a source; a list of files is one for each."""
    found: list[dict[str, object]] = []
    for at in range(_count(reader, what)):
        found += _source(reader, what, at)
    return found


def _source(reader: Reader, what: str, at: int) -> list[dict[str, object]]:
    row, here = _row(reader, what, at), f"{what}[{at}]"
    leaf = "data.train" if what == "datasets" else "data.validation"
    source: dict[str, object] = {"path": row.get("path"), "subset": row.get("name"), "revision": row.get("revision")}
    source |= _split(reader, str(row.get("split", "train")), f"{here}.split")
    source["format"], fields = _shape(reader, row, here)
    source["fields"] = {name: value for name, value in fields.items() if value}
    reader.put(f"{leaf}[{at}]", None, *(f"{here}.{name}" for name in (*PLACE, *TAKEN) if name in row))
    reader.idle("it follows from the file, or changes no row", *(f"{here}.{name}" for name in _IDLE))
    thoughts = row.get("template_thinking_key") == "reasoning_content"
    if thoughts:
        reader.also(f"{leaf}[{at}]", f"{here}.template_thinking_key")
    for name in row:
        if name == "template_thinking_key" and thoughts:
            continue
        if name not in (*PLACE, *TAKEN, *_IDLE):
            reader.note("lost", f"{here}.{name}", "a source of a recipe has no such setting")
    kept = {name: value for name, value in source.items() if value not in (None, {}, "train") or name == "path"}
    files = row.get("data_files")
    if not files:
        return [kept]
    if HUB.fullmatch(str(row.get("path"))):
        reader.note("lost", f"{here}.data_files", "of a hub data set a recipe reads splits, not files")
        return [kept]
    listed = cast("list[object]", files) if isinstance(files, list) else [files]
    return [{**kept, "path": _inside(str(row.get("path")), str(name))} for name in listed]


TAKEN: Final = (
    *("type", "field", "field_messages", "field_system", "field_tools", "field_thinking", "field_chosen"),
    *("field_rejected", "message_property_mappings", "message_field_role", "message_field_content", "roles"),
    *("roles_to_train", "train_on_eos", "train_on_eot", "chat_template", "chat_template_jinja", "conversation"),
)


def _inside(folder: str, name: str) -> str:
    """A file of a folder, or of a hub data set, which ftc reads by its split alone."""
    path = PurePath(name)
    inside = path.is_absolute() or name.startswith(folder) or folder in ("json", "csv", "parquet", "text")
    return name if inside else str(PurePath(folder) / name)


def _split(reader: Reader, split: str, key: str) -> dict[str, object]:
    """A split's name, and how many of its first rows."""
    cut = CUT.fullmatch(split)
    if cut:
        number = int(cut[2])
        return {"split": cut[1], "limit": number / 100 if cut[3] else number}
    if "[" in split or "+" in split:
        reader.note("refused", key, f"{split} is no split's name, nor its first rows", "cut the rows beforehand")
    return {"split": split}


def _shape(reader: Reader, row: Mapping[str, object], here: str) -> tuple[str, dict[str, object]]:
    """The format of a source, and its columns."""
    kind, rl = row.get("type"), reader.get("rl")
    if rl in ("dpo", "ipo", "orpo", "kto"):
        return _judged(reader, row, here, kto=rl == "kto")
    if isinstance(kind, dict):
        return _worded_pairs(reader, cast("dict[str, object]", kind), here)
    if kind == "alpaca":
        why = 'of a row with an input Axolotl writes it under "### Input:"; ftc, on a line below the instruction'
        reader.note("differs", f"{here}.type", why)
        return "alpaca", {}
    if kind == "completion":
        return "text", {"text": row.get("field") if row.get("field") != "text" else None}
    if kind in CHATTED or str(kind).startswith("sharegpt:"):
        return _conversation(reader, row, here)
    why = f"{spelled(kind)} writes a prompt in words of its own, which no format of a recipe has" if kind else TOKENS
    reader.note("refused", f"{here}.type" if kind else here, why, "type: chat_template, or prepare the rows beforehand")
    return "auto", {}


TOKENS: Final = "without a type the rows are tokens already; a recipe reads texts"


def _worded_pairs(reader: Reader, kind: Mapping[str, object], here: str) -> tuple[str, dict[str, object]]:
    """A prompt and its answer with nothing around them."""
    known = {"field_instruction", "field_output", "format", "no_input_format"}
    if kind.get("format", PLAIN) != PLAIN or kind.get("no_input_format", PLAIN) != PLAIN or not set(kind) <= known:
        reader.note("refused", f"{here}.type", "it writes a prompt in words of its own; write them as a chat template")
    fields = {"prompt": kind.get("field_instruction"), "completion": kind.get("field_output")}
    return "prompt_completion", {name: value for name, value in fields.items() if value != name}


def _conversation(reader: Reader, row: Mapping[str, object], here: str) -> tuple[str, dict[str, object]]:
    mapped = cast("dict[str, object]", row.get("message_property_mappings", {}))
    old = str(row.get("type")).startswith("sharegpt")
    role = mapped.get("role", row.get("message_field_role", "from" if old else "role"))
    content = mapped.get("content", row.get("message_field_content", "value" if old else "content"))
    messages = row.get("field_messages", "conversations" if old else "messages")
    for name in mapped:
        if name not in ("role", "content"):
            reader.note("lost", f"{here}.message_property_mappings.{name}", "a turn has a role and a content")
    _turns(reader, row, here)
    fields = {"tools": row.get("field_tools"), "thinking": row.get("field_thinking")}
    system = row.get("field_system")
    fields["system"] = system if system != "system" else None
    if (role, content) == ("from", "value"):
        return "sharegpt", {**fields, "messages": messages if messages != "conversations" else None}
    named = {"messages": messages, "role": role, "content": content}
    return "messages", {**fields, **{name: value for name, value in named.items() if value != DEFAULT[name]}}


DEFAULT: Final = {"messages": "messages", "role": "role", "content": "content"}


def _turns(reader: Reader, row: Mapping[str, object], here: str) -> None:
    """Who is trained, and whether the end of a turn is."""
    trained = row.get("roles_to_train", ["assistant"])
    if trained not in (["assistant"], ["gpt"], ["assistant", "gpt"], ["model"], "assistant", []):
        why = f"turns of {spelled(trained)} are trained; a recipe trains the assistant's, or all"
        reader.note("lost", f"{here}.roles_to_train", why)
    for key, usual in (("train_on_eos", ("turn", "last")), ("train_on_eot", ("turn",))):
        if row.get(key, "turn") not in usual:
            reader.note("lost", f"{here}.{key}", "the end of each trained turn is trained")
    for ours, theirs in cast("dict[str, list[str]]", row.get("roles", {})).items():
        if any(ROLES.get(word, word) != ours for word in theirs):
            reader.note("lost", f"{here}.roles", f"{spelled(theirs)} are not read as {ours}")


def _judged(reader: Reader, row: Mapping[str, object], here: str, *, kto: bool) -> tuple[str, dict[str, object]]:
    """Answers that are compared, or judged one by one."""
    kind = row.get("type")
    shape = "kto" if kto else "preference"
    if isinstance(kind, dict) or (kind and str(kind).startswith("user_defined")):
        reader.note("refused", f"{here}.type", "it writes a prompt in words of its own; write them as a chat template")
        return shape, {}
    first, _, how = str(kind or "").partition(".")
    if first == "chat_template" and how in ("", "default", "argilla"):
        return shape, _answers(row) if how != "argilla" else {}
    if how == "argilla_chat":
        return shape, {} if not kto else {"messages": "completion"}
    asked = ASKED.get(how, "prompt")
    fields: dict[str, object] = {"prompt": asked if asked != "prompt" else None}
    if how == "argilla" and not kto:
        fields |= {"chosen": "chosen_response", "rejected": "rejected_response"}
    if kind and how not in (*ASKED, ""):
        reader.note("refused", f"{here}.type", f"ftc does not know how {spelled(kind)} reads a row")
    return shape, fields


def _answers(row: Mapping[str, object]) -> dict[str, object]:
    mapped = cast("dict[str, object]", row.get("message_property_mappings", {}))
    named = {
        "prompt": row.get("field_messages", "messages"),
        "chosen": row.get("field_chosen", "chosen"),
        "rejected": row.get("field_rejected", "rejected"),
        "role": mapped.get("role", "role"),
        "content": mapped.get("content", "content"),
    }
    return {ours: theirs for ours, theirs in named.items() if theirs != ours}
