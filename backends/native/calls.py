"""Calls of tools in the turns of a conversation, for templates.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from backends.native.formats import Message

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "ftctool",
        "description": "A tool.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "A city."}}},
    },
}
THOUGHT = "ftcthought"
"""A tool and a thought that no text has, to see whether a template writes them."""


def with_objects(messages: Sequence[Message]) -> Sequence[Message]:
    """Messages in which the arguments of calls are objects: most templates write them as JSON, and OpenAI's format has
    them as JSON already, which would be written twice."""
    if not any("tool_calls" in turn for turn in messages):
        return messages
    return [
        {**turn, "tool_calls": [_with_object(call) for call in turn["tool_calls"]]} if turn.get("tool_calls") else turn
        for turn in messages
    ]


def _with_object(call: Any) -> Any:
    function: Any = call.get("function", call)
    try:
        arguments: Any = json.loads(function.get("arguments"))
    except (TypeError, ValueError):
        return call
    if not isinstance(arguments, dict):
        return call
    said: dict[str, Any] = {**function, "arguments": cast("dict[str, Any]", arguments)}
    return {**call, "function": said} if "function" in call else said


def uncalled(turn: Message) -> Message:
    """A turn without its calls."""
    return {key: value for key, value in turn.items() if key != "tool_calls"}
