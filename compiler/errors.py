"""The one exception that ends a command: what went wrong, what to do, and the exit code that it means."""

from __future__ import annotations


class FtcError(Exception):
    """Raised where nothing more can be done, caught once, in `compiler.cli`. `exit_code`: see `compiler.exit`."""

    def __init__(self, message: str, hint: str | None = None, exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


def log_bug() -> str:
    """Write the exception that is being handled to a file; where."""
    import sys
    from tempfile import NamedTemporaryFile
    from traceback import format_exc

    from schemas.version import VERSION

    with NamedTemporaryFile("w", prefix="ftc-", suffix=".log", delete=False, encoding="utf-8") as log:
        log.write(f"ftc {VERSION}, Python {sys.version}\n{format_exc()}")
    return log.name
