"""Rows that several points of a sweep train from alike: read and written once.

Another tool's rows are written into every point's folder, so that each can be copied away by itself; on one disk they
are one file under several names (hard links), as a hundred points would hold the data a hundred times.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from backends.alike import job
from backends.native.files import Advance
from backends.native.findings import Tally
from compiler.errors import FtcError
from compiler.prepare import check, prepare
from compiler.report.machine import as_data
from schemas.artifact import Preparation
from schemas.plan import Plan


class SharedRows:
    """Remembers which rows were looked at, and where which were written."""

    def __init__(self) -> None:
        self._looked: dict[str, Tally | FtcError] = {}
        self._written: dict[str, tuple[Path, Tally] | FtcError] = {}
        self._latest: str | None = None

    def check(self, plan: Plan, advance: Advance, *, paired: bool) -> Tally:
        """As of `compiler.prepare`, once for each data; so is what is wrong with it."""
        data, template = plan.data, plan.model.chat_template is not None
        key = repr((as_data(data.train), as_data(data.validation), data.system, data.bad_rows, template, paired))
        if key not in self._looked:
            try:
                self._looked[key] = check(plan, advance, paired=paired)
            except FtcError as error:
                self._looked[key] = error
        return _said(self._looked[key])

    def prepare(self, rows: Preparation, folder: Path, advance: Advance) -> Tally:
        """As of `compiler.prepare`; rows that lie in another point's folder are linked, or copied where they cannot."""
        self._latest = key = repr(job(rows))
        before = self._written.get(key)
        if isinstance(before, FtcError):
            raise before
        if before and all((before[0] / name).is_file() for name in rows.files):
            for name in rows.files:
                _linked(before[0] / name, folder / name)
            return before[1]
        try:
            self._written[key] = (folder, prepare(rows, folder, advance))
        except FtcError as error:
            self._written[key] = error
        return _said(self._written[key])

    def moved(self, folder: Path) -> None:
        """The point that was written last is in its place now, with the rows that were prepared for it, if any were."""
        latest, self._latest = self._latest, None
        before = self._written.get(latest) if latest else None
        if latest and isinstance(before, tuple):
            self._written[latest] = (folder, before[1])


def _said(answer: Tally | tuple[Path, Tally] | FtcError) -> Tally:
    if isinstance(answer, FtcError):
        raise answer
    return answer[1] if isinstance(answer, tuple) else answer


def _linked(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
