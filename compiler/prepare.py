"""Reads the rows of a recipe when its artifact is written: to check them, and where a tool needs it to write them anew.

The code is what artifacts carry for rows that are on the hub.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from backends.alike import job, told
from backends.native.files import Advance, local_files
from backends.native.findings import DataError, FileError, Tally
from backends.native.prepare import in_pairs, write_rows
from backends.native.rows import read_rows, sound
from compiler.errors import FtcError
from compiler.exit import INVALID, MISSING, USAGE
from schemas.artifact import Preparation
from schemas.plan import Plan, SourcePlan, is_sources

Result = TypeVar("Result")


def prepare(rows: Preparation, folder: Path, advance: Advance) -> Tally:
    """Write both files; which rows are left out. Where they are not to be, they are an `FtcError` that names file and
    line."""
    return as_ftc_errors(lambda: write_rows(job(rows), folder, advance)).met


def check(plan: Plan, advance: Advance, *, paired: bool) -> Tally:
    """Read every row that is on this machine; which will be left out, or an `FtcError` as above. `paired`: as of
    `Preparation`."""
    met, templated = Tally(), plan.model.chat_template is not None
    sources = [told(source) for source in _sources(plan) if source.local]
    rows = read_rows(sources, plan.data.system, templated, advance)
    looked_at = map(in_pairs, rows) if paired else rows
    as_ftc_errors(lambda: sum(1 for _ in sound(looked_at, met, drop_bad=plan.data.bad_rows == "drop")))
    return met


def bytes_to_check(plan: Plan) -> int:
    """How much `check` will report to `advance`."""
    return _size(source for source in _sources(plan) if source.local)


def bytes_to_prepare(rows: Preparation) -> int:
    """About how much `prepare` will report to `advance`."""
    return _size((*rows.train, *(rows.validation if is_sources(rows.validation) else ())))


def _sources(plan: Plan) -> tuple[SourcePlan, ...]:
    return (*plan.data.train, *(plan.data.validation if is_sources(plan.data.validation) else ()))


def _size(sources: Iterable[SourcePlan]) -> int:
    try:
        return sum(path.stat().st_size for source in sources for path in local_files(source.path))
    except (OSError, DataError):
        return 0


def as_ftc_errors(read: Callable[[], Result]) -> Result:
    """What `read` gives; what is wrong with the data ends the command."""
    try:
        return read()
    except DataError as error:
        raise FtcError(str(error), exit_code=USAGE if isinstance(error, FileError) else INVALID) from error
    except ImportError as error:
        raise FtcError(f"the data cannot be read here: {error}", f"pip install {error.name}", MISSING) from error
