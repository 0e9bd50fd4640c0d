"""What `ftc eval` found, for a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from backends.native.amounts import many
from compiler.report.paint import Paint, printable

Figures = Mapping[str, Any]
HEADS: Final = ("", "base", "tuned", "difference")
SHOWN: Final = 100
"""Characters of an answer."""


def eval_text(found: Figures, answers: Sequence[Figures], paint: Paint) -> str:
    """The figures side by side, and some answers."""
    lines = [
        _headline(found),
        "",
        *_table([*_of_rows(found), *_of_text(found), *_of_tasks(found)], paint),
        *_notes(found),
        *(line for row in answers for line in _answer(row, paint)),
    ]
    return "\n".join(lines) + "\n"


def _headline(found: Figures) -> str:
    where = f"{found['device']}, {found['dtype']}"
    if "data" not in found:
        return f"{found['run']} ({where})"
    data = found["data"]
    left = data["read"] - data["rows"]
    out = f", {left:,} left out" if left else ""
    return (
        f"{found['run']}: {many(data['rows'], 'row')} of {data['path']} ({data['format']}{out}), "
        f"{data['trained_tokens']:,} trained tokens ({where})"
    )


def _of_rows(found: Figures) -> Iterable[tuple[str, ...]]:
    if "data" in found:
        yield ("loss", *_losses(found["loss"]))
    if "exact_match" in found:
        match = found["exact_match"]
        change = f"{match['gained']} gained, {match['lost']} lost"
        yield ("exact match", _share(match["base"]), _share(match["tuned"]), change)
    if "preferred" in found:
        yield ("chosen is likelier", *(_share(found["preferred"][name]) for name in ("base", "tuned")), "")


def _of_text(found: Figures) -> Iterable[tuple[str, ...]]:
    if "forgetting" in found:
        told = found["forgetting"]
        before, after = (told["perplexity"][name] for name in ("base", "tuned"))
        yield ("loss on other text", *_losses(told["loss"]))
        yield ("perplexity of it", f"{before:.2f}", f"{after:.2f}", f"x {after / before:.3f}")


def _of_tasks(found: Figures) -> Iterable[tuple[str, ...]]:
    told = found.get("tasks", {"tuned": {}})
    for task, metrics in told["tuned"].items():
        for metric, value in metrics.items():
            name, _, how = metric.partition(",")
            error = f"{name}_stderr,{how}"
            if error in metrics:
                before = told["base"][task]
                pair = (_with_error(each[metric], each[error]) for each in (before, metrics))
                yield (f"{task} {name}", *pair, f"{value - before[metric]:+.4f}")


def _with_error(value: float, error: float) -> str:
    return f"{value:.4f} (standard error {error:.4f})"


def _losses(loss: Figures) -> tuple[str, str, str]:
    change = loss["difference"]
    spread = "" if change["low"] is None else f" ({change['low']:+.4f} to {change['high']:+.4f})"
    return _interval(loss["base"]), _interval(loss["tuned"]), f"{change['value']:+.4f}{spread}"


def _interval(found: Figures) -> str:
    spread = "" if found["low"] is None else f" ({found['low']:.4f} to {found['high']:.4f})"
    return f"{found['value']:.4f}{spread}"


def _share(found: Figures) -> str:
    spread = f" ({found['low']:.1%} to {found['high']:.1%})"
    return f"{found['right']:,} of {found['rows']:,}, {found['share']:.1%}{spread}"


def _table(rows: Sequence[tuple[str, ...]], paint: Paint) -> list[str]:
    whole = [HEADS, *rows]
    widths = [max(len(row[column]) for row in whole) for column in range(len(HEADS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in whole]
    return [paint(lines[0], bold=True), *lines[1:]]


def _notes(found: Figures) -> Iterable[str]:
    if "data" in found and found["data"]["trained_on"]:
        yield ""
        yield "these are rows that it was trained on: they do not tell what it does on others"
    if "data" in found or "forgetting" in found:
        yield ""
        yield "in brackets: 95 %, losses by drawing rows anew (2,000 times), shares by Wilson's interval"
    if "forgetting" in found:
        told = found["forgetting"]
        yield f"other text: {told['text']['path']}, {told['stretches']:,} stretches, {told['tokens']:,} tokens"
    if "exact_match" in found:
        yield "exact match: the likeliest answer, token by token, against the last answer of each row"


def _answer(row: Figures, paint: Paint) -> Iterable[str]:
    yield ""
    yield f"{row['row']}  {paint(_cut(row['question']), bold=True)}"
    yield f"  expected  {_cut(row['expected'])}"
    for name in ("base", "tuned"):
        right = row[name] == row["expected"]
        yield f"  {name:8}  {paint(_cut(row[name]), 'green' if right else None)}"


def _cut(text: str) -> str:
    line = printable(text.replace("\n", "⏎"))
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"
