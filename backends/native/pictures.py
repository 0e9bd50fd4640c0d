"""Which curves a run has: losses, rewards, the learning rate, gradients, speed and memory over its steps.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from math import isfinite
from typing import Any

from backends.native.amounts import rate, short, whole
from backends.native.curves import Chart, Limit, Mark, Points, Series, chart, smoothed
from backends.native.page_words import LARGEST, PHASES, planned_memory

Lines = list[dict[str, Any]]
RARE = ("save", "samples")
"""Phases whose readings belong to nothing between them."""
EPOCHS = 12
"""Whose ends are drawn, at most."""
PREFERENCES = {
    "margins": (("rewards/margins",), "Reward margin", "chosen answer less rejected one"),
    "accuracies": (("rewards/accuracies",), "How often the chosen answer is preferred", "share of the rows"),
    "rewards": (("rewards/chosen", "rewards/rejected"), "Rewards", "of each kind of answer"),
}


def pictures(told: Any) -> dict[str, Chart]:
    """By name; those that nothing was read for are left out."""
    made = {
        "loss": _losses(told),
        **{name: _rewards(told, name) for name in PREFERENCES},
        "rate": _single(told, "rate", "Learning rate", "learning_rate", "learning rate", shown=rate, zero=True),
        "gradient": _single(told, "gradient", "Gradient norm", "grad_norm", "before clipping", steep=True),
        "speed": _single(told, "speed", "Throughput", "tokens_per_second", "tokens a second", shown=whole, zero=True),
        "memory": _memory(told),
    }
    return {name: picture for name, picture in made.items() if picture}


def points(history: Lines, key: str) -> Points:
    """The values of a key that are numbers, in order."""
    read = ((float(line["step"]), line.get(key)) for line in history)
    return [(step, value) for step, value in read if value is not None and isfinite(value)]


def end(told: Any) -> float:
    """Where the picture ends: at the last step of a run that is finished, else where it would have been."""
    return float(told.step if told.how == "finished" else max(told.steps, told.step))


def marks(told: Any) -> list[Mark]:
    """Where the run was continued, and where epochs end."""
    found = [Mark(start["step"], f"continued after step {start['step']:,}", "again") for start in told.starts[1:]]
    last = max((line["epoch"] for line in told.history), default=0.0)
    ends = [Mark(step, f"end of epoch {epoch}", "epoch") for epoch, step in _epochs(told.history) if epoch < last]
    return [*(ends if len(ends) <= EPOCHS else []), *found]


def _epochs(history: Lines) -> Iterator[tuple[int, float]]:
    """Each whole epoch with the step at which it ends, between lines by their distance."""
    for one, other in pairwise(history):
        epoch = int(other["epoch"])
        if int(one["epoch"]) < epoch and other["epoch"] > one["epoch"]:
            share = (epoch - one["epoch"]) / (other["epoch"] - one["epoch"])
            yield epoch, one["step"] + share * (other["step"] - one["step"])


def _losses(told: Any) -> Chart | None:
    trained, watched = points(told.history, "loss"), points(told.history, "eval_loss")
    return chart(
        "loss",
        "Loss",
        "loss",
        [*_both(trained, "training"), Series("validation", "second", watched, dots=True)],
        end=end(told),
        shown=short,
        marks=marks(told),
        steep=True,
    )


def _both(found: Points, name: str, style: str = "first") -> list[Series]:
    """Values as they are, and smoothed where there are many."""
    smooth = smoothed(found)
    if not smooth:
        return [Series(name, style, found)]
    return [Series(name, f"{style} raw", found), Series(f"{name}, smoothed", style, smooth, loud=False)]


def _rewards(told: Any, name: str) -> Chart | None:
    keys, title, unit = PREFERENCES[name]
    series: list[Series] = []
    for key, styles in zip(keys, (("first", "second"), ("third", "fourth")), strict=False):
        of = f"{key.rpartition('/')[2]}, " if len(keys) > 1 else ""
        series += _both(points(told.history, key), f"{of}training", styles[0])
        series.append(Series(f"{of}validation", styles[1], points(told.history, f"eval_{key}"), dots=True))
    return chart(name, title, unit, series, end=end(told), shown=short, marks=marks(told), zero=True)


def _single(
    told: Any,
    name: str,
    title: str,
    key: str,
    unit: str,
    *,
    shown: Callable[[float], str] = short,
    zero: bool = False,
    steep: bool = False,
) -> Chart | None:
    found = points(told.history, key)
    series = [Series(unit, "first", found)] if name == "rate" else _both(found, unit)
    return chart(name, title, unit, series, end=end(told), shown=shown, marks=marks(told), zero=zero, steep=steep)


def _memory(told: Any) -> Chart | None:
    planned = planned_memory(told).get("phases", {})
    series, limits = list[Series](), list[Limit]()
    for phase, (name, style) in PHASES.items():
        lines = [(line["step"], line["memory_phases_gib"]) for line in told.history if "memory_phases_gib" in line]
        found = [(float(step), sizes[phase]) for step, sizes in lines if phase in sizes]
        if phase == "load" or not found:
            continue
        loose = phase in RARE
        series.append(Series(name, f"{style} loose" if loose else style, found, dots=loose or phase == "eval"))
        if planned.get(phase) and (told.device != "cpu" or phase == LARGEST):
            limits.append(Limit(planned[phase], f"planned: {name}", style))
    return chart(
        "memory",
        "Memory by phase",
        "GiB",
        series,
        end=end(told),
        shown=short,
        marks=marks(told),
        limits=limits,
        zero=True,
    )
