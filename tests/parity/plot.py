"""Curves of the losses, as an SVG picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from parity.compare import Run

COLOURS: Final = ("#1b6ca8", "#d1495b", "#edae49", "#2b7a5b", "#7b4fa3")
WIDTH, HEIGHT, LEFT, TOP = 300, 170, 30, 24


def picture(panels: Sequence[tuple[str, Sequence[Run]]]) -> str:
    """A panel for each recipe, a line for each trainer."""
    drawn = "".join(_panel(index, name, runs) for index, (name, runs) in enumerate(panels))
    longest = max((runs for _, runs in panels), key=len)
    legend = "".join(
        f'<path d="M{LEFT + 130 * n} {HEIGHT + 34}h18" stroke="{COLOURS[n]}" stroke-width="{_width(n)}"/>'
        f'<text x="{LEFT + 24 + 130 * n}" y="{HEIGHT + 38}">{run.name}</text>'
        for n, run in enumerate(longest)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH * len(panels)} {HEIGHT + 50}" '
        f'font-family="sans-serif" font-size="11">\n<rect width="100%" height="100%" fill="white"/>\n'
        f"{drawn}{legend}\n</svg>\n"
    )


def _panel(index: int, name: str, runs: Sequence[Run]) -> str:
    left, top = index * WIDTH + LEFT, max(loss for run in runs for loss in run.losses)
    right, floor, last = (index + 1) * WIDTH - 12, HEIGHT, len(runs[0].losses)
    lines = "".join(
        f'<polyline fill="none" stroke="{COLOURS[n]}" stroke-width="{_width(n)}" points="{_points(run, left, top)}"/>\n'
        for n, run in enumerate(runs)
    )
    ticks = "".join(
        f'<text x="{left - 4}" y="{_down(value, top) + 4:.0f}" text-anchor="end">{value}</text>'
        for value in range(0, int(top) + 1, 2)
    )
    return (
        f'<text x="{left}" y="14" font-weight="bold">{name}: loss</text>{ticks}'
        f'<text x="{left}" y="{floor + 14}">step 1</text>'
        f'<text x="{right}" y="{floor + 14}" text-anchor="end">{last}</text>\n'
        f'<path d="M{left} {TOP}V{floor}H{right}" stroke="#999" fill="none"/>\n{lines}'
    )


def _width(number: int) -> float:
    """Lines lie on each other where trainers agree, so each is thinner than those below it."""
    return 8 - 1.6 * number


def _points(run: Run, left: int, top: float) -> str:
    across, last = WIDTH - LEFT - 16, max(1, len(run.losses) - 1)
    return " ".join(f"{left + across * n / last:.1f},{_down(loss, top):.1f}" for n, loss in enumerate(run.losses))


def _down(loss: float, top: float) -> float:
    return HEIGHT - (HEIGHT - TOP) * loss / top
