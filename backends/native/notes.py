"""What is odd about a row that can be trained on: turns out of order, empty ones, damaged text, special tokens in it.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from backends.native.findings import Note
from backends.native.formats import FIRST, Message, Row

RESULTS = ("tool", "ipython")
"""Speakers that tell what a call came to."""
KNOWN = (*FIRST, "user", "assistant", *RESULTS)
"""Speakers that chat templates know."""
DAMAGED = re.compile("[\ufffd\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
"""The sign of bytes that were read in a wrong encoding, and characters that belong to no text."""
SAID = ("content", "reasoning_content")
Specials = re.Pattern[str]


def special_tokens(tokenizer: Any) -> Specials | None:
    """Finds the tokenizer's special tokens in a text; None where it has none."""
    added = {str(token): token for token in tokenizer.added_tokens_decoder.values()}
    words = [word for word, token in added.items() if token.special and not word.isalnum()]
    return re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True)))) if words else None


def notes(row: Row, specials: Specials | None) -> list[Note]:
    """Everything odd about a row, each code once. `specials`: as of `special_tokens`."""
    first: dict[str, Note] = {}
    for note in _notes(row, specials):
        first.setdefault(note.code, note)
    return list(first.values())


def _notes(row: Row, specials: Specials | None) -> Iterator[Note]:
    turns = (*row.messages, *row.chosen, *row.rejected)
    if row.messages:
        yield from _about_turns(row)
    texts = [turn[key] for turn in turns for key in SAID if isinstance(turn.get(key), str)] or [row.prompt, row.text]
    if not turns and not row.text.strip():
        yield Note("FTC531", row.place, "an empty text" if row.cuttable else "an empty completion")
    for text in texts:
        yield from _about_text(text, row, specials)


def _about_text(text: str, row: Row, specials: Specials | None) -> Iterator[Note]:
    if found := DAMAGED.search(text):
        yield Note("FTC539", row.place, f"a character that belongs to no text: U+{ord(found[0]):04X}")
    # Raw text may bring its own beginning and end.
    if specials and not row.cuttable and (found := specials.search(text)):
        yield Note("FTC538", row.place, f"the text holds the special token {found[0]}, which ends or begins a turn")


def _about_turns(row: Row) -> Iterator[Note]:
    turns = row.messages
    unknown = next((turn["role"] for turn in turns if turn["role"] not in KNOWN), None)
    if unknown is not None:
        yield Note("FTC542", row.place, f'unknown speaker "{unknown}": its turns are never trained')
    empty = next((turn["role"] for turn in (*turns, *row.chosen, *row.rejected) if _empty(turn)), None)
    if empty is not None:
        yield Note("FTC531", row.place, f"an empty turn of {empty}")
    if order := _disorder(turns):
        yield Note("FTC530", row.place, order)
    if not row.chosen and turns[-1]["role"] == "user" and any(turn["role"] == "assistant" for turn in turns):
        yield Note("FTC541", row.place, "the conversation ends with a turn of user, which nothing answers")


def _empty(turn: Message) -> bool:
    return not turn["content"].strip() and not turn.get("tool_calls")


def _disorder(turns: tuple[Message, ...]) -> str | None:
    """What is wrong with the order in which they speak."""
    roles = [turn["role"] for turn in turns]
    spoken = roles[1:] if roles[0] in FIRST else roles
    if not spoken:
        return None
    if late := next((role for role in spoken if role in FIRST), None):
        return f"a turn of {late} that is not the first"
    if spoken[0] in ("assistant", *RESULTS):
        return f"{spoken[0]} speaks before user does"
    pairs = tuple(pairwise(spoken))
    twice = next((a for a, b in pairs if a == b and a not in RESULTS), None)
    if twice:
        return f"two turns of {twice}, one after the other"
    uncalled = next((b for a, b in pairs if b in RESULTS and a not in ("assistant", *RESULTS)), None)
    return f"a turn of {uncalled} that does not follow a call of assistant" if uncalled else None
