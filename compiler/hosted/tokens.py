"""Tokens of rows: counted where the provider's tokenizer is on this machine, else estimated by their bytes.

Nothing is fetched: tiktoken is asked only where the file of the encoding lies in its cache, whole.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from hashlib import sha1, sha256
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from schemas.hosted import Tokens

BYTES: Final = 4.0
MOST_BYTES: Final = 5.5
LEAST_BYTES: Final = 2.5
"""Bytes of UTF-8 in a token: about, and the ends of the interval. Of o200k_base, measured in 2026-11 on files of this
project: 4.4 in English prose, 4.2 in Python, 3.6 in rows of conversations, 2.9 in rows of sums."""
TURN: Final = 4
ROW: Final = 3
"""Tokens around each turn and at the end of a row, as OpenAI's cookbook counts them for its chat models."""

ENCODINGS: Final[Mapping[str, tuple[str, str]]] = {
    "o200k_base": (
        "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    )
}
"""Where tiktoken has a file from, which its cache calls it by, and the checksum without which it fetches it anew."""


class Counter(Struct, frozen=True):
    """How texts are counted. `basis`: in words, for whoever reads the figure."""

    basis: str
    count: Callable[[str], Tokens]
    exact: bool

    def turns(self, turns: list[Any], tools: object = None) -> Tokens:
        """A conversation with what stands around its turns."""
        texts = [_text(turn) for turn in turns] + ([json.dumps(tools, ensure_ascii=False)] if tools else [])
        around = TURN * len(turns) + ROW
        return sum(map(self.count, texts), Tokens(around, around, around))


def _text(turn: Mapping[str, Any]) -> str:
    """What is said in a turn, and what is called."""
    calls = turn.get("tool_calls")
    return str(turn.get("content") or "") + (json.dumps(calls, ensure_ascii=False) if calls else "")


def counter(encoding: str | None) -> Counter:
    """The tokenizer of that name if it is here, else an estimate."""
    real = _real(encoding) if encoding else None
    return real or Counter(
        f"estimated: {BYTES:g} bytes a token, between {LEAST_BYTES:g} and {MOST_BYTES:g}"
        + ("; its tokenizer is not public" if encoding is None else f"; {encoding} is not on this machine"),
        _estimate,
        exact=False,
    )


def _estimate(text: str) -> Tokens:
    size = len(text.encode())
    return Tokens(round(size / BYTES), int(size / MOST_BYTES), -int(-size // LEAST_BYTES))


def _real(encoding: str) -> Counter | None:
    if encoding not in ENCODINGS or not _cached(*ENCODINGS[encoding]):
        return None
    try:
        found: Any = import_module("tiktoken")
    except ImportError:
        return None
    encode: Callable[[str], list[int]] = found.get_encoding(encoding).encode_ordinary

    def count(text: str) -> Tokens:
        length = len(encode(text))
        return Tokens(length, length, length)

    return Counter(f"counted with tiktoken's {encoding}", count, exact=True)


def _cached(url: str, checksum: str) -> bool:
    """Whether tiktoken would find the file here, and so not fetch it."""
    named = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    folder = Path(named) if named is not None else Path(tempfile.gettempdir()) / "data-gym-cache"
    file = folder / sha1(url.encode(), usedforsecurity=False).hexdigest()
    try:
        return named != "" and sha256(file.read_bytes()).hexdigest() == checksum
    except OSError:
        return False
