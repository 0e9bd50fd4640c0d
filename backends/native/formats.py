# pyright: basic
# Strict typing stops at JSON, whose shape the checks below find out.
"""What a record of each format means: the columns of `data.format`, brought into one shape.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]
Message = dict[str, Any]


class DataError(Exception):
    """What is wrong with the data, in words for its owner: the file, the line, what to do."""


class FileError(DataError):
    """A file that is missing or cannot be read at all."""


@dataclass(frozen=True, slots=True)
class Row:
    """One example. A conversation has `messages`; raw text has `text`, after a `prompt` that may be empty.

    `chosen` and `rejected`: the two answers to `messages` that are compared. `label`: whether the last turn is a good
    answer. `place` is where it was read, `weight` how often an epoch sees it.
    """

    place: str
    weight: float
    messages: tuple[Message, ...] = ()
    tools: tuple[Record, ...] = ()
    prompt: str = ""
    text: str = ""
    cuttable: bool = False
    chosen: tuple[Message, ...] = ()
    rejected: tuple[Message, ...] = ()
    label: bool | None = None


ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "observation": "tool",
    "function_response": "tool",
}
"""Other tools' words for who speaks."""


def convert(record: Record, place: str, source: Mapping[str, Any], system: str | None, templated: bool) -> Row:
    """One record of a source as a `Row`; `DataError` where it is not what the source's format says."""
    kind, weight = source["format"], source["weight"]
    fields: Record = source["fields"]
    if kind == "text":
        return Row(place, weight, text=_string(record, fields["text"] or "text", place), cuttable=True)
    if kind == "preference":
        return _compared(record, fields, place, weight, system)
    if kind == "kto":
        return _judged(record, fields, place, weight, system)
    if kind == "prompt_completion":
        prompt, answer = fields["prompt"] or "prompt", fields["completion"] or "completion"
        if not templated:
            return Row(place, weight, prompt=_string(record, prompt, place), text=_string(record, answer, place))
        messages = _pair(record, prompt, answer, place)
    elif kind == "alpaca":
        messages = _alpaca(record, fields, place)
    else:
        messages = _conversation(record, fields, kind, place)
    own = _own_system(record, fields, messages)
    return Row(place, weight, tuple(_with_system(messages, own or system)), _tools(record, fields, place))


def _conversation(record: Record, fields: Record, kind: str, place: str) -> list[Message]:
    sharegpt = kind == "sharegpt"
    column = fields["messages"] or ("conversations" if sharegpt else "messages")
    turns = _column(record, column, place)
    turns = parsed(turns, place) if isinstance(turns, str) else turns
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise DataError(f'{place}: "{column}" is no list of turns')
    role = fields["role"] or ("from" if sharegpt else "role")
    content = fields["content"] or ("value" if sharegpt else "content")
    return [_message(turn, role, content, fields["thinking"], place) for turn in turns]


def _message(turn: Record, role: str, content: str, thinking: str | None, place: str) -> Message:
    """A turn in the shape that chat templates read; what else it holds (tool calls) stays."""
    if not isinstance(turn.get(role), str):
        raise DataError(f'{place}: a turn without "{role}"')
    said = turn.get(content)
    if not isinstance(said, str) and not (said is None and turn.get("tool_calls")):
        raise DataError(f'{place}: a turn without text in "{content}"')
    rest = {key: value for key, value in turn.items() if key not in (role, content, thinking) and value is not None}
    reasoning = {"reasoning_content": turn[thinking]} if thinking and turn.get(thinking) else {}
    return {"role": ROLES.get(turn[role], turn[role]), "content": said or "", **reasoning, **rest}


def _pair(record: Record, prompt: str, answer: str, place: str) -> list[Message]:
    """A prompt and its completion: two texts, or two lists of messages."""
    asked, said = _column(record, prompt, place), _column(record, answer, place)
    if isinstance(asked, list) and isinstance(said, list):
        return [_message(turn, "role", "content", None, place) for turn in [*asked, *said]]
    return [_says("user", _string(record, prompt, place)), _says("assistant", _string(record, answer, place))]


def _compared(record: Record, fields: Record, place: str, weight: float, system: str | None) -> Row:
    """Two answers to one prompt; without a prompt, what both conversations begin with is the prompt."""
    good = _turns(_column(record, fields["chosen"] or "chosen", place), "assistant", fields, place)
    bad = _turns(_column(record, fields["rejected"] or "rejected", place), "assistant", fields, place)
    named = fields["prompt"] or "prompt"
    asked = _turns(record[named], "user", fields, place) if record.get(named) else []
    shared = 0
    while not asked and shared < min(len(good), len(bad)) - 1 and good[shared] == bad[shared]:
        shared += 1
    if asked and good[: len(asked)] == asked == bad[: len(asked)]:
        good, bad = good[len(asked) :], bad[len(asked) :]
    prompt = asked or good[:shared]
    if not prompt or not good[shared:] or not bad[shared:]:
        raise DataError(f"{place}: the two answers have no prompt in common")
    messages = _with_system(prompt, _own_system(record, fields, prompt) or system)
    tools = _tools(record, fields, place)
    return Row(place, weight, tuple(messages), tools, chosen=tuple(good[shared:]), rejected=tuple(bad[shared:]))


def _judged(record: Record, fields: Record, place: str, weight: float, system: str | None) -> Row:
    """A prompt, an answer, and whether it is a good one; or a conversation that ends with the answer."""
    label = _column(record, fields["label"] or "label", place)
    if not isinstance(label, bool):
        raise DataError(f'{place}: "{fields["label"] or "label"}" is neither true nor false')
    if (fields["messages"] or "messages") in record:
        messages = _conversation(record, fields, "messages", place)
    else:
        messages = _pair(record, fields["prompt"] or "prompt", fields["completion"] or "completion", place)
    own = _own_system(record, fields, messages)
    messages = _with_system(messages, own or system)
    return Row(place, weight, tuple(messages), _tools(record, fields, place), label=label)


def _turns(said: Any, speaker: str, fields: Record, place: str) -> list[Message]:
    """A text as one turn, or turns as they are."""
    if isinstance(said, str):
        return [_says(speaker, said)]
    turns = [said] if isinstance(said, dict) else said
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise DataError(f"{place}: a side that is neither text nor turns")
    role, content = fields["role"] or "role", fields["content"] or "content"
    return [_message(turn, role, content, fields["thinking"], place) for turn in turns]


def _alpaca(record: Record, fields: Record, place: str) -> list[Message]:
    """The task, on a new line what it is about, and the answer."""
    task = _string(record, fields["instruction"] or "instruction", place)
    about = record.get(fields["input"] or "input") or ""
    answer = _string(record, fields["output"] or "output", place)
    return [_says("user", f"{task}\n{about}" if about else task), _says("assistant", answer)]


def _own_system(record: Record, fields: Record, messages: list[Message]) -> str | None:
    """The row's own system text; None where its messages begin with one already."""
    if messages[0]["role"] == "system":
        return messages[0]["content"]
    return record.get(fields["system"] or "system") or None


def _with_system(messages: list[Message], system: str | None) -> list[Message]:
    if system is None or messages[0]["role"] == "system":
        return messages
    return [_says("system", system), *messages]


def _tools(record: Record, fields: Record, place: str) -> tuple[Record, ...]:
    tools = record.get(fields["tools"] or "tools") or ()
    return tuple(parsed(tools, place) if isinstance(tools, str) else tools)


def _says(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _column(record: Record, name: str, place: str) -> Any:
    if name not in record:
        raise DataError(f'{place}: no column "{name}"; there is {", ".join(map(str, record)) or "nothing"}')
    return record[name]


def _string(record: Record, name: str, place: str) -> str:
    value = _column(record, name, place)
    if not isinstance(value, str):
        raise DataError(f'{place}: "{name}" is no text')
    return value


def parsed(text: str, place: str) -> Any:
    """JSON, or a `DataError` that names the place."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not JSON: {error}") from error
