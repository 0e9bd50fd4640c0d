"""Rows of words in columns."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]]) -> str:
    """The rows with their columns aligned, columns of figures to the right. The first row is the head."""
    columns = [_aligned(column) for column in zip(*rows, strict=True)]
    return "".join("  ".join(row).rstrip() + "\n" for row in zip(*columns, strict=True))


def _aligned(column: Sequence[str]) -> list[str]:
    width = max(map(len, column))
    figures = all(cell in ("", "-") or cell[0].isdigit() for cell in column[1:])
    return [cell.rjust(width) if figures else cell.ljust(width) for cell in column]
