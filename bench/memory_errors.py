"""Errors of one class of runs, summed up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from statistics import median

from msgspec import Struct


class Errors(Struct, frozen=True):
    """Relative errors, positive where the prediction was too large. `middle` and `p95` of their sizes; `under`: the
    share of predictions below the truth."""

    count: int
    middle: float
    p95: float
    over: float
    below: float
    under: float


def errors(found: Iterable[float]) -> Errors | None:
    """None where there are none."""
    each = sorted(found)
    if not each:
        return None
    sizes = sorted(map(abs, each))
    return Errors(
        count=len(each),
        middle=median(sizes),
        p95=sizes[ceil(0.95 * len(sizes)) - 1],
        over=max(each[-1], 0.0),
        below=min(each[0], 0.0),
        under=sum(error < 0 for error in each) / len(each),
    )


HEAD = ("n", "median", "95 %", "worst over", "worst under", "share under")


def cells(found: Errors) -> tuple[str, ...]:
    """A row of a table under `HEAD`."""
    spread = (f"{found.middle:.2%}", f"{found.p95:.1%}", f"{found.over:+.1%}", f"{found.below:+.1%}")
    return (str(found.count), *spread, f"{found.under:.0%}")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown: words to the left, figures to the right."""
    body = [list(row) for row in rows]
    marks = ["---"] + ["---:" if _figures(body, column) else "---" for column in range(1, len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [list(head), marks, *body])


def _figures(rows: Sequence[Sequence[str]], column: int) -> bool:
    return all(row[column][:1] in "+-0123456789–" for row in rows)
