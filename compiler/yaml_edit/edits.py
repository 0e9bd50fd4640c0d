"""Changes of a text, and what lies between two texts."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

from msgspec import Struct


class Edit(Struct, frozen=True):
    """The characters from `start` to `end` become `text`."""

    start: int
    end: int
    text: str


def apply(text: str, edits: Iterable[Edit]) -> str:
    """The text after edits that do not touch each other."""
    for edit in sorted(edits, key=lambda item: item.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def edits_between(old: str, new: str) -> tuple[Edit, ...]:
    """What turns one text into another: the lines that differ, without what they have in common."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    starts = [0]
    for line in before:
        starts.append(starts[-1] + len(line))
    return tuple(
        _trimmed(old, Edit(starts[first], starts[last], "".join(after[new_first:new_last])))
        for kind, first, last, new_first, new_last in SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
        if kind != "equal"
    )


def _trimmed(old: str, edit: Edit) -> Edit:
    replaced, text = old[edit.start : edit.end], edit.text
    most = min(len(replaced), len(text))
    head = next((index for index in range(most) if replaced[index] != text[index]), most)
    most -= head
    tail = next((index for index in range(most) if replaced[-1 - index] != text[-1 - index]), most)
    return Edit(edit.start + head, edit.end - tail, text[head : len(text) - tail])
