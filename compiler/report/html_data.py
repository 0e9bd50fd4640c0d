"""`ftc data` as one page: what is wrong with the rows, the rows as the model sees them, and their figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from compiler.build import Compiled
from compiler.codes import pages
from compiler.data.survey import PARTS, Part
from compiler.data.tokenizer import Tokenizer
from compiler.data.verdict import Figures, Verdict
from compiler.exit import ABSENT
from compiler.report import data_words as words
from compiler.report.excerpt import brief
from compiler.report.html_lengths import Histogram, histogram
from compiler.report.html_page import environment
from compiler.report.html_rows import MOST, shown_rows
from schemas.diagnostic import Level
from schemas.plan import Plan
from schemas.version import VERSION

SYMBOLS: Final[Mapping[Level, str]] = {"error": "✕", "warning": "!"}
"""So that no level is told by colour alone."""
FATES: Final = {"drop": "left out", "truncate": "cut", "split": "split", "error": "an error"}
"""What becomes of rows that are too long."""
NAMES: Final[Mapping[Part, str]] = {"train": "Training rows", "validation": "Validation rows"}


class Item(Struct, frozen=True):
    """A finding, of the recipe or of rows. `title`: what its code means."""

    code: str
    level: Level
    title: str
    place: str
    message: str
    more: str
    part: str = ""


class Banner(Struct, frozen=True):
    """What it all comes to. `kind`: as the page of a plan colours it."""

    kind: str
    sign: str
    words: str


class PartShown(Struct, frozen=True):
    """A part with its name and its picture."""

    part: Part
    name: str
    figures: Figures
    lengths: Histogram | None


def data_html(name: str, compiled: Compiled, verdict: Verdict, tokenizer: Tokenizer) -> str:
    """Everything that `ftc data` says, as a page. Nothing where the recipe has errors."""
    plan = compiled.plan
    if plan is None:
        return ""
    rendered = tokenizer.tokenizer is not None
    rows, others = shown_rows(verdict.shown)
    found = _items(compiled, verdict)
    return (
        environment()
        .get_template("data.html.jinja")
        .render(
            name=name,
            plan=plan,
            verdict=verdict,
            banner=_banner(verdict, found, rendered=rendered),
            found=found,
            counts=Counter(item.level for item in found),
            rendered=rendered,
            no_tokens=words.no_tokens(tokenizer),
            parts=_parts(plan, verdict) if rendered else (),
            repeated=_repeated(verdict),
            rows=rows,
            others=others,
            words=words,
            brief=brief,
            MOST=MOST,
            FATES=FATES,
            SYMBOLS=SYMBOLS,
            VERSION=VERSION,
        )
    )


def _items(compiled: Compiled, verdict: Verdict) -> list[Item]:
    """Errors first."""
    found = [
        Item(
            item.code,
            item.level,
            _title(item.code),
            item.file if item.file == "--set" else f"{item.file}:{item.span.line}:{item.span.column}",
            brief(item.message),
            item.hint or "",
        )
        for item in compiled.diagnostics
    ]
    of_rows = (
        Item(
            item.code,
            item.level,
            _title(item.code),
            words.place(item),
            brief(item.message),
            words.others(item),
            item.part,
        )
        for item in verdict.findings
    )
    return sorted((*found, *of_rows), key=lambda item: item.level)


def _banner(verdict: Verdict, found: Sequence[Item], *, rendered: bool) -> Banner:
    if not verdict.valid or any(item.level == "error" and item.code not in ABSENT for item in found):
        return Banner("does_not_fit", "✕", "this data cannot be trained on as it is")
    if not rendered:
        return Banner("unknown", "?", "rows were checked, their tokens were not")
    if found:
        return Banner("tight", "!", "this data can be trained on, but look at the findings")
    return Banner("fits", "✓", "this data can be trained on: no problems found")


def _title(code: str) -> str:
    page = pages().get(code)
    return page.title if page else ""


def _parts(plan: Plan, verdict: Verdict) -> list[PartShown]:
    return [
        PartShown(part, NAMES[part], figures, histogram(figures, plan.data.max_length))
        for part, figures in verdict.figures.items()
        if figures.counts.read
    ]


def _repeated(verdict: Verdict) -> dict[str, int]:
    """How many rows stand there more than once, by part, and how many of validation are trained on as well."""
    counts = {(item.code, item.part): item.rows for item in verdict.findings}
    same = {part: counts.get(("FTC535", part), 0) for part in PARTS if part in verdict.figures}
    return {**same, "both": counts.get(("FTC537", "validation"), 0)}
