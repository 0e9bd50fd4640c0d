"""The runs of a sweep as a table: for a terminal, and as Markdown beside the runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from backends.native.amounts import duration, short, size, whole
from compiler.report.paint import printable
from compiler.report.table import table
from compiler.sweep.record import markdown_table
from compiler.sweep.results import Result

WIDTH: Final = 80
"""Of a reason in a table; results.json and the page have all of it."""


def results_text(found: Sequence[Result]) -> str:
    """A line a point, then what is to be known of the figures, then the best."""
    heads, rows = _columns(found)
    text = table([["point", *heads], *([item.point.folder, *row] for item, row in zip(found, rows, strict=True))])
    return text + "".join(f"  {line}\n" for line in remarks(found))


def results_markdown(name: str, keys: Sequence[str], found: Sequence[Result]) -> str:
    """The same with the axes in columns of their own, and where each run is."""
    heads, rows = _columns(found)
    body = [
        [
            str(item.point.number),
            *(f"`{item.point.values[key]}`" for key in keys),
            *row,
            f"`{item.out}`" if item.out else "-",
        ]
        for item, row in zip(found, rows, strict=True)
    ]
    told = "".join(f"- {line}\n" for line in remarks(found))
    return f"# {name}, the runs of a sweep\n\n{markdown_table([['number', *keys, *heads, 'results'], *body])}\n{told}"


def _columns(found: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows without the point. Why one is not finished stands last, where there is one."""
    heads = ["state", "loss", "validation", "tokens/s", "memory", "time"]
    because = any(item.why for item in found)
    rows = [[*_cells(item), *([_first_line(item.why)] if because else [])] for item in found]
    return ([*heads, "because"] if because else heads), rows


def _cells(item: Result) -> list[str]:
    state = "finished before" if item.before else item.state
    mark = "" if item.continued is None else "*"
    return [
        state,
        "-" if item.loss is None else short(item.loss),
        "-" if item.validation is None else short(item.validation),
        "-" if item.tokens_per_second is None else whole(item.tokens_per_second) + mark,
        "-" if item.memory_gib is None else size(item.memory_gib),
        "-" if item.seconds is None else duration(item.seconds) + mark,
    ]


def remarks(found: Sequence[Result]) -> list[str]:
    """What the columns are, and which run came out best."""
    done = [item for item in found if item.state == "finished"]
    said = [counts(found)]
    if done:
        kinds = sorted({item.memory_kind for item in done if item.memory_kind})
        memory = f"; memory: the peak measured ({', '.join(kinds)})" if kinds else ""
        said.append(f"loss: of the last steps that were logged; validation: the least{memory}")
    if any(item.continued is not None for item in done):
        said.append("*: since it was continued, not from its start")
    if winner := best(found):
        said.append(f"best: {winner.point.folder}, {_measure(winner)} in {winner.out}")
    elif len({item.judged_by for item in _judged(found)}) > 1:
        said.append("no best is named: the points differ in the rows that were held out, or in what of them is counted")
    return said


def counts(found: Sequence[Result]) -> str:
    """How many runs are finished, and what became of the others."""
    states = Counter(item.state for item in found)
    others = "".join(
        f", {states[state]} {state}" for state in ("failed", "stopped", "not run", "not built") if states[state]
    )
    return f"{states['finished']} of {len(found)} finished{others}"


def best(found: Sequence[Result]) -> Result | None:
    """Of several the run with the least validation loss; where nothing was held out, the least training loss is no
    measure of what was learnt, and none is named; nor where the losses are of different rows."""
    judged = _judged(found)
    alike = len({item.judged_by for item in judged}) == 1
    return min(judged, key=lambda item: item.validation or 0.0) if len(judged) > 1 and alike else None


def _judged(found: Sequence[Result]) -> list[Result]:
    return [item for item in found if item.validation is not None]


def _measure(item: Result) -> str:
    return f"validation loss {short(item.validation or 0.0)}"


def _first_line(text: str | None) -> str:
    line = printable(text.splitlines()[0]) if text else ""
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1].rstrip()}…"
