"""What was seen of a file is remembered while the file is as it was: one recipe is compiled for several targets, and by
the language server after every keystroke."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from time import time_ns
from typing import Concatenate, Final, ParamSpec, TypeVar

YOUNG: Final = 2_000_000_000
"""Nanoseconds for which a changed file may change again and look the same: clocks of file systems are coarse."""
KEPT: Final = 1024
Given = ParamSpec("Given")
Seen = TypeVar("Seen")
Stamp = tuple[int, int, int, int]


def seen_once(look: Callable[Concatenate[Path, Given], Seen]) -> Callable[Concatenate[Path, Given], Seen]:
    """The same function, which looks at a file only once for each of the other arguments."""

    @lru_cache(maxsize=KEPT)
    def remembered(path: Path, _: Stamp, *args: Given.args, **kwargs: Given.kwargs) -> Seen:
        return look(path, *args, **kwargs)

    @wraps(look)
    def asked(path: Path, *args: Given.args, **kwargs: Given.kwargs) -> Seen:
        stamp = _stamp(path)
        return look(path, *args, **kwargs) if stamp is None else remembered(path, stamp, *args, **kwargs)

    return asked


def _stamp(path: Path) -> Stamp | None:
    """What tells that a file is as it was; None where that cannot be told."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    # Who copies a file with its times sets the first back, and cannot the second.
    times = (found.st_mtime_ns, found.st_ctime_ns)
    settled = min(abs(time_ns() - time) for time in times) > YOUNG
    return (*times, found.st_size, found.st_ino) if settled else None
