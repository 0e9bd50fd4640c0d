# pyright: basic
# Strict typing stops at JSON, whose shape the row's reader has found out.
"""What providers ask of a conversation alike: who speaks, that something is said, and who has the last word."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from backends.native.findings import RowError
from backends.native.formats import Message, Row

ROLE = "FTC440"
EMPTY = "FTC441"
LAST = "FTC442"
ORDER = "FTC443"
CALLS = "FTC444"
EXTRA = "FTC447"
ANSWER = "FTC449"


def unknown(row: Row, turns: Iterable[Message], roles: tuple[str, ...], title: str) -> RowError | None:
    """A speaker that the provider does not know."""
    role = next((turn["role"] for turn in turns if turn["role"] not in roles), None)
    if role is None:
        return None
    hint = '; write "system"' if role == "developer" else ""
    return RowError(ROLE, row.place, f'a turn of "{role}", and {title} knows {", ".join(roles)} alone{hint}')


def empty(row: Row, turns: Iterable[Message]) -> RowError | None:
    """A turn in which nothing is said and nothing called."""
    role = next((turn["role"] for turn in turns if not turn["content"].strip() and not turn.get("tool_calls")), None)
    return RowError(EMPTY, row.place, f"an empty turn of {role}, which the provider refuses") if role else None


def unanswered(row: Row, turns: tuple[Message, ...]) -> RowError | None:
    """A conversation that does not end with the answer to learn."""
    if turns and turns[-1]["role"] == "assistant":
        return None
    if all(turn["role"] != "assistant" for turn in turns):
        return RowError(LAST, row.place, "no turn of assistant: there is nothing to learn")
    return RowError(
        LAST, row.place, f"it ends with a turn of {turns[-1]['role']}; the last turn must be the assistant's"
    )


def extra(row: Row, turns: Iterable[Message], known: frozenset[str], title: str) -> RowError | None:
    """A key of a turn that the provider does not take."""
    named = next(((turn["role"], key) for turn in turns for key in turn if key not in known), None)
    if named is None:
        return None
    what = "what is thought before the answer" if named[1] == "reasoning_content" else f'"{named[1]}"'
    return RowError(EXTRA, row.place, f"a turn of {named[0]} has {what}, which {title} does not take")


NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def bad_calls(row: Row, turns: tuple[Message, ...]) -> RowError | None:
    """Calls of tools in another shape than the chat format of OpenAI has, and answers that answer no call."""
    made: set[str] = set()
    for turn in turns:
        for call in turn.get("tool_calls") or ():
            if why := _bad_call(call):
                return RowError(CALLS, row.place, f"a call of a tool {why}")
            made.add(call["id"])
        answers = turn.get("tool_call_id")
        if turn["role"] == "tool" and not (isinstance(answers, str) and answers in made):
            return RowError(CALLS, row.place, 'a turn of tool whose "tool_call_id" names no call before it')
    return None


def _bad_call(call: dict[str, Any]) -> str | None:
    if not isinstance(call.get("id"), str) or not call["id"]:
        return 'has no "id"'
    if call.get("type") != "function":
        return 'has no "type": "function"'
    function = call.get("function")
    if not isinstance(function, dict) or not NAME.fullmatch(str(function.get("name"))):
        return 'has no "function" with a "name" of letters, digits, _ and -'
    if not isinstance(function.get("arguments"), str):
        return 'has "arguments" that are no text of JSON'
    return None


def bad_tools(row: Row) -> RowError | None:
    """Definitions of tools in another shape than the chat format of OpenAI has."""
    for tool in row.tools:
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, dict):
            return RowError(CALLS, row.place, 'a tool that is no {"type": "function", "function": {"name": …}}')
        if not isinstance(function.get("name"), str) or not NAME.fullmatch(function["name"]):
            return RowError(CALLS, row.place, 'a tool whose "name" is not of letters, digits, _ and -')
    defined = {tool["function"]["name"] for tool in row.tools}
    turns = (*row.messages, *row.chosen, *row.rejected)
    called = [call["function"]["name"] for turn in turns for call in turn.get("tool_calls") or ()]
    missing = next((name for name in called if name not in defined), None)
    if missing is not None:
        return RowError(CALLS, row.place, f'a call of "{missing}", which "tools" does not define')
    return None
