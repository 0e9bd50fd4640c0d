"""Files and folders that are there whole or not at all, after a kill or a power failure too; and in words, why one
could not be written.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where there is no room."""
WORDS = ("PytorchStreamWriter", "inline_container", "unexpected pos", "I/O error", "os error")
"""By which torch's and safetensors' own errors tell that a file could not be written."""
PROBE = 1 << 20
"""Bytes that are written to hear from the system what a library does not tell."""


class DiskError(Exception):
    """What could not be written, and why, in words for its owner."""


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync(path.parent)


def write_folder(path: Path, save: Callable[[Path], object]) -> None:
    """Have `save` fill a folder beside `path`, then put it in the place of `path`. What lies there meanwhile has names
    that nobody gives: what is found under them was left by a process that died."""
    part, old = (path.with_name(f".{path.name}.{what}") for what in ("part", "old"))
    for folder in (part, old):
        shutil.rmtree(folder, ignore_errors=True)
    with told(part, f'"{path}"'):
        part.mkdir(parents=True)
        save(part)
        let_read(part)
        sync_all(part)
    if path.exists():
        path.rename(old)
    part.rename(path)
    sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def let_read(folder: Path) -> None:
    """Files of a folder are for those whom the folder is for: safetensors makes its own for their owner alone."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(path.stat().st_mode | folder.stat().st_mode & 0o666)


def sync(path: Path) -> None:
    """Wait until a file, or what a folder lists, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_all(folder: Path) -> None:
    """Wait until all of a folder is on the disk: renamed before that, it could be there without its content after a
    power failure."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


@contextmanager
def told(draft: Path, what: str) -> Generator[None]:
    """`DiskError` where what is written into the folder `draft`, to become `what`, cannot be; no part of it stays."""
    try:
        yield
    except BaseException as error:
        reason = why(error, draft.parent)
        shutil.rmtree(draft, ignore_errors=True)
        if reason is None:
            raise
        raise DiskError(f"{what} cannot be written: {reason}") from error


def why(error: BaseException, folder: Path) -> str | None:
    """Why nothing could be written into the folder; None where an error is of something else. Libraries do not always
    pass on what the system said, so it is asked again, before anything is removed."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if not isinstance(error, Exception) or not any(word in str(error) for word in WORDS):
        return None
    probe = folder / f".probe.{os.getpid()}"
    try:
        with probe.open("wb") as file:
            file.write(bytes(PROBE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as found:
        return found.strerror
    finally:
        probe.unlink(missing_ok=True)
    return str(error).splitlines()[0]
