"""Rows of words in columns."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]]) -> str:
    """The rows with their columns aligned, figures to the right; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join("  ".join(map(_placed, row, widths)).rstrip() + "\n" for row in rows)


def _placed(cell: str, width: int) -> str:
    return cell.rjust(width) if cell[:1].isdigit() and cell[-1:].isdigit() else cell.ljust(width)
