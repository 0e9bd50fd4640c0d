"""Two runs beside each other, for a person and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from compiler.diff.comparing import SIZES, UNSAID, Compared, Row
from compiler.diff.sides import Side
from compiler.report.machine import FORMAT_VERSION, as_data, as_json, gib
from compiler.report.memory_text import VERDICTS, size
from compiler.report.paint import Paint, printable
from compiler.report.plan_text import setting
from compiler.report.table import table

WIDEST = 40
"""Columns of a value; longer ones are cut in their middle."""


def diff_text(found: Compared, sides: Sequence[Side], paint: Paint) -> str:
    """What differs, section by section; one line where nothing does."""
    head = _head(sides, paint)
    if found.same:
        names = ", ".join(row.path for row in found.beside)
        return head + paint("the same run", "green", bold=True) + (f", but for {names}" if names else "") + "\n"
    labels = [side.label for side in sides]
    parts = [
        _section("settings", labels, [_leaf(row) for row in found.leaves], paint) + _whys(found.leaves, labels, paint),
        _section("what follows", labels, [_figure(row) for row in found.follows], paint),
        _section("what the tools are told", labels, [_leaf(row) for row in found.words], paint),
        "".join(_told(found, sides, paint)),
        _section("names and places", labels, [_leaf(row) for row in found.beside], paint),
    ]
    return head + "\n" + "\n".join(part for part in parts if part)


def _head(sides: Sequence[Side], paint: Paint) -> str:
    width = max(len(side.label) for side in sides)
    lines: list[str] = []
    for side in sides:
        imported = f", imported from {side.origin}" if side.origin else ""
        lines.append(
            f"{paint(side.label.ljust(width), bold=True)}  {printable(side.file.name)}{imported}, by {side.tool}\n"
        )
    return "".join(lines)


def _section(title: str, labels: Sequence[str], rows: Sequence[list[str]], paint: Paint) -> str:
    if not rows:
        return ""
    return (
        paint(title, bold=True) + "\n" + "".join(f"  {line}\n" for line in table([["", *labels], *rows]).splitlines())
    )


def _leaf(row: Row) -> list[str]:
    return [row.path, *(_cut(_setting(row.path, value)) for value in row.values)]


def _setting(path: str, value: object) -> str:
    if value == UNSAID:
        return UNSAID
    return "none" if value is None else setting(path, value)


def _cut(text: str) -> str:
    """A long value by its two ends: paths differ in either."""
    return text if len(text) <= WIDEST else f"{text[: WIDEST // 2 - 2]}…{text[-(WIDEST // 2) + 1 :]}"


def _figure(row: Row) -> list[str]:
    return [row.path, *(_amount(row.path, value) for value in row.values)]


def _amount(name: str, value: object) -> str:
    if value is None:
        return UNSAID
    if name in SIZES and isinstance(value, int):
        return size(value)
    if name == "memory verdict":
        return next((words[0] for verdict, words in VERDICTS.items() if verdict == value), str(value))
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _whys(rows: Sequence[Row], labels: Sequence[str], paint: Paint) -> str:
    """Reasons of what was left to the compiler, and what is known of files."""
    lines: list[str] = []
    for row in rows:
        if row.note:
            lines.append(f"  {row.path}: {row.note}")
        if len(set(row.why)) == 1 and row.why[0]:
            lines.append(f"  {row.path}: {printable(row.why[0])}")
            continue
        lines += [
            f"  {row.path} for {label}: {printable(why)}" for label, why in zip(labels, row.why, strict=True) if why
        ]
    return paint("because", bold=True) + "\n" + "".join(f"{line}\n" for line in lines) if lines else ""


def _told(found: Compared, sides: Sequence[Side], paint: Paint) -> Iterator[str]:
    """What each tool cannot do, or does otherwise."""
    for number, side in enumerate(sides):
        said = [item.found for item in found.told if item.side == number]
        if not said:
            continue
        yield paint(f"{side.label}: what {side.title} does otherwise", bold=True) + "\n"
        for item in said:
            text = printable(item.message.removeprefix(f"{side.title}: "))
            lost = "not at all: " if item.code != "FTC405" else ""
            first, *rest = wrap(f"{item.code} {lost}{text}", 108)
            yield f"  {first}\n" + "".join(f"         {line}\n" for line in rest)


def diff_json(found: Compared, sides: Sequence[Side]) -> str:
    """The same as data. Keys may be added, never renamed."""
    return as_json(
        {
            "format_version": FORMAT_VERSION,
            "same": found.same,
            "sides": [_side(side) for side in sides],
            "plan": [_row(row) for row in found.leaves],
            "beside": [_row(row) for row in found.beside],
            "follows": [_follows(row) for row in found.follows],
            "words": [_row(row) for row in found.words],
            "targets": [
                {
                    "side": item.side,
                    "code": item.found.code,
                    "level": item.found.level,
                    "path": item.found.path,
                    "message": item.found.message,
                }
                for item in found.told
            ],
        }
    )


def _side(side: Side) -> dict[str, object]:
    return {
        "label": side.label,
        "file": side.file.name,
        "recipe": side.plan.name,
        "target": side.target,
        "tool": side.tool,
        "imported_from": side.origin,
    }


def _row(row: Row) -> dict[str, object]:
    values = [None if value == UNSAID else as_data(value) for value in row.values]
    return {"path": row.path, "values": values, "because": list(row.why), "content": row.note}


def _follows(row: Row) -> dict[str, object]:
    """Sizes in GiB, as everywhere in ftc's JSON."""
    sized = row.path in SIZES
    values = [gib(value) if sized and isinstance(value, int) else value for value in row.values]
    return {"name": row.path.strip(), "unit": "GiB" if sized else None, "values": values}
