"""What `ftc doctor` found, for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from compiler.doctor.line import Line, Status
from compiler.report.paint import Paint, Shade, printable

SHADES: Mapping[Status, Shade] = {"ok": "green", "note": None, "warning": "yellow", "missing": "red"}


def doctor_text(lines: Sequence[Line], paint: Paint) -> str:
    """A paragraph for each group; a remedy stands under what it mends."""
    wide = max((len(line.subject) for line in lines), default=0)
    parts: list[str] = []
    for group, found in groupby(lines, lambda line: line.group):
        parts.append(paint(group, bold=True) + "\n" + "".join(_line(line, wide, paint) for line in found))
    return "\n".join(parts)


def _line(line: Line, wide: int, paint: Paint) -> str:
    status = paint(f"{line.status:7}", SHADES[line.status], bold=line.status == "missing")
    text = f"  {status}  {line.subject:{wide}}  {printable(line.said)}\n"
    return text + (f"{' ' * (wide + 13)}{printable(line.remedy)}\n" if line.remedy else "")
