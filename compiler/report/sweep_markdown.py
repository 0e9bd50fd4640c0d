"""The table of a sweep as Markdown, beside its points' folders."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from compiler.report.sweep_text import BASIS, HEAD, cells, counts_text
from compiler.sweep.record import markdown_table
from compiler.sweep.sweeping import Outcome, Sweep


def sweep_markdown(sweep: Sweep, found: Sequence[Outcome], built: Collection[str], why_not: Mapping[str, str]) -> str:
    """Every point, with its folder where it was built. `why_not`: of points that could not be written."""
    keys = [axis.key for axis in sweep.axes]
    head = ["number", *keys, *HEAD[1:-1], "folder"]
    rows = [_row(item, keys, item.point.folder in built, why_not.get(item.point.folder)) for item in found]
    return (
        f"# {sweep.base or 'A recipe'}, a sweep over {', '.join(f'`{key}`' for key in keys)}\n\n"
        f"Planned by ftc: {counts_text(found)}; {BASIS}.\n\n"
        f"{markdown_table([head, *rows])}"
    )


def _row(item: Outcome, keys: Sequence[str], built: bool, why: str | None) -> list[str]:
    _, verdict, *figures, because = cells(item)
    values = [_code(item.point.values[key]) for key in keys]
    where = f"`{item.point.folder}`" if built else (why or because or "-").splitlines()[0]
    return [str(item.point.number), *values, verdict, *figures, where]


def _code(text: str) -> str:
    ticks = "``" if "`" in text else "`"
    return f"{ticks} {text} {ticks}" if ticks == "``" else f"`{text}`"
