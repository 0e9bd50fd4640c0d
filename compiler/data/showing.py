"""Rows as the model sees them: their text in stretches, each trained or not, special tokens apart."""

from __future__ import annotations

from itertools import chain, groupby, islice
from typing import Any, Final, Literal

from msgspec import Struct

from backends.native.data import IGNORED, Rules, Tokens
from backends.native.examine import Examined
from backends.native.formats import Row

LEFT_OUT: Final = "FTC533"
"""The code of a row that is left out for its length."""


CONTEXT: Final = 8
"""Tokens before a stretch that it is decoded behind."""


class Stretch(Struct, frozen=True):
    """Some of a row's text. `special`: it is one of the tokenizer's special tokens; `cut`: it lies beyond the longest
    row, and the model does not see it."""

    text: str
    trained: bool
    special: bool
    cut: bool = False


class Shown(Struct, frozen=True):
    """A row: where it stands, and its text as the model sees it; as it was written where there is no tokenizer.

    `tokens` and `trained` are None then. `about` says which of two answers that are compared it is; `problem` why it
    is not trained on; `notes`, each a code and words, what else there is to say of it.
    """

    place: str
    part: Literal["train", "validation"]
    stretches: tuple[Stretch, ...]
    tokens: int | None = None
    trained: int | None = None
    about: str = ""
    problem: str = ""
    notes: tuple[tuple[str, str], ...] = ()


def show(item: Examined, part: Literal["train", "validation"], tokenizer: Any, rules: Rules) -> list[Shown]:
    """A row that was judged as it is rendered, or of rows whose answers are compared both renderings."""
    row = item.row
    if row is None:
        return []
    place = str(row.place)
    problem = next((note.what for note in item.met if note.bad or note.code == LEFT_OUT), "")
    notes = tuple(dict.fromkeys((note.code, note.what) for note in item.met if note.what != problem))
    if not item.tokens:
        return [Shown(place, part, _written(row), problem=problem, notes=notes)]
    names = ("chosen", "rejected") if row.chosen else ("",)
    labelled = [[IGNORED] * len(tokens.ids) if problem else _labels(tokens, rules) for tokens in item.tokens]
    cut = rules.max_length if rules.overlong == "truncate" else None
    return [
        Shown(
            place,
            part,
            _rendered(tokens.ids, labels, tokenizer, cut),
            len(tokens.ids),
            sum(label != IGNORED for label in labels),
            name,
            problem,
            notes,
        )
        for name, tokens, labels in zip(names, item.tokens, labelled, strict=True)
    ]


def _labels(tokens: Tokens, rules: Rules) -> list[int]:
    """What is trained of a row that is kept, as a whole, cut or split."""
    limit, length = rules.max_length, len(tokens.ids)
    if length <= limit:
        return tokens.labels
    pieces = (tokens.cut(start, min(start + limit, length)).labels for start in range(0, length, limit))
    if rules.overlong == "truncate":
        pieces = islice(pieces, 1)
    labels = list(chain.from_iterable(pieces))
    return [*labels, *[IGNORED] * (length - len(labels))]


def _rendered(ids: list[int], labels: list[int], tokenizer: Any, cut: int | None) -> tuple[Stretch, ...]:
    """Each special token is a stretch of its own."""
    special = tokenizer.added_tokens_decoder
    beyond = len(ids) if cut is None else cut
    kinds = [
        (label != IGNORED, token in special, at >= beyond, at if token in special else None)
        for at, (token, label) in enumerate(zip(ids, labels, strict=True))
    ]
    stretches: list[Stretch] = []
    start = 0
    for kind, group in groupby(kinds):
        end = start + sum(1 for _ in group)
        stretches.append(Stretch(_decoded(ids, start, end, tokenizer), *kind[:3]))
        start = end
    return tuple(stretches)


def _decoded(ids: list[int], start: int, end: int, tokenizer: Any) -> str:
    """What tokens stand for behind those before them: alone, some tokenizers' lose the space that they begin with."""
    before = ids[max(0, start - CONTEXT) : start]
    said: str = tokenizer.decode(before, skip_special_tokens=False)
    whole: str = tokenizer.decode([*before, *ids[start:end]], skip_special_tokens=False)
    return whole[len(said) :] if whole.startswith(said) else tokenizer.decode(ids[start:end], skip_special_tokens=False)


def _written(row: Row) -> tuple[Stretch, ...]:
    turns = [f"{turn['role']}: {turn['content']}" for turn in (*row.messages, *row.chosen)]
    return (Stretch("\n".join(turns) or f"{row.prompt}{row.text}", False, False),)
