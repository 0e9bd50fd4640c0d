"""Text that has nothing to do with what was learnt, cut into stretches on which a model can be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from backends.native.data import Tokens
from compiler.errors import FtcError
from compiler.exit import USAGE

LONGEST: Final = 512
"""Tokens of a stretch; many short ones tell more about how sure a figure is than a few long ones."""
SHORTEST: Final = 8


def windows(file: Path, tokenizer: Any, plan: dict[str, Any], limit: int | None) -> list[Tokens]:
    """A text file as stretches of at most `data.max_length` tokens, each from its own beginning."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FtcError(f'"{file}" cannot be read as text: {error}', exit_code=USAGE) from error
    size = min(LONGEST, plan["data"]["max_length"])
    begin = _begin(tokenizer)
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    step = size - len(begin)
    cut = [ids[at : at + step] for at in range(0, len(ids), step)]
    found = [Tokens([*begin, *piece], [(1, len(begin) + len(piece))]) for piece in cut if len(piece) >= SHORTEST]
    if not found:
        raise FtcError(f'"{file}" is too short: fewer than {SHORTEST} tokens', exit_code=USAGE)
    return found[:limit]


def _begin(tokenizer: Any) -> list[int]:
    """The token that this tokenizer puts before every text, where it does."""
    ids: list[int] = tokenizer("a")["input_ids"]
    return ids[:1] if ids[:1] == [tokenizer.bos_token_id] else []
