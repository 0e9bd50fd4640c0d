"""Writes the rows that a tool reads beside its config, by the code that artifacts carry for rows from the hub."""

from __future__ import annotations

from pathlib import Path

from backends.alike import job
from backends.native.formats import DataError, FileError
from backends.native.prepare import write_rows
from backends.native.rows import Advance, local_files
from compiler.errors import FtcError
from compiler.exit import INVALID, MISSING, USAGE
from schemas.artifact import Preparation
from schemas.plan import is_sources


def prepare(rows: Preparation, folder: Path, advance: Advance) -> None:
    """Write both files. An unreadable row is an `FtcError` that names file and line."""
    try:
        write_rows(job(rows), folder, advance)
    except DataError as error:
        raise FtcError(str(error), exit_code=USAGE if isinstance(error, FileError) else INVALID) from error
    except ImportError as error:
        raise FtcError(f"the data cannot be read here: {error}", f"pip install {error.name}", MISSING) from error


def total_bytes(rows: Preparation | None) -> int:
    """About how much `prepare` will report to `advance`."""
    if rows is None:
        return 0
    passes = 2 if isinstance(rows.validation, int) else 1
    sources = [*(rows.train * passes), *(rows.validation if is_sources(rows.validation) else ())]
    try:
        return sum(path.stat().st_size for source in sources for path in local_files(source.path))
    except (OSError, DataError):
        return 0
