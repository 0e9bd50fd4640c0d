"""The name of a chat template, from its text: each family marks turns in a way of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, cast

CUSTOM: Final = "custom"
"""A template that none of the known families wrote; the tokenizer renders it, no other tool has a name for it."""

MARKERS: Final = (
    ("gpt-oss", ("<|channel|>", "<|start|>")),
    ("llama4", ("<|header_start|>",)),
    ("llama3", ("<|start_header_id|>",)),
    ("gemma4", ("<|turn>",)),
    ("gemma3", ("<start_of_turn>", "first_user_prefix")),
    ("gemma", ("<start_of_turn>",)),
    ("phi4", ("<|im_start|>", "<|im_sep|>")),
    ("qwen2.5", ("<|im_start|>", "created by Alibaba Cloud")),
    ("qwen3.5", ("<|im_start|>", "<function=", "<|vision_start|>")),
    ("qwen3", ("<|im_start|>", "<think>", "<tool_call>")),
    ("smollm2", ("<|im_start|>", "named SmolLM")),
    ("qwen2", ("<|im_start|>", "You are a helpful assistant")),
    ("chatml", ("<|im_start|>", "<|im_end|>")),
    ("glm4", ("[gMASK]",)),
    ("phi4-mini", ("<|end|>", "<|tool|>")),
    ("phi3", ("<|user|>", "<|end|>")),
    ("zephyr", ("<|user|>", "eos_token")),
    ("mistral-small", ("[INST]", "[SYSTEM_PROMPT]")),
    ("llama2", ("[INST]", "<<SYS>>")),
    ("mistral", ("[INST]",)),
    ("deepseek3", ("<\uff5cUser\uff5c>",)),
    ("deepseek", ("User: ", "Assistant: ")),
)
"""Names and what must stand in the template; the first that matches, so the more particular come first."""

FILES: Final = ("chat_template.jinja", "tokenizer_config.json")


def chat_format(template: str | None) -> str | None:
    """The name of the family that a template renders for, `custom` for an unknown one, None for none."""
    if not template:
        return None
    fits = (name for name, marks in MARKERS if all(mark in template for mark in marks))
    return next(fits, CUSTOM)


def template_of_tokenizer(text: str) -> str | None:
    """The chat template in a tokenizer_config.json; the default one where it has several; None where it has none."""
    try:
        config: object = json.loads(text)
    except ValueError:
        return None
    template = cast("dict[str, object]", config).get("chat_template") if isinstance(config, dict) else None
    if isinstance(template, list):
        named = [cast("dict[str, object]", each) for each in cast("list[object]", template) if isinstance(each, dict)]
        by_name = {each.get("name"): each.get("template") for each in named}
        template = by_name.get("default") or next(iter(by_name.values()), None)
    return template if isinstance(template, str) else None


def folder_has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a file that a chat template would stand in."""
    return any((folder / name).is_file() for name in FILES)


def chat_format_of_folder(folder: Path) -> str | None:
    """The chat format of a checkpoint's folder, None where it has no template."""
    template, tokenizer = (folder / name for name in FILES)
    if template.is_file():
        return chat_format(template.read_text(encoding="utf-8", errors="replace"))
    if tokenizer.is_file():
        return chat_format(template_of_tokenizer(tokenizer.read_text(encoding="utf-8", errors="replace")))
    return None
