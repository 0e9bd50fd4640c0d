"""What cannot be traced."""

from __future__ import annotations

from compiler.errors import FtcError
from compiler.exit import MISSING


class UntraceableError(FtcError):
    """A part of the run that is not in the libraries of this machine, or whose course only data decides."""

    def __init__(self, message: str) -> None:
        super().__init__(f"cannot be traced: {message}", "without --exact the formula weighs it", MISSING)
