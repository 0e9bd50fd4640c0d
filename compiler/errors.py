"""The one exception that ends a command: what went wrong, what to do, and the exit code that it means."""

from __future__ import annotations


class FtcError(Exception):
    """Raised where nothing more can be done, caught once, in `compiler.cli`. `exit_code`: see `compiler.exit`."""

    def __init__(self, message: str, hint: str | None = None, exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
