"""The runs of a sweep as one page: the table, what each axis does to the loss, and the losses over steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from backends.native.amounts import duration, short, size, whole
from backends.native.curves import Chart, Series, Slice, Tick, chart
from compiler.report.html_page import environment
from compiler.report.sweep_results import best, counts, remarks
from compiler.sweep.axes import Axis
from compiler.sweep.results import Result
from compiler.sweep.sweeping import Sweep

STYLES: Final = ("first", "second", "third", "fourth")
"""Of lines that are told apart; further runs are drawn alike, and the table has them."""


def results_html(sweep: Sweep, found: Sequence[Result]) -> str:
    """No script, no request; what is put in is text."""
    made = environment()
    made.filters.update(short=short, whole=whole, size=size, duration=duration)
    return made.get_template("sweep.html.jinja").render(
        name=sweep.base or "recipe",
        axes=sweep.axes,
        results=found,
        counts=counts(found),
        remarks=remarks(found)[1:],
        best=best(found),
        axis_charts=[made for axis in sweep.axes if (made := axis_chart(axis, found))],
        loss_charts=[made for made in (_losses(found, watched=True), _losses(found, watched=False)) if made],
    )


def axis_chart(axis: Axis, found: Sequence[Result]) -> Chart | None:
    """The least validation loss of every run, at the value that it was given; the line joins each value's best."""
    texts = [value.text for value in axis.values]
    places = {text: number for number, text in enumerate(texts, start=1)}
    measured = [
        (float(places[item.point.values[axis.key]]), item.validation, item)
        for item in found
        if item.validation is not None
    ]
    if not measured or len(texts) < 2:
        return None
    least = {place: min(value for at, value, _ in measured if at == place) for place, _, _ in measured}
    series = [
        Series("the best of each value", "first", sorted(least.items())),
        Series("a run", "fifth loose", sorted((place, value) for place, value, _ in measured), dots=True, loud=False),
    ]
    end = len(texts) + 0.5
    drawn = chart(
        f"axis-{axis.number}", f"Validation loss by {axis.key}", "validation loss", series, end=end, shown=short
    )
    if drawn is None:
        return None
    said = [(text, f"{short(least[place])}" if (place := float(places[text])) in least else "-") for text in texts]
    return replace(
        drawn,
        words=f"{drawn.title}. The best of each value: " + "; ".join(f"{text}: {value}" for text, value in said) + ".",
        across=tuple(Tick(100 * place / end, text[:24]) for text, place in places.items()),
        slices=tuple(_slice(text, place, end, found, axis.key) for text, place in places.items()),
        rows=tuple((text, value) for text, value in said),
    )


def _slice(text: str, place: int, end: float, found: Sequence[Result], key: str) -> Slice:
    """What is said of a value that is pointed at."""
    values = sorted(item.validation for item in found if item.validation is not None and item.point.values[key] == text)
    words = f"{len(values)} runs, {short(values[0])} to {short(values[-1])}" if values else "no run is finished"
    return Slice(100 * (place - 0.5) / end, 100 / end, f"{key} {text}: {words}")


def _losses(found: Sequence[Result], *, watched: bool) -> Chart | None:
    """The runs over each other, the best first; those that cannot be told apart by a line's style are drawn thin."""
    runs = [(item, item.watched if watched else item.trained) for item in found]
    runs = sorted((pair for pair in runs if pair[1]), key=lambda pair: _rank(pair[0]))
    loud = [Series(item.point.folder, style, list(points)) for (item, points), style in zip(runs, STYLES, strict=False)]
    quiet = [Series("the others", "fifth raw", list(points), loud=False) for _, points in runs[len(STYLES) :]]
    what = "Validation loss" if watched else "Training loss"
    end = max((points[-1][0] for _, points in runs), default=1.0)
    # What is drawn last lies above.
    return chart("watched" if watched else "trained", what, "loss", [*quiet, *loud], end=end, shown=short, steep=True)


def _rank(item: Result) -> tuple[float, float]:
    worst = float("inf")
    return (
        worst if item.validation is None else item.validation,
        worst if item.loss is None else item.loss,
    )
