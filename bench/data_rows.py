# ruff: noqa: S311 (chance that repeats)
"""Conversations to prepare: stretches of the quickstart's corpus, most of them short and a few very long."""

from __future__ import annotations

import json
import random
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "recipes" / "quickstart" / "corpus.txt"
SEED = 1
MEDIAN, SPREAD = 4.3, 1.0
"""Of the words of a conversation: the logarithm of the median, and its standard deviation."""
TURNS = 120
"""Words of a question and its answer together, at most; longer conversations have more of both."""


def write(path: Path, rows: int) -> Path:
    """The same rows for the same number, and the first ones for a smaller."""
    words = CORPUS.read_text(encoding="utf-8").split()
    chance = random.Random(SEED)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(rows):
            left = max(8, int(chance.lognormvariate(MEDIAN, SPREAD)))
            turns: list[dict[str, str]] = []
            while left > 0:
                turns += _turns(words, chance, min(left, TURNS))
                left -= TURNS
            file.write(json.dumps({"messages": turns}) + "\n")
    return path


def _turns(words: list[str], chance: random.Random, count: int) -> list[dict[str, str]]:
    """A question of a third of the words, and an answer."""
    asked, at = max(2, count // 3), chance.randrange(len(words) - TURNS)
    question, answer = words[at : at + asked], words[at + asked : at + max(count, asked + 2)]
    return [{"role": "user", "content": " ".join(question)}, {"role": "assistant", "content": " ".join(answer)}]
