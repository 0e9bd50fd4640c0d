"""A rendered conversation as the two renderers show it. Runs in the tools' own Pythons."""

from __future__ import annotations

from typing import Any

IGNORED = -100


def shown_pieces(ids: list[int], labels: list[int], tokenizer: Any) -> dict[str, Any]:
    """The text, its tokens, and each stretch of them that is trained, as text."""
    pieces: list[list[int]] = [[]]
    for token, label in zip(ids, labels, strict=True):
        if label != IGNORED:
            pieces[-1].append(token)
        elif pieces[-1]:
            pieces.append([])
    return {
        "text": tokenizer.decode(ids),
        "ids": list(ids),
        "trained": [tokenizer.decode(piece) for piece in pieces if piece],
    }
