"""Programs that are asked, each with a time limit: what hangs or crashes is an answer too."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence

from msgspec import Struct


class Said(Struct, frozen=True):
    """`failure`: in words, why there is no good answer; None where it ended well."""

    out: str
    failure: str | None = None


def ask(command: Sequence[str], seconds: float) -> Said:
    """Run it to its end, or to ours."""
    try:
        done = subprocess.run(  # noqa: S603 (programs of this machine that doctor is asked to look at, no shell)
            command, capture_output=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return Said("", f"did not answer within {seconds:g} seconds")
    except OSError as error:
        return Said("", f"cannot be started: {error.strerror or error}")
    out, err = (text.decode(errors="replace").strip() for text in (done.stdout, done.stderr))
    if done.returncode == 0:
        return Said(out)
    last = next((line.strip() for line in reversed((err or out).splitlines()) if line.strip()), "")
    return Said(out, _ended(done.returncode) + (f": {last[:200]}" if last else ""))


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"crashed with {signal.Signals(-code).name}"
    except ValueError:
        return f"crashed with signal {-code}"
