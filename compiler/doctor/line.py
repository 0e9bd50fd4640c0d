"""One thing that was looked at."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

Status = Literal["ok", "note", "warning", "missing"]
STATUSES: Final[tuple[Status, ...]] = ("ok", "note", "warning", "missing")
"""`note`: neither good nor bad. `warning`: it runs, with a disadvantage. `missing`: what needs it cannot run."""


class Line(Struct, frozen=True):
    """`group`: under which title it stands. `remedy`: what to do, where there is something to do."""

    group: str
    subject: str
    status: Status
    said: str
    remedy: str | None = None
