# pyright: basic
# Strict typing stops at JSON, whose shape the checks below find out.
"""What a record of each format means: the columns of `data.format`, brought into one shape.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isnan
from typing import Any

from backends.native.findings import Place, RowError
from backends.native.readers import Record, parsed

Message = dict[str, Any]
Where = Place | str


@dataclass(frozen=True, slots=True)
class Row:
    """One example. A conversation has `messages`; raw text has `text`, after a `prompt` that may be empty.

    `chosen` and `rejected`: the two answers to `messages` that are compared. `label`: whether the last turn is a good
    answer. `place` is where it was read, `weight` how often an epoch sees it. `answers`: how many of the last messages
    are the answer that is judged; 0 where the recipe says which are trained.
    """

    place: Where
    weight: float
    messages: tuple[Message, ...] = ()
    tools: tuple[Record, ...] = ()
    prompt: str = ""
    text: str = ""
    cuttable: bool = False
    chosen: tuple[Message, ...] = ()
    rejected: tuple[Message, ...] = ()
    label: bool | None = None
    answers: int = 0

    def each(self) -> tuple[Row, ...]:
        """What is rendered of it: itself, or where answers are compared the prompt with each of them."""
        if self.chosen:
            both = (self.chosen, self.rejected)
            return tuple(replace(self, messages=(*self.messages, *said), answers=len(said)) for said in both)
        return (self,) if self.label is None else (replace(self, answers=1),)


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


def convert(record: Record, place: Where, source: Mapping[str, Any], system: str | None, templated: bool) -> Row:
    """One record of a source as a `Row`; `RowError` where it is not what the source's format says."""
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
    own = _own_system(record, fields, messages, place)
    return Row(place, weight, tuple(_with_system(messages, own or system)), _tools(record, fields, place))


def _conversation(record: Record, fields: Record, kind: str, place: Where) -> list[Message]:
    sharegpt = kind == "sharegpt"
    column = fields["messages"] or ("conversations" if sharegpt else "messages")
    turns = _column(record, column, place)
    turns = parsed(turns, place, column) if isinstance(turns, str) else turns
    if not _are_turns(turns):
        raise RowError("FTC514", place, f'"{column}" is no list of turns: {_what(turns)}')
    if not turns:
        raise RowError("FTC517", place, f'"{column}" has no turns')
    role = fields["role"] or ("from" if sharegpt else "role")
    content = fields["content"] or ("value" if sharegpt else "content")
    return [_message(turn, role, content, fields["thinking"], place) for turn in turns]


def _are_turns(said: Any) -> bool:
    return isinstance(said, list) and all(isinstance(turn, dict) for turn in said)


def _what(said: Any) -> str:
    """What stands there where turns should."""
    other = next((item for item in said if not isinstance(item, dict)), None) if isinstance(said, list) else None
    return f"a list with {_kind(other)} in it" if isinstance(said, list) else _kind(said)


def _message(turn: Record, role: str, content: str, thinking: str | None, place: Where) -> Message:
    """A turn in the shape that chat templates read; what else it holds (tool calls) stays."""
    speaker, said = turn.get(role), turn.get(content)
    if not isinstance(speaker, str):
        raise RowError("FTC515", place, f'a turn without "{role}"{_instead(turn, role)}')
    if turn.get("tool_calls") is not None:
        _check_calls(turn["tool_calls"], place)
    if not isinstance(said, str) and not (said is None and turn.get("tool_calls")):
        raise RowError("FTC516", place, f'a turn of {speaker} without text in "{content}"{_instead(turn, content)}')
    reasoning = _reasoning(turn, thinking, place)
    # Where our own keys are called otherwise, what is called as they are says something else.
    taken = (role, content, thinking, "role", "content", *reasoning)
    rest = {key: value for key, value in turn.items() if key not in taken and value is not None}
    ours = {"role": _sound(ROLES.get(speaker, speaker), place), "content": _sound(said or "", place)}
    return {**ours, **reasoning, **_all_sound(rest, place)}


def _instead(turn: Record, key: str) -> str:
    """What stands there instead of a text."""
    return f": {_kind(turn[key])}" if key in turn else f"; it has {', '.join(map(str, turn)) or 'nothing'}"


def _reasoning(turn: Record, thinking: str | None, place: Where) -> Record:
    """What is thought before the answer, where the recipe says how it is called."""
    thought = turn.get(thinking) if thinking else None
    if thought is not None and not isinstance(thought, str):
        raise RowError("FTC516", place, f'a turn whose "{thinking}" is no text: {_kind(thought)}')
    return {"reasoning_content": _sound(thought, place)} if thought else {}


def _check_calls(calls: Any, place: Where) -> None:
    """Calls of functions, each with a name: as chat templates read them."""
    for call in calls if isinstance(calls, list) else [None]:
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise RowError("FTC519", place, '"tool_calls" is no list of {"function": {"name": …, "arguments": …}}')


def _pair(record: Record, prompt: str, answer: str, place: Where) -> list[Message]:
    """A prompt and its completion: two texts, or two lists of messages."""
    asked, said = _column(record, prompt, place), _column(record, answer, place)
    if isinstance(asked, list) and isinstance(said, list):
        turns = [*asked, *said]
        if not asked or not said or not all(isinstance(turn, dict) for turn in turns):
            raise RowError("FTC514", place, f'"{prompt}" or "{answer}" is no list of turns')
        return [_message(turn, "role", "content", None, place) for turn in turns]
    return [_says("user", _string(record, prompt, place)), _says("assistant", _string(record, answer, place))]


def _compared(record: Record, fields: Record, place: Where, weight: float, system: str | None) -> Row:
    """Two answers to one prompt; without a prompt, what both conversations begin with is the prompt."""
    good = _turns(record, fields["chosen"] or "chosen", "assistant", fields, place)
    bad = _turns(record, fields["rejected"] or "rejected", "assistant", fields, place)
    if good == bad:
        raise RowError("FTC521", place, "the chosen answer and the rejected one are the same")
    named = fields["prompt"] or "prompt"
    asked = _turns(record, named, "user", fields, place) if record.get(named) else []
    shared = 0
    while not asked and shared < min(len(good), len(bad)) - 1 and good[shared] == bad[shared]:
        shared += 1
    if asked and good[: len(asked)] == asked == bad[: len(asked)]:
        good, bad = good[len(asked) :], bad[len(asked) :]
    prompt = asked or good[:shared]
    if not prompt or not good[shared:] or not bad[shared:]:
        raise RowError("FTC520", place, "the two answers have no prompt in common")
    messages = _with_system(prompt, _own_system(record, fields, prompt, place) or system)
    tools = _tools(record, fields, place)
    return Row(place, weight, tuple(messages), tools, chosen=tuple(good[shared:]), rejected=tuple(bad[shared:]))


def _judged(record: Record, fields: Record, place: Where, weight: float, system: str | None) -> Row:
    """A prompt, an answer, and whether it is a good one; or a conversation that ends with the answer."""
    label = _column(record, fields["label"] or "label", place)
    # A table holds nothing but texts.
    label = {"true": True, "false": False}.get(label.lower(), label) if _is_cell(label, place) else label
    if not isinstance(label, bool):
        raise RowError("FTC522", place, f'"{fields["label"] or "label"}" is neither true nor false: {_kind(label)}')
    if (fields["messages"] or "messages") in record:
        messages = _conversation(record, fields, "messages", place)
    else:
        messages = _pair(record, fields["prompt"] or "prompt", fields["completion"] or "completion", place)
    own = _own_system(record, fields, messages, place)
    messages = _with_system(messages, own or system)
    return Row(place, weight, tuple(messages), _tools(record, fields, place), label=label)


def _is_cell(value: Any, place: Where) -> bool:
    return isinstance(value, str) and isinstance(place, Place) and ".csv" in place.file[-8:].lower()


def _turns(record: Record, column: str, speaker: str, fields: Record, place: Where) -> list[Message]:
    """A text as one turn, or turns as they are."""
    said = _column(record, column, place)
    if isinstance(said, str):
        return [_says(speaker, _sound(said, place))]
    turns = [said] if isinstance(said, dict) else said
    if not _are_turns(turns):
        raise RowError("FTC514", place, f'"{column}" is neither text nor turns: {_what(said)}')
    if not turns:
        raise RowError("FTC517", place, f'"{column}" has no turns')
    role, content = fields["role"] or "role", fields["content"] or "content"
    return [_message(turn, role, content, fields["thinking"], place) for turn in turns]


def _alpaca(record: Record, fields: Record, place: Where) -> list[Message]:
    """The task, on a new line what it is about, and the answer."""
    task = _string(record, fields["instruction"] or "instruction", place)
    about = _optional(record, fields["input"] or "input", place)
    answer = _string(record, fields["output"] or "output", place)
    return [_says("user", f"{task}\n{about}" if about else task), _says("assistant", answer)]


def _own_system(record: Record, fields: Record, messages: list[Message], place: Where) -> str | None:
    """The row's own system text; None where its messages begin with one already."""
    if messages[0]["role"] == "system":
        return messages[0]["content"]
    return _optional(record, fields["system"] or "system", place)


def _with_system(messages: list[Message], system: str | None) -> list[Message]:
    if system is None or messages[0]["role"] == "system":
        return messages
    return [_says("system", system), *messages]


def _tools(record: Record, fields: Record, place: Where) -> tuple[Record, ...]:
    tools = record.get(fields["tools"] or "tools") or ()
    tools = parsed(tools, place, fields["tools"] or "tools") if isinstance(tools, str) else tools
    if not isinstance(tools, list | tuple) or not all(isinstance(tool, dict) for tool in tools):
        raise RowError("FTC519", place, f'"{fields["tools"] or "tools"}" is no list of tool definitions')
    return tuple(_all_sound(tool, place) for tool in tools)


def _sound(text: str, place: Where) -> str:
    """A text that can be written as UTF-8."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise RowError("FTC512", place, "a text holds half of a surrogate pair, as of a broken emoji") from None
    return text


def _all_sound(value: Any, place: Where) -> Any:
    """The value, in which every text can be written as UTF-8."""
    if isinstance(value, str):
        return _sound(value, place)
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        _all_sound(key, place)
        _all_sound(item, place)
    return value


def _says(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _column(record: Record, name: str, place: Where) -> Any:
    if name not in record:
        there = ", ".join(map(str, record)) or "nothing"
        raise RowError("FTC513", place, f'no column "{name}"; there is {there}')
    return record[name]


def _string(record: Record, name: str, place: Where) -> str:
    value = _column(record, name, place)
    if not isinstance(value, str):
        raise RowError("FTC514", place, f'"{name}" is no text: {_kind(value)}')
    return _sound(value, place)


def _optional(record: Record, name: str, place: Where) -> str | None:
    """A text that need not be there."""
    value = record.get(name)
    if value is not None and not isinstance(value, str):
        raise RowError("FTC514", place, f'"{name}" is no text: {_kind(value)}')
    return _sound(value, place) if value else None


def _kind(value: Any) -> str:
    """What a value is, in JSON's words."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "true or false"
    if isinstance(value, float) and isnan(value):
        return "NaN, which is no JSON"
    words = {int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    return words.get(type(value), type(value).__name__)
