"""Rows on a page, as the model sees them: what is trained, special tokens, and what an eye would miss, all marked.

What is read from the page is the row's own text: marks of line breaks and spaces are drawn by its style.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from compiler.data.showing import Shown, Stretch
from compiler.report.data_words import counted
from compiler.report.excerpt import Gap, Piece, excerpt

if TYPE_CHECKING:
    from markupsafe import Markup

MOST: Final = 4000
"""Characters of a row that are shown."""
PAGE: Final = 1_000_000
"""Bytes of the page that rows may take."""
LONG: Final = (1500, 20)
"""Characters and lines from which a row is scrolled."""
KEPT: Final = "\u200c\u200d\u3000"
"""Invisible, but part of how words and emoji are written: joiners, and the space of East Asian text."""
NAMES: Final = {"\r": "CR", "\u00a0": "NBSP", "\u202f": "NNBSP"}
"""Invisible characters that are known by a name."""
SIGNS: Final = {"\n": "n", " ": "s", "\t": "t"}
_MARKED: Final = re.compile(r"\n|\t| +(?=\n|\Z)")


class Rendering(Struct, frozen=True):
    """A row's text as markup. `about`: which of two answers it is; `long`: it is scrolled."""

    about: str
    counted: str
    text: Markup
    long: bool


class ShownRow(Struct, frozen=True):
    """A row and how it is rendered: once, or with each of two answers that are compared."""

    part: str
    place: str
    problem: str
    notes: tuple[tuple[str, str], ...]
    renderings: tuple[Rendering, ...]


def shown_rows(shown: Sequence[Shown]) -> tuple[tuple[ShownRow, ...], int]:
    """As many rows as there is room for, and how many others there are."""
    groups = _by_row(shown)
    rows: list[ShownRow] = []
    room = PAGE
    for group in groups:
        if room <= 0:
            break
        first = group[0]
        row = ShownRow(first.part, first.place, first.problem, first.notes, tuple(map(_rendering, group)))
        room -= sum(len(each.text.encode()) for each in row.renderings)
        rows.append(row)
    return tuple(rows), len(groups) - len(rows)


def _by_row(shown: Sequence[Shown]) -> list[list[Shown]]:
    """A rejected answer stands beside the chosen one."""
    groups: list[list[Shown]] = []
    for row in shown:
        if row.about == "rejected" and groups:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def _rendering(row: Shown) -> Rendering:
    pieces = excerpt(row.stretches, MOST)
    texts = [piece.text for piece in pieces if isinstance(piece, Stretch)]
    characters, lines = LONG
    long = sum(map(len, texts)) > characters or sum(text.count("\n") for text in texts) >= lines
    return Rendering(row.about, counted(row), markup(pieces), long)


def markup(pieces: Sequence[Piece]) -> Markup:
    """`mark`: trained; `b`: a special token, or a character that would not be seen; `i`: a line break, space or tab;
    `em`: how much is left out; `del`: what lies beyond the longest row."""
    from markupsafe import Markup

    return Markup("".join(_pieces(pieces)))  # noqa: S704  # escaped by `_visible`


def _pieces(pieces: Sequence[Piece]) -> Iterator[str]:
    seen = True
    for piece, following in zip_longest(pieces, pieces[1:]):
        if isinstance(piece, Gap):
            yield f"<em>… {piece.characters:,} characters …</em>"
            continue
        if piece.cut and seen:
            seen = False
            yield "<em>cut here: max_length</em>"
        yield _text(piece, whole=not isinstance(following, Gap))


def _text(piece: Stretch, *, whole: bool) -> str:
    """A stretch; `whole`: it ends where its text ends. Scripts from right to left keep to themselves."""
    text = "".join(_marked(piece.text if whole else f"{piece.text}|"))
    text = text if whole else text[:-1]
    text = f"<b>{text}</b>" if piece.special else text if text.isascii() else f"<bdi>{text}</bdi>"
    text = f"<mark>{text}</mark>" if piece.trained else text
    return f"<del>{text}</del>" if piece.cut else text


def _marked(text: str) -> Iterator[str]:
    at = 0
    for found in _MARKED.finditer(text):
        yield _visible(text[at : found.start()])
        yield "".join(f"<i class={SIGNS[char]}>{char}</i>" for char in found[0])
        at = found.end()
    yield _visible(text[at:])


def _visible(text: str) -> str:
    from markupsafe import escape

    if text.isprintable():
        return str(escape(text))
    return "".join(str(escape(char)) if char.isprintable() or char in KEPT else _named(char) for char in text)


def _named(char: str) -> str:
    """A character that would not be seen, or would steer what is seen."""
    number = f"U+{ord(char):04X}"
    name = NAMES.get(char)
    return f'<b class=known title="{number}">{name}</b>' if name else f"<b class=odd>{number}</b>"
