# pyright: basic
# Strict typing stops at JSON, whose shape the checks below find out.
"""What a record of each format means: the columns of `data.format`, brought into one shape.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from backends.native.findings import Place, RowError
from backends.native.readers import Record, parsed
from backends.native.tables import all_sound, cell, check_calls, definitions, kind_of, no_turns, optional, sound, string

Message = dict[str, Any]
Turns = list[Message]
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
FIRST = ("system", "developer")
"""Speakers who tell the model what it is, before anything is asked."""
FLAGS = frozenset(("weight", "train", "training", "loss"))
"""What other tools call a turn's own word on whether it is trained."""


def convert(record: Record, place: Where, source: Mapping[str, Any], system: str | None, templated: bool) -> Row:
    """One record of a source as a `Row`; `RowError` where it is not what the source's format says."""
    kind, weight = source["format"], source["weight"]
    fields: Record = source["fields"]
    if kind == "text":
        return Row(place, weight, text=string(record, fields["text"] or "text", place), cuttable=True)
    if kind == "preference":
        return _compared(record, fields, place, weight, system)
    if kind == "kto":
        return _judged(record, fields, place, weight, system)
    if kind == "prompt_completion":
        prompt, answer = fields["prompt"] or "prompt", fields["completion"] or "completion"
        if not templated:
            return Row(place, weight, prompt=string(record, prompt, place), text=string(record, answer, place))
        messages = _pair(record, prompt, answer, place)
    elif kind == "alpaca":
        messages = _alpaca(record, fields, place)
    else:
        messages = _conversation(record, fields, kind, place)
    own = _own_system(record, fields, messages, place)
    # Of a prompt and its completion the last turn alone is trained.
    messages = _trained(messages, place, 0 if kind in ("messages", "sharegpt") else len(messages) - 1)
    return Row(place, weight, tuple(_with_system(messages, own or system)), definitions(record, fields, place))


def _conversation(record: Record, fields: Record, kind: str, place: Where) -> Turns:
    sharegpt = kind == "sharegpt"
    column = fields["messages"] or ("conversations" if sharegpt else "messages")
    turns = cell(record, column, place)
    turns = parsed(turns, place, column) if isinstance(turns, str) else turns
    if other := no_turns(turns):
        raise RowError("FTC514", place, f'"{column}" is no list of turns: {other}')
    if not turns:
        raise RowError("FTC517", place, f'"{column}" has no turns')
    role = fields["role"] or ("from" if sharegpt else "role")
    content = fields["content"] or ("value" if sharegpt else "content")
    return [_message(turn, role, content, fields["thinking"], place) for turn in turns]


def _message(turn: Record, role: str, content: str, thinking: str | None, place: Where) -> Message:
    """A turn in the shape that chat templates read; what else it holds (tool calls) stays."""
    speaker, said = turn.get(role), turn.get(content)
    if not isinstance(speaker, str):
        raise RowError("FTC515", place, f'a turn without "{role}"{_instead(turn, role)}')
    if turn.get("tool_calls") is not None:
        check_calls(turn["tool_calls"], place)
    if not isinstance(said, str) and not (said is None and turn.get("tool_calls")):
        raise RowError("FTC516", place, f'a turn of {speaker} without text in "{content}"{_instead(turn, content)}')
    reasoning = _reasoning(turn, thinking, place)
    # Where our own keys are called otherwise, what is called as they are says something else.
    taken = (role, content, thinking, "role", "content", *reasoning)
    rest = {key: value for key, value in turn.items() if key not in taken and value is not None}
    ours = {"role": sound(ROLES.get(speaker, speaker), place), "content": sound(said or "", place)}
    return {**ours, **reasoning, **all_sound(rest, place)}


def _trained(turns: Turns, place: Where, first: int = 0) -> Turns:
    """Turns without their own word on whether they are trained; `RowError` where an answer from `first` on says that it
    is not: the recipe alone decides that, so it would be trained all the same."""
    if all(FLAGS.isdisjoint(turn) for turn in turns):
        return turns
    for turn in turns[first:]:
        flag = next((key for key in turn if turn["role"] == "assistant" and _denies(key, turn[key])), None)
        if flag:
            what = f'a turn of assistant says "{flag}": {json.dumps(turn[flag])}, which ftc does not go by'
            raise RowError("FTC529", place, f"{what}; leave it out and let loss_on decide, or split the conversation")
    return [{key: said for key, said in turn.items() if not _is_flag(key, said)} for turn in turns]


def _is_flag(key: str, said: Any) -> bool:
    return key in FLAGS and isinstance(said, bool | int | float)


def _denies(key: str, said: Any) -> bool:
    """Whether it asks for less than all of the turn."""
    return _is_flag(key, said) and (said != 1 if key == "weight" else not said)


def _instead(turn: Record, key: str) -> str:
    """What stands there instead of a text."""
    return f": {kind_of(turn[key])}" if key in turn else f"; it has {', '.join(map(str, turn)) or 'nothing'}"


def _reasoning(turn: Record, thinking: str | None, place: Where) -> Record:
    """What is thought before the answer, where the recipe says how it is called."""
    thought = turn.get(thinking) if thinking else None
    if thought is not None and not isinstance(thought, str):
        raise RowError("FTC516", place, f'a turn whose "{thinking}" is no text: {kind_of(thought)}')
    return {"reasoning_content": sound(thought, place)} if thought else {}


def _pair(record: Record, prompt: str, answer: str, place: Where) -> Turns:
    """A prompt and its completion: two texts, or two lists of messages."""
    asked, said = cell(record, prompt, place), cell(record, answer, place)
    if isinstance(asked, list) and isinstance(said, list):
        turns = [*asked, *said]
        if not asked or not said or not all(isinstance(turn, dict) for turn in turns):
            raise RowError("FTC514", place, f'"{prompt}" or "{answer}" is no list of turns')
        return [_message(turn, "role", "content", None, place) for turn in turns]
    return [_says("user", string(record, prompt, place)), _says("assistant", string(record, answer, place))]


def _compared(record: Record, fields: Record, place: Where, weight: float, system: str | None) -> Row:
    """Two answers to one prompt; without a prompt, what both conversations begin with is the prompt."""
    good = _turns(record, fields["chosen"] or "chosen", "assistant", fields, place)
    bad = _turns(record, fields["rejected"] or "rejected", "assistant", fields, place)
    named = fields["prompt"] or "prompt"
    asked = _turns(record, named, "user", fields, place) if record.get(named) else []
    prompt, good, bad = _parted(asked, good, bad, place)
    own = _own_system(record, fields, prompt, place)
    messages = _with_system(_trained(prompt, place, len(prompt)), own or system)
    good, bad = _trained(good, place), _trained(bad, place)
    if good == bad:
        raise RowError("FTC521", place, "the chosen answer and the rejected one are the same")
    tools = definitions(record, fields, place)
    return Row(place, weight, tuple(messages), tools, chosen=tuple(good), rejected=tuple(bad))


def _parted(asked: Turns, good: Turns, bad: Turns, place: Where) -> tuple[Turns, Turns, Turns]:
    """The prompt and the two answers to it, whether these come with the prompt or without it."""
    shared = 0 if asked else _shared(good, bad)
    at, other = (_start(said, asked, place) if asked else shared for said in (good, bad))
    told = [turns for turns in (good[:at], bad[:other], asked) if turns]
    systems = [turns[0] for turns in told if turns[0]["role"] in FIRST]
    if not told or not all(_alike(systems[:1], [turn]) for turn in systems):
        raise RowError("FTC520", place, "the two answers have no prompt in common")
    if at and other and not _alike(_spoken(good[:at]), _spoken(bad[:other])):
        raise RowError("FTC520", place, "the two answers end different conversations")
    return [*systems[:1], *_spoken(told[0])], good[at:], bad[other:]


def _shared(good: Turns, bad: Turns) -> int:
    """How many turns two conversations begin with alike; none where these are no more than a system text."""
    shared, most = 0, min(len(good), len(bad)) - 1
    while shared < most and _alike(good[shared : shared + 1], bad[shared : shared + 1]):
        shared += 1
    asked = any(turn["role"] not in FIRST for turn in good[:shared]) or good[shared]["role"] != "user"
    return shared if asked else 0


def _start(said: Turns, asked: Turns, place: Where) -> int:
    """Where the answer begins, behind the prompt or a conversation that ends with it; 0 where neither is repeated."""
    question, last = _spoken(asked), len(said) - 1
    first = len(said) - len(_spoken(said)) + len(question)
    late = max((at + 1 for at in range(last) if said[at]["role"] == "user"), default=0)
    for end in (first, late):
        if question and first <= end <= last and _alike(said[end - len(question) : end], question):
            return end
    # The question would stand there twice, or two different ones.
    if last and said[0]["role"] in ("user", *FIRST):
        raise RowError("FTC520", place, "the turns before an answer are not the prompt; leave them out, or the prompt")
    return 0


def _spoken(turns: Turns) -> Turns:
    return turns[1:] if turns and turns[0]["role"] in FIRST else turns


def _alike(some: Turns, others: Turns) -> bool:
    """Whether turns are the same but for white space around them, and for what templates do not write."""
    said, other = (
        [(turn["role"], turn["content"].strip(), *map(turn.get, ("tool_calls", "reasoning_content"))) for turn in turns]
        for turns in (some, others)
    )
    return said == other


def _judged(record: Record, fields: Record, place: Where, weight: float, system: str | None) -> Row:
    """A prompt, an answer, and whether it is a good one; or a conversation that ends with the answer."""
    label = cell(record, fields["label"] or "label", place)
    # A table holds nothing but texts.
    label = {"true": True, "false": False}.get(label.lower(), label) if _is_cell(label, place) else label
    if not isinstance(label, bool):
        raise RowError("FTC522", place, f'"{fields["label"] or "label"}" is neither true nor false: {kind_of(label)}')
    if (fields["messages"] or "messages") in record:
        messages = _conversation(record, fields, "messages", place)
    else:
        messages = _pair(record, fields["prompt"] or "prompt", fields["completion"] or "completion", place)
    own = _own_system(record, fields, messages, place)
    messages = _with_system(_trained(messages, place, len(messages) - 1), own or system)
    return Row(place, weight, tuple(messages), definitions(record, fields, place), label=label)


def _is_cell(value: Any, place: Where) -> bool:
    return isinstance(value, str) and isinstance(place, Place) and ".csv" in place.file[-8:].lower()


def _turns(record: Record, column: str, speaker: str, fields: Record, place: Where) -> Turns:
    """A text as one turn, or turns as they are."""
    said = cell(record, column, place)
    if isinstance(said, str):
        return [_says(speaker, sound(said, place))]
    turns = [said] if isinstance(said, dict) else said
    if no_turns(turns):
        raise RowError("FTC514", place, f'"{column}" is neither text nor turns: {no_turns(said)}')
    if not turns:
        raise RowError("FTC517", place, f'"{column}" has no turns')
    role, content = fields["role"] or "role", fields["content"] or "content"
    return [_message(turn, role, content, fields["thinking"], place) for turn in turns]


def _alpaca(record: Record, fields: Record, place: Where) -> Turns:
    """The task, on a new line what it is about, and the answer."""
    task = string(record, fields["instruction"] or "instruction", place)
    about = optional(record, fields["input"] or "input", place)
    answer = string(record, fields["output"] or "output", place)
    return [_says("user", f"{task}\n{about}" if about else task), _says("assistant", answer)]


def _own_system(record: Record, fields: Record, messages: Turns, place: Where) -> str | None:
    """The row's own system text; None where its messages begin with one already."""
    if messages[0]["role"] in FIRST:
        return messages[0]["content"]
    return optional(record, fields["system"] or "system", place)


def _with_system(messages: Turns, system: str | None) -> Turns:
    if system is None or messages[0]["role"] in FIRST:
        return messages
    return [_says("system", system), *messages]


def _says(role: str, content: str) -> Message:
    return {"role": role, "content": content}
