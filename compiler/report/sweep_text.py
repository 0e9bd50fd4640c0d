"""A sweep for a person: what is wrong in which points, once; then a table of the points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from compiler.report.memory_text import VERDICTS, size
from compiler.report.paint import Paint, printable
from compiler.report.table import table
from compiler.report.text import diagnostics_text
from compiler.sweep.sweeping import Outcome, State
from schemas.diagnostic import Diagnostic

WORDS: Final[dict[State, tuple[str, str]]] = {
    "fits": ("fits", "fit"),
    "tight": ("is tight", "are tight"),
    "unknown": ("is of unknown verdict", "are of unknown verdict"),
    "does_not_fit": ("does not fit", "do not fit"),
    "refused": ("is refused", "are refused"),
}
BASIS: Final = (
    "needs: the likely peak of a card; tokens/s, hours and USD: rough, `ftc plan` of one point says what they rest on"
)
MOST: Final = 20
"""Findings that are shown with their place; a sweep of thousands may have thousands."""
HEAD: Final = ("point", "verdict", "needs", "of", "tokens/s", "hours", "USD", "because")


def findings_text(found: Sequence[Outcome], sources: Mapping[str, Sequence[str]], paint: Paint) -> str:
    """What the pipeline says of the points, each finding once, with how many points it is about."""
    often = Counter(item for one in found for item in dict.fromkeys(one.diagnostics))
    shown = [_counted(item, count, len(found)) for item, count in list(often.items())[:MOST]]
    left = len(often) - len(shown)
    more = f"and {left:,} more findings; `ftc plan --matrix … --format json` has all\n" if left else ""
    return diagnostics_text(shown, sources, paint) + more


def _counted(item: Diagnostic, count: int, of: int) -> Diagnostic:
    where = "" if count == of else f" (in {count:,} of {of:,} points)"
    return replace(item, message=item.message + where)


def points_text(found: Sequence[Outcome]) -> str:
    """The table, a line a point; the last column where some are refused."""
    rows = [HEAD, *map(cells, found)]
    return table(rows if any(item.errors for item in found) else [row[:-1] for row in rows])


def cells(item: Outcome) -> tuple[str, ...]:
    """A point's row; `-` is what is not known."""
    if item.footprint is None or item.time is None:
        return (item.point.folder, "refused", "-", "-", "-", "-", "-", why_not(item))
    footprint, time = item.footprint, item.time
    return (
        item.point.folder,
        VERDICTS[footprint.verdict][0],
        size(footprint.device),
        "-" if footprint.capacity is None else size(footprint.capacity),
        "-" if time.tokens_per_second is None else f"{time.tokens_per_second:,.0f}",
        "-" if time.hours is None else f"{time.hours:.1f}",
        "-" if time.usd is None else f"{time.usd:.2f}",
        "",
    )


def why_not(item: Outcome) -> str:
    """The first error of a point that is refused, and how many there are."""
    first, *others = item.errors
    more = f", and {len(others)} more" if others else ""
    return printable(f"{first.code} {first.message}{more}")


def counts_text(found: Sequence[Outcome]) -> str:
    """How many points there are, and what becomes of them."""
    counts = Counter(item.state for item in found)
    said = [f"{counts[state]:,} {words[counts[state] != 1]}" for state, words in WORDS.items() if counts[state]]
    return f"{len(found):,} point{'s' * (len(found) != 1)}: {', '.join(said)}"
