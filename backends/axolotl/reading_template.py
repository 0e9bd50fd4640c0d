"""Axolotl's chat templates read as a recipe's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from backends.alike import CHAT_TEMPLATES
from backends.reading import Reader

TEMPLATES: Final = {"alpaca": "alpaca", "chatml": "chatml", "gemma": "gemma", "llama3": "llama3"}
"""Axolotl's chat templates that ftc has under a name."""


OWN: Final = {
    "qwen_25": "qwen-?2",
    "qwen3": "qwen-?3",
    "qwen3_5": "qwen-?3.5",
    "gemma3": "gemma-?3",
    "gemma4": "gemma-?4",
    "llama4": "llama-?4",
    "phi_3": "phi-?3",
    "phi_35": "phi-?3.5",
    "mistral_v1": "mi[sx]tral",
    "mistral_v2v3": "mi[sx]tral",
    "mistral_v3_tekken": "mistral",
    "mistral_v7_tekken": "mistral",
    "deepseek_v2": "deepseek",
    "deepseek_v3": "deepseek",
    "falcon_h1": "falcon-?h1",
    "nemotron_h": "nemotron",
    "jamba": "jamba",
    "cohere": "c4ai|command",
    "command_a": "command-a",
    "exaone": "exaone",
    "exaone4": "exaone-?4",
    "aya": "aya",
}
"""Axolotl's copy of a model's own template → what the names of such models have in them."""


def read_template(reader: Reader, rows: list[Mapping[str, object]]) -> None:
    """The chat template: of the whole config, or of its first data set."""
    key = "chat_template" if reader.has("chat_template") else "datasets[0].chat_template"
    named = reader.get("chat_template") or (rows[0].get("chat_template") if rows else None)
    jinja = reader.get("chat_template_jinja") or (rows[0].get("chat_template_jinja") if rows else None)
    words = _worded(rows)
    if words and named is None:
        reader.put("model.chat_template", words, "datasets[0].type")
    elif named in (None, "tokenizer_default") and not jinja:
        reader.put("model.chat_template", "auto", key)
    elif named == "jinja" or jinja:
        _jinja(reader, str(jinja), key)
    else:
        _named(reader, str(named), key)


def _worded(rows: list[Mapping[str, object]]) -> str | None:
    """The template that the words of a data set's type stand for."""
    kind = str(rows[0].get("type")) if rows else ""
    if kind == "alpaca":
        return "alpaca"
    first = kind.partition(".")[0]
    told = rows[0].get("conversation") if rows and kind.startswith("sharegpt") else None
    return first if first in ("chatml", "llama3", "zephyr") else str(told) if told in TEMPLATES else None


def _named(reader: Reader, named: str, key: str) -> None:
    named = named.removeprefix("tokenizer_default_fallback_") if named.startswith("tokenizer_default_") else named
    base = str(reader.get("base_model"))
    if named in TEMPLATES:
        reader.put("model.chat_template", TEMPLATES[named], key)
    elif re.search(OWN.get(named, "$^"), base, re.IGNORECASE):
        reader.put("model.chat_template", "tokenizer", key)
        why = f"Axolotl's own {named} is read as the template that the tokenizer brings, which may differ in details"
        reader.note("differs", key, why)
    else:
        hint = "write the template into a .jinja file, and name it in chat_template_jinja"
        reader.note("refused", key, f"ftc has no chat template {named}, and {base} is not known to bring it", hint)


def _jinja(reader: Reader, text: str, key: str) -> None:
    """A template by its text: one of ours, or a file that stands beside the recipe."""
    ours = next((file.stem for file in CHAT_TEMPLATES.glob("*.jinja") if file.read_text("utf-8") == text), None)
    keys = (key, "chat_template", "chat_template_jinja", "datasets[0].chat_template_jinja")
    if ours:
        reader.put("model.chat_template", ours, *keys)
    elif text.endswith(".jinja"):
        reader.put("model.chat_template", text, *keys)
    else:
        reader.files["chat_template.jinja"] = text
        reader.put("model.chat_template", "./chat_template.jinja", *keys)
