"""What a change to a recipe is."""

from __future__ import annotations

from enum import IntEnum

from msgspec import Struct


class Harm(IntEnum):
    """What a change does to the result: nothing; rounding, or less to see; a coarser base, or smaller adapters;
    another method, or other rows."""

    NONE = 0
    ROUNDED = 1
    LESS = 2
    OTHER = 3


class Change(Struct, frozen=True):
    """`set`: recipe path → value. `costs`: what is given up, in words."""

    set: dict[str, object]
    harm: Harm
    costs: str


Ladder = tuple[Change, ...]
"""Changes of one kind, of which one is taken: the mildest first."""
