"""The one table of codes: what each means, with an example that causes it and one that does not.

The pages are Markdown, a file for each subject, read only when asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from schemas.diagnostic import Level

_PAGES: Final = Path(__file__).parent
_HEADING: Final = re.compile(r"^## (FTC\d{3}) (.+?)(?: \((warning|note)\))?$", re.MULTILINE)
_EXAMPLE: Final = re.compile(r"^```yaml (bad|good)\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)


class Page(Struct, frozen=True):
    """`bad` and `good`: recipes, or the sections of one that matter; None where no recipe alone causes the code.

    `word`: error, warning, or note, which only `ftc import` has.
    """

    code: str
    title: str
    level: Level
    text: str
    bad: str | None
    good: str | None
    word: str


@cache
def pages() -> Mapping[str, Page]:
    """Code → page, in order of the codes."""
    found = (page for path in _PAGES.glob("*.md") for page in _pages_of(path.read_text(encoding="utf-8")))
    return {page.code: page for page in sorted(found, key=lambda page: page.code)}


def stands(code: str) -> tuple[Path, int] | None:
    """The file of a code's page, and its line there, from 1."""
    for path in _PAGES.glob("*.md"):
        lines = path.read_text(encoding="utf-8").splitlines()
        number = next((number for number, line in enumerate(lines, 1) if line.startswith(f"## {code} ")), None)
        if number:
            return path, number
    return None


def explain(code: str) -> str | None:
    """The page of a code as text for a terminal, in any letter case; None for an unknown code."""
    page = pages().get(code.upper())
    return None if page is None else text_of(page)


def text_of(page: Page) -> str:
    """A page as text, its examples indented."""
    examples = "".join(
        f"\n{name}:\n\n{_indented(text)}" for name, text in (("bad", page.bad), ("good", page.good)) if text
    )
    return f"{page.code} ({page.word}): {page.title}\n\n{page.text}\n{examples}"


def _pages_of(text: str) -> list[Page]:
    headings = list(_HEADING.finditer(text))
    ends = [*(heading.start() for heading in headings[1:]), len(text)]
    return [_page(heading, text[heading.end() : end]) for heading, end in zip(headings, ends, strict=True)]


def _page(heading: re.Match[str], body: str) -> Page:
    examples: dict[Literal["bad", "good"] | str, str] = dict(_EXAMPLE.findall(body))
    text = _EXAMPLE.sub("", body).strip()
    word = heading[3] or "error"
    level: Level = "error" if word == "error" else "warning"
    return Page(heading[1], heading[2], level, text, examples.get("bad"), examples.get("good"), word)


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
