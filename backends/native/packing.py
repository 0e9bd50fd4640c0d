# pyright: basic
# Strict typing stops at numpy, whose types are loose.
"""Short rows laid end to end in long ones: best fit, the longest first.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def best_fit(lengths: Sequence[int] | Any, capacity: int) -> list[list[int]]:
    """Which rows share a bin: their numbers, in bins of at most `capacity` tokens, in order of their first rows.

    Each row, the longest first, goes where it leaves the least space (best fit decreasing). No row may be longer than
    a bin.
    """
    lengths = np.asarray(lengths)
    bins: list[list[int]] = []
    open_bins: dict[int, list[int]] = {}
    # A bit for every amount of space that some bin has left: the lowest one at or above a length is the best fit.
    spaces = 0
    order = np.argsort(-lengths, kind="stable").tolist()
    for row, length in zip(order, lengths[order].tolist(), strict=True):
        fitting = spaces >> length
        if fitting:
            space = length + (fitting & -fitting).bit_length() - 1
            found = open_bins[space].pop()
            if not open_bins[space]:
                spaces ^= 1 << space
            bins[found].append(row)
        else:
            space, found = capacity, len(bins)
            bins.append([row])
        left = space - length
        if left:
            open_bins.setdefault(left, []).append(found)
            spaces |= 1 << left
    return sorted((sorted(rows) for rows in bins), key=lambda rows: rows[0])
