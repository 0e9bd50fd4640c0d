"""Sizes in bytes: read from what a person writes, written for a person to read."""

from __future__ import annotations

import re

from schemas.facts import GIB

UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": GIB, "Ti": 1 << 40}


def parse_size(size: str | int) -> int:
    """Bytes of `22GiB`, `24GB` (10^9) or a plain integer. The recipe's schema has checked the spelling."""
    if isinstance(size, int):
        return size
    found = re.fullmatch(r"([0-9.]+) ?([KMGT]?i?)B", size)
    if not found:
        raise ValueError(size)
    return int(float(found[1]) * UNITS[found[2]])


def gib(size: float) -> float:
    """Bytes as GiB."""
    return size / GIB
