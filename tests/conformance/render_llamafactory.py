"""What LLaMA-Factory's own templates make of conversations: token ids, and which of them it would train.

Run by LLaMA-Factory's Python with a file that names tokenizers, templates and conversations, and one to write into.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from llamafactory.data.data_utils import Role
from llamafactory.data.processor import SupervisedDatasetProcessor
from llamafactory.data.template import get_template_and_fix_tokenizer
from llamafactory.hparams import DataArguments
from rendering import shown_pieces
from transformers import AutoTokenizer

ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "tool": Role.OBSERVATION, "system": Role.SYSTEM}
LONGEST = 8192
Messages = list[dict[str, Any]]


def rendered(folder: str, template: str, shapes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Every conversation by its name; the tokens that the template adds to the tokenizer, if any."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    args, known = DataArguments(template=template, cutoff_len=LONGEST), len(tokenizer)
    processor = SupervisedDatasetProcessor(get_template_and_fix_tokenizer(tokenizer, args), tokenizer, None, args)
    said = {name: one(processor, shape["messages"], shape["tools"]) for name, shape in shapes.items()}
    return {"added": len(tokenizer) - known, "shapes": said}


def one(processor: SupervisedDatasetProcessor, messages: Messages, tools: Messages) -> dict[str, Any]:
    """One conversation, as it takes it from a file: the system text apart, and question and answer in turns."""
    opened = messages[0]["role"] == "system"
    turns = [turn(message) for message in (messages[1:] if opened else messages)]
    if len(turns) % 2:
        return {"refused": "rows whose turns are not in pairs are left out"}
    system, told = messages[0]["content"] if opened else "", json.dumps(tools) if tools else ""
    try:
        ids, labels = processor._encode_data_example(turns[:-1], turns[-1:], system, told, [], [], [])
    except Exception as error:
        return {"refused": f"{type(error).__name__}: {error}"}
    return shown_pieces(ids, labels, processor.tokenizer)


def turn(message: dict[str, Any]) -> dict[str, str]:
    """A turn in its words; calls of tools are a turn of their own role, and JSON."""
    if calls := message.get("tool_calls"):
        return {"role": Role.FUNCTION.value, "content": json.dumps([call["function"] for call in calls])}
    return {"role": ROLES[message["role"]].value, "content": message["content"]}


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    found = {
        name: rendered(item["folder"], item["theirs"], asked["shapes"]) for name, item in asked["templates"].items()
    }
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")
