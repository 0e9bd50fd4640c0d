"""Scripts of ftc that are copied into artifacts, where they stand side by side and need nothing of ftc."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

NATIVE: Final = Path(__file__).parent / "native"
_OURS: Final = re.compile(r"^(\s*from )backends\.native\.(\w+ import )", re.MULTILINE)


def scripts(names: Iterable[str]) -> dict[str, str]:
    """File name → text: as it stands in `backends/native`, but for the room that its neighbours are imported from."""
    return {name: _script(name) for name in names}


@cache
def _script(name: str) -> str:
    return _OURS.sub(r"\1\2", (NATIVE / name).read_text(encoding="utf-8"))
