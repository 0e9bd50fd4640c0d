"""Writes a new file whole, and never over one that is there."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from compiler.errors import FtcError
from compiler.exit import USAGE


def write_new(path: Path, text: str) -> None:
    """Write aside, then give it its name; `FtcError` (usage) where that name is taken, now or meanwhile."""
    require_free(path)
    try:
        _write(path, text)
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error


def _write(path: Path, text: str) -> None:
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", encoding="utf-8", newline="\n") as aside:
        aside.write(text)
        aside.flush()
        os.fsync(aside.fileno())
        Path(aside.name).chmod(0o666 & ~_umask())
        try:
            os.link(aside.name, path)  # fails where there is one, in the same moment
        except FileExistsError:
            raise _taken(path) from None
        except OSError:  # a file system without links
            with path.open("x", encoding="utf-8", newline="\n") as file:
                file.write(text)


def require_free(path: Path) -> None:
    """`FtcError` (usage) where something lies there."""
    if os.path.lexists(path):
        raise _taken(path)


def require_writable(folder: Path, path: Path) -> None:
    """`FtcError` (usage) where nothing new can be written into that folder."""
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unwritable(path, "its folder is read-only")


def _unwritable(path: Path, why: str) -> FtcError:
    return FtcError(f'"{path}" cannot be written: {why}', "name another folder with --out", USAGE)


def _taken(path: Path) -> FtcError:
    return FtcError(f'"{path}" is there already, and stays as it is', "name another file with --out", USAGE)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
