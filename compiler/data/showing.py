"""Rows as the model sees them: their text in stretches, each trained or not, special tokens apart."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Literal

from msgspec import Struct

from backends.native.data import IGNORED, Tokens
from backends.native.examine import Examined
from backends.native.formats import Row


class Stretch(Struct, frozen=True):
    """Some of a row's text. `special`: it is one of the tokenizer's special tokens."""

    text: str
    trained: bool
    special: bool


class Shown(Struct, frozen=True):
    """A row: where it stands, and its text as the model sees it; as it was written where there is no tokenizer.

    `tokens` and `trained` are None then. `about` says which of two answers that are compared it is; `problem` why it
    cannot be rendered.
    """

    place: str
    part: Literal["train", "validation"]
    stretches: tuple[Stretch, ...]
    tokens: int | None = None
    trained: int | None = None
    about: str = ""
    problem: str = ""


def show(item: Examined, part: Literal["train", "validation"], tokenizer: Any) -> list[Shown]:
    """A row as it is rendered, or of rows whose answers are compared both renderings."""
    row = item.row
    if row is None:
        return []
    if not item.tokens:
        problem = next((note.what for note in item.met if note.bad), "")
        return [Shown(str(row.place), part, _written(row), problem=problem)]
    names = ("chosen", "rejected") if row.chosen else ("",)
    return [
        Shown(str(row.place), part, _rendered(tokens, tokenizer), len(tokens.ids), tokens.trained, name)
        for name, tokens in zip(names, item.tokens, strict=True)
    ]


def _rendered(tokens: Tokens, tokenizer: Any) -> tuple[Stretch, ...]:
    special = tokenizer.added_tokens_decoder
    kinds = [
        (label != IGNORED, token in special, token) for token, label in zip(tokens.ids, tokens.labels, strict=True)
    ]
    return tuple(
        Stretch(tokenizer.decode([token for *_, token in group], skip_special_tokens=False), *kind)
        for kind, group in groupby(kinds, key=lambda item: item[:2])
    )


def _written(row: Row) -> tuple[Stretch, ...]:
    turns = [f"{turn['role']}: {turn['content']}" for turn in (*row.messages, *row.chosen)]
    return (Stretch("\n".join(turns) or f"{row.prompt}{row.text}", False, False),)
