"""A recipe of what `ftc recommend` found: of its JSON, or found anew for the model and card that were named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from compiler.errors import FtcError
from compiler.exit import NO_FIT, USAGE
from compiler.report.machine import FORMAT_VERSION
from compiler.starting.choosing import Choice, Draft, Wishes, drafted
from schemas.recipe import Objective

BEST: Final = "best"
STDIN: Final = "-"
LEAVES: Final = ("method.kind", "method.rank")
"""What a recommendation may set: a file of anybody's writing says no more than that."""


_Positive = Annotated[int, msgspec.Meta(ge=1)]


class Entry(Struct, frozen=True):
    """One of the choices. `set`: recipe path → value."""

    choice: int
    method: str
    set: dict[str, str | int]
    quality: dict[str, object] = {}
    rank: dict[str, object] | None = None


class _Model(Struct, frozen=True):
    base: str


class Document(Struct, frozen=True):
    """The JSON of `ftc recommend --model`, as far as it is needed."""

    recommends: str
    gpu: str
    count: _Positive
    model: _Model | None = None
    objective: Objective = "sft"
    max_length: _Positive = 1
    choices: tuple[Entry, ...] = ()
    format_version: int = FORMAT_VERSION


class Pick(Struct, frozen=True):
    """Which choice of which recommendation. `document`: None where it is to be found now."""

    number: int
    document: Document | None


def read_document(source: str) -> Document | None:
    """What a file or the standard input says; None of `best`."""
    if source == BEST:
        return None
    where = "standard input" if source == STDIN else f'"{source}"'
    text = sys.stdin.buffer.read() if source == STDIN else Path(source).read_bytes()
    again = "write one with `ftc recommend --model M --gpu G --format json`"
    try:
        found = msgspec.json.decode(text, type=Document)
    except msgspec.DecodeError as error:
        raise FtcError(f"{where} is no recommendation: {error}", again, USAGE) from error
    except RecursionError as error:
        raise FtcError(f"{where} is no recommendation: it is nested too deeply", again, USAGE) from error
    if found.format_version != FORMAT_VERSION:
        said = f"{where} is of format {found.format_version}, and this ftc reads {FORMAT_VERSION}"
        raise FtcError(said, again, USAGE)
    if found.recommends != "methods" or found.model is None:
        raise FtcError(f"{where} recommends base models, not a method for one", again, USAGE)
    return found


def choose_recommended(pick: Pick, wishes: Wishes, count: int, folder: Path) -> Choice:
    """The draft of that choice, compiled with the rows that it is for."""
    document = pick.document or _found_now(wishes, count, folder)
    if pick.document and document.objective != wishes.objective:
        raise FtcError(
            f"the recommendation is for {document.objective}, and the rows are for {wishes.objective}",
            f"ask for one with `ftc recommend --objective {wishes.objective}`, or say --objective",
            USAGE,
        )
    entry = _entry(pick, document)
    draft = drafted(replace(wishes, method=entry.method), entry.method, _leaves(entry), folder)
    said = f"choice {entry.choice} of {len(document.choices)} of ftc recommend"
    because = str(entry.quality.get("because", ""))
    why = "; ".join(filter(None, (f"up to {draft.need}" if draft.need else "", said, because)))
    explained = {**draft.set, "method.kind": (entry.method, why)}
    return _with_reasons(draft, explained)


def _with_reasons(draft: Draft, explained: dict[str, tuple[object, str]]) -> Choice:
    """Reasons are remarks: the recipe is the one that was compiled."""
    found = replace(draft, set=explained)
    return Choice(found, (found,))


def _entry(pick: Pick, document: Document) -> Entry:
    if not document.choices:
        raise FtcError("nothing is recommended: no method fits", "`ftc recommend` says where one would", NO_FIT)
    found = next((item for item in document.choices if item.choice == pick.number), None)
    if found is None:
        listed = ", ".join(f"{item.choice} {item.method}" for item in document.choices)
        raise FtcError(f"there is no choice {pick.number}", f"there are {listed}", USAGE)
    return found


def _leaves(entry: Entry) -> dict[str, tuple[object, str]]:
    strange = [path for path in entry.set if path not in LEAVES]
    if strange:
        raise FtcError(f"a recommendation does not set {', '.join(strange)}", "write it into the recipe", USAGE)
    kind = entry.set.get("method.kind", entry.method)
    if kind != entry.method:
        said = f"choice {entry.choice} is of method {entry.method}, and sets method.kind to {kind}"
        raise FtcError(said, "one of them was edited: make them the same", USAGE)
    return {path: (value, _rank_words(entry) if path == "method.rank" else "") for path, value in entry.set.items()}


def _rank_words(entry: Entry) -> str:
    rank = entry.rank or {}
    largest = rank.get("largest")
    return f"{rank.get('because', '')}; up to {largest} fits" if largest else ""


def _found_now(wishes: Wishes, count: int, folder: Path) -> Document:
    """The same, of what is compiled now."""
    from compiler.recommending.methods import recommend
    from compiler.recommending.wish import Wish
    from compiler.report.recommend_data import recommendation_data

    wish = Wish(
        base=wishes.base,
        facts=wishes.facts,
        gpu=wishes.gpu,
        memory=wishes.memory,
        count=count,
        objective=wishes.objective,
        max_length=wishes.max_length,
        folder=folder,
    )
    return msgspec.convert(recommendation_data(recommend(wish)), type=Document)
