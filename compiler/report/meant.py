"""What a did-you-mean would write in the place of what stands there, for reports that programs act on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from schemas.diagnostic import Diagnostic

_MEANT: Final = re.compile(r'(?:did you mean "([^"]+)"\?|this is called "([^"]+)" here)')
_PLAIN: Final = re.compile(r"[A-Za-z0-9_~.][\w./@+-]*")
"""Words that YAML reads as they stand, without quotes."""


def meant(item: Diagnostic, lines: Sequence[str]) -> str | None:
    """The text for the marked stretch; None where no word is suggested, or the stretch is more than one word."""
    found = _MEANT.fullmatch(item.hint or "")
    span = item.span
    if not found or span.line != span.end_line or not 0 < span.line <= len(lines):
        return None
    stands, word = lines[span.line - 1][span.column - 1 : span.end_column - 1], found[1] or found[2]
    quote = stands[:1] if stands[:1] in ('"', "'") else ""
    inner = stands.removeprefix(quote).removesuffix(quote) if quote else stands
    if not _PLAIN.fullmatch(word) or not inner or any(char in inner for char in "\"'\\ {}[]#"):
        return None
    return f"{quote}{word}{quote}"
