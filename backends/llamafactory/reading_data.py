"""LLaMA-Factory's data sets, by name through dataset_info.json, and its templates, read as a recipe's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from backends.llamafactory.data import MESSAGES_TAGS, SHAREGPT_TAGS
from backends.llamafactory.templates import OURS, TEMPLATES
from backends.native.formats import ROLES
from backends.reading import Reader, without_nulls
from backends.shapes import sound
from schemas.facts import ModelFacts

Entry = Mapping[str, object]

ENTRY: Final = {
    **dict.fromkeys(("file_name", "hf_hub_url", "formatting", "subset", "split", "num_samples", "ranking"), "str"),
    **dict.fromkeys(("columns.messages", "columns.prompt", "columns.query", "columns.response"), "str"),
    **dict.fromkeys(("columns.system", "columns.tools", "columns.chosen", "columns.rejected"), "str"),
    **dict.fromkeys(("columns.kto_tag", "columns.history", "tags.role_tag", "tags.content_tag"), "str"),
    **dict.fromkeys(("tags.user_tag", "tags.assistant_tag", "tags.system_tag", "tags.observation_tag"), "str"),
}
"""The shapes of an entry of dataset_info.json."""
ALIKE: Final = {"qwen3_nothink": "chatml", "qwen3_5_nothink": "chatml", "gemma2": "gemma"}
"""Templates that write turns of text exactly as another one does (llamafactory/data/template.py, 0.9.5)."""


def listed(value: object) -> list[str]:
    """Names with commas between, or a list of them."""
    items = cast("list[object]", value) if isinstance(value, list) else str(value or "").split(",")
    return [text for item in items if (text := str(item).strip())]


def read_data(reader: Reader, info: Entry | None, facts: ModelFacts | None) -> None:
    """Sources, validation, masking, packing and the template."""
    if not reader.has("dataset"):
        reader.note("refused", "dataset", "there is no dataset, so that nothing is learnt")
        return
    reader.put("data.train", _sources(reader, "dataset", info))
    reader.also("data.train", "dataset_dir", "dataset", "max_samples")
    if reader.has("eval_dataset"):
        reader.put("data.validation", _sources(reader, "eval_dataset", info), "eval_dataset")
    else:
        size = reader.number("val_size", 0.0) or 0
        reader.put("data.validation", (int(size) if size >= 1 else size) or None, "val_size")
    _masking(reader)
    _mixed(reader)
    text = reader.get("stage") == "pt"
    packed = reader.true("neat_packing") or reader.get("packing", text) is True
    reader.put("data.packing", packed and not text, "packing", "neat_packing")
    if packed and not reader.true("neat_packing"):
        reader.note("differs", "packing", "its packed documents see each other; ftc keeps them apart")
    if not text:
        _template(reader, facts)


def _masking(reader: Reader) -> None:
    if reader.true("train_on_prompt"):
        reader.put("data.loss_on", "all", "train_on_prompt", "mask_history")
    elif reader.true("mask_history"):
        reader.put("data.loss_on", "last_assistant", "mask_history", "train_on_prompt")
    else:
        reader.put("data.loss_on", "auto", "train_on_prompt", "mask_history")


def _mixed(reader: Reader) -> None:
    strategy = str(reader.get("mix_strategy", "concat"))
    if strategy != "concat":
        reader.note("refused", "mix_strategy", f"{strategy} draws rows anew until a data set ends; ftc has weights")
    if reader.true("streaming"):
        reader.note("differs", "streaming", "rows are read whole before training begins")


def _template(reader: Reader, facts: ModelFacts | None) -> None:
    """The template: what the base's tokenizer brings where that is written by it, or one of ours."""
    named = reader.get("template")
    if named is None:
        reader.put("model.chat_template", "auto")
        return
    wanted = ALIKE.get(str(named), str(named))
    own = TEMPLATES.get(facts.chat_format or "") if facts else None
    ours = next((name for name, theirs in OURS.items() if theirs.name == wanted), None)
    if own and own.name == wanted:
        reader.put("model.chat_template", "tokenizer", "template")
    elif ours:
        reader.put("model.chat_template", ours, "template")
    elif wanted == "qwen3" and facts and facts.chat_format == "chatml":
        reader.put("model.chat_template", "tokenizer", "template")
        reader.note(
            "differs", "template", "qwen3 writes an empty thought before answers; this base's own template does not"
        )
    elif facts is None or facts.chat_format is None:
        reader.put("model.chat_template", "auto", "template")
        reader.note("differs", "template", f"{named} is read as the template that the base's tokenizer brings")
    else:
        why = f"ftc has no template {named}, and the tokenizer of {facts.name} writes {facts.chat_format}"
        reader.note("refused", "template", why)


# --- data sets by name


def _sources(reader: Reader, key: str, info: Entry | None) -> list[dict[str, object]]:
    return [found for name in listed(reader.get(key)) if (found := _source(reader, key, name, info))]


def _source(reader: Reader, key: str, name: str, info: Entry | None) -> dict[str, object] | None:
    if reader.get("dataset_dir") == "ONLINE":
        return {
            "path": name,
            "local": False,
            **_limit(reader, {}),
            "format": "text" if reader.get("stage") == "pt" else "alpaca",
        }
    if str(reader.get("dataset_dir")).startswith("REMOTE:") and info is None:
        why = f"dataset_info.json is in the hub data set {str(reader.get('dataset_dir'))[7:]}"
        reader.note("refused", key, why, "fetch it, and say where it lies with --dataset-info")
        return None
    entry = info.get(name) if info else None
    if not isinstance(entry, dict):
        what = f"dataset_info.json has no {name}" if info else f"no dataset_info.json says what {name} is"
        reader.note("refused", key, what, "say where it lies with --dataset-info")
        return None
    return _entry(
        reader, key, name, cast("dict[str, object]", without_nulls(sound(cast("dict[str, object]", entry), ENTRY)[0]))
    )


def _entry(reader: Reader, key: str, name: str, entry: Entry) -> dict[str, object] | None:
    columns = cast("dict[str, str]", entry.get("columns", {}))
    if any(kind in columns for kind in ("images", "videos", "audios")):
        reader.note("refused", key, f"{name} has pictures, films or sound: ftc trains on text")
        return None
    path = entry.get("hf_hub_url") or entry.get("file_name")
    if path is None:
        reader.note("refused", key, f"{name} is neither a file nor a data set of the Hugging Face hub")
        return None
    told: dict[str, object] = {"path": path, "local": "hf_hub_url" not in entry}
    told |= {word: entry[word] for word in ("subset", "split") if entry.get(word) not in (None, "train")}
    told |= _limit(reader, entry)
    if entry.get("num_samples"):
        why = f"{name}: num_samples draws rows at random, some twice where there are too few; ftc takes the first"
        reader.note("differs", key, why)
    kind, fields = _shape(reader, key, name, entry, columns)
    return {**told, "format": kind, **({"fields": fields} if fields else {})}


def _limit(reader: Reader, entry: Entry) -> dict[str, object]:
    """The first rows; those that an entry draws at random are the first here."""
    most = [number for number in (reader.number("max_samples"), entry.get("num_samples")) if number]
    return {"limit": int(min(cast("list[float]", most)))} if most else {}


def _shape(
    reader: Reader, key: str, name: str, entry: Entry, columns: Mapping[str, str]
) -> tuple[str, dict[str, object]]:
    """The format of an entry, and its columns by our names."""
    stage, kind = reader.get("stage", "sft"), str(entry.get("formatting", "alpaca"))
    if stage == "pt":
        text = columns.get("prompt", "instruction")
        return "text", {"text": text} if text != "text" else {}
    shared = _shared(columns)
    if kind not in ("alpaca", "sharegpt", "openai"):
        reader.note("refused", key, f"{name} is of the formatting {kind}, which ftc does not know")
    if kind == "alpaca":
        return _alpaca(reader, key, name, entry)
    tags = cast("dict[str, str]", entry.get("tags", {}))
    _speakers(reader, key, name, tags, kind)
    usual = ("from", "value") if kind == "sharegpt" else ("role", "content")
    role, content = tags.get("role_tag", usual[0]), tags.get("content_tag", usual[1])
    messages = columns.get("messages", "conversations" if kind == "sharegpt" or not columns else "messages")
    turns: dict[str, object] = {"messages": messages, "role": role, "content": content}
    if stage in ("dpo", "kto"):
        return _judged(entry, columns, {**shared, **turns}, kto=stage == "kto")
    if (role, content) == ("from", "value"):
        return "sharegpt", {**shared, **({"messages": messages} if messages != "conversations" else {})}
    return "messages", {**shared, **{word: value for word, value in turns.items() if value != word}}


def _shared(columns: Mapping[str, str]) -> dict[str, object]:
    """Columns that any format may have; that of tools is always named."""
    system = {"system": columns["system"]} if columns.get("system", "system") != "system" else {}
    return {**system, **({"tools": columns["tools"]} if "tools" in columns else {})}


def _alpaca(reader: Reader, key: str, name: str, entry: Entry) -> tuple[str, dict[str, object]]:
    columns = cast("dict[str, str]", entry.get("columns", {}))
    shared = _shared(columns)
    words = {"instruction": "prompt", "input": "query", "output": "response"}
    usual = {"instruction": "instruction", "input": "input", "output": "output"}
    if "history" in columns:
        reader.note("lost", key, f"{name}: earlier turns in {columns['history']} are not read")
    if entry.get("ranking"):
        named = {"prompt": columns.get("prompt", "instruction"), "chosen": "chosen", "rejected": "rejected"}
        named |= {word: columns[word] for word in ("chosen", "rejected") if word in columns}
        return "preference", {**shared, **{word: value for word, value in named.items() if value != word}}
    if "kto_tag" in columns:
        named = {"prompt": columns.get("prompt", "instruction"), "completion": columns.get("response", "output")}
        return "kto", {**shared, **named, **_label(columns)}
    # A block of columns that leaves the input out has none.
    if columns and "query" not in columns:
        named = {"prompt": columns.get("prompt", "instruction"), "completion": columns.get("response", "output")}
        return "prompt_completion", {**shared, **{word: value for word, value in named.items() if value != word}}
    found = {ours: columns.get(theirs, usual[ours]) for ours, theirs in words.items()}
    return "alpaca", {**shared, **{word: value for word, value in found.items() if value != word}}


def _label(columns: Mapping[str, str]) -> dict[str, object]:
    return {"label": columns["kto_tag"]} if columns.get("kto_tag", "label") != "label" else {}


def _judged(
    entry: Entry, columns: Mapping[str, str], turns: dict[str, object], *, kto: bool
) -> tuple[str, dict[str, object]]:
    del entry
    if kto:
        return "kto", {**{word: value for word, value in turns.items() if value != word}, **_label(columns)}
    named = {"prompt": turns.pop("messages"), "chosen": columns.get("chosen", "chosen")}
    named["rejected"] = columns.get("rejected", "rejected")
    return "preference", {word: value for word, value in {**turns, **named}.items() if value != word}


def _speakers(reader: Reader, key: str, name: str, tags: Mapping[str, str], kind: str) -> None:
    """Words for who speaks that ftc does not read so."""
    usual = SHAREGPT_TAGS if kind == "sharegpt" else MESSAGES_TAGS
    roles = {"user_tag": "user", "assistant_tag": "assistant", "observation_tag": "tool", "system_tag": "system"}
    for tag, ours in roles.items():
        word = tags.get(tag, usual[tag])
        if ROLES.get(word, word) != ours:
            reader.note("refused", key, f'{name}: "{word}" is not read as {ours}', "rename it in the rows")
