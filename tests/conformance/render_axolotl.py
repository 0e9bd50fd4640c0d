"""What Axolotl's own templates make of conversations, and which tokens it would train of them in a template of ours.

Run by Axolotl's Python with a file that names tokenizers, templates and conversations, and one to write into. Its own
templates are Jinja, and are rendered by the tokenizer; what it trains it finds itself, in any template.
"""

from __future__ import annotations

import copy
import json
import logging
import sys
from pathlib import Path
from typing import Any

from axolotl.prompt_strategies.chat_template import StrategyLoader
from axolotl.utils.chat_templates import get_chat_template
from axolotl.utils.dict import DictDefault
from rendering import shown_pieces
from transformers import AutoTokenizer

LONGEST = 8192
DATASET = {
    "type": "chat_template",
    "field_messages": "messages",
    "message_property_mappings": {"role": "role", "content": "content"},
    "roles_to_train": ["assistant"],
    "train_on_eos": "turn",
}
"""As ftc writes a data set of conversations (`backends/axolotl/data.py`)."""

Shape = dict[str, Any]


def rendered(item: dict[str, Any], shapes: dict[str, Shape]) -> dict[str, Any]:
    """Every conversation by its name: in its own template, where it has one; trained in the tokenizer's."""
    tokenizer = AutoTokenizer.from_pretrained(item["folder"])
    own = get_chat_template(item["theirs"]) if item["theirs"] else None
    strategy = loaded(tokenizer, item["end"])
    said = {name: {**written(tokenizer, own, shape), **trained(strategy, shape)} for name, shape in shapes.items()}
    return {"added": 0, "shapes": said}


def written(tokenizer: Any, template: str | None, shape: Shape) -> dict[str, Any]:
    if template is None:
        return {}
    try:
        text = tokenizer.apply_chat_template(
            shape["messages"], tools=shape["tools"] or None, chat_template=template, tokenize=False
        )
    except Exception as error:  # a template may raise whatever it likes
        return {"refused": f"{type(error).__name__}: {error}"}
    return {"text": text}


def loaded(tokenizer: Any, end: str | None) -> Any:
    """Its strategy for the tokenizer's template, told what ends a turn as ftc tells it."""
    cfg = DictDefault(
        chat_template="tokenizer_default",
        train_on_inputs=False,
        sequence_len=LONGEST,
        eot_tokens=[end] if end else None,
    )
    return StrategyLoader()(tokenizer, cfg, DATASET)


def trained(strategy: Any, shape: Shape) -> dict[str, Any]:
    """What it trains; nothing where it raises."""
    row = {"messages": copy.deepcopy(shape["messages"]), "tools": copy.deepcopy(shape["tools"]) or None}
    try:
        found = strategy.tokenize_prompt(row)
    except Exception as error:
        return {"trained": None, "why": f"{type(error).__name__}: {error}"}
    return {"trained": shown_pieces(found["input_ids"], found["labels"], strategy.tokenizer)["trained"]}


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    found = {name: rendered(item, asked["shapes"]) for name, item in asked["templates"].items()}
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")
