"""Exit codes, the same in every command."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

OK: Final = 0
INVALID: Final = 1
"""The recipe or its data has errors, or a child process failed."""
USAGE: Final = 2
"""Wrong usage, or a file that cannot be read."""
NO_FIT: Final = 3
"""A valid recipe that does not fit into the GPU's memory."""
MISSING: Final = 4
"""A model, a package or a tool is not there."""
INTERRUPTED: Final = 130

ORDER: Final = (USAGE, INVALID, MISSING, NO_FIT)


def first(codes: Iterable[int]) -> int:
    """Of several at once, the one that the process ends with."""
    seen = set(codes)
    return next((code for code in ORDER if code in seen), OK)
