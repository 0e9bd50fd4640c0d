"""Exit codes, the same in every command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from schemas.diagnostic import Diagnostic
from schemas.footprint import Footprint

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
TERMINATED: Final = 143
INTERNAL: Final = 70
"""A bug of ftc (sysexits' EX_SOFTWARE), which no input should reach."""

ABSENT: Final = frozenset({"FTC011"})
"""Codes of errors that say nothing against the recipe: what it names is not on this machine."""
ORDER: Final = (USAGE, INVALID, MISSING, NO_FIT)


def first(codes: Iterable[int]) -> int:
    """Of several at once, the one that the process ends with."""
    seen = set(codes)
    return next((code for code in ORDER if code in seen), OK)


def of_recipe(found: Sequence[Diagnostic], footprints: Iterable[Footprint | None]) -> int:
    """The exit code of a recipe with these findings and, on each target asked for, this need of memory."""
    errors = [MISSING if item.code in ABSENT else INVALID for item in found if item.level == "error"]
    return first([*errors, *(NO_FIT for item in footprints if item and item.verdict == "does_not_fit")])
