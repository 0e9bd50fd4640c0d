"""The answers that a target may give for a leaf of the plan: exactly one for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct, field


def same(value: object) -> object:
    """Leave a value as it is."""
    return value


class NotImpl(Struct, frozen=True):
    """The target can, we have not written it. `neutral`: the values with which nothing is lost."""

    why: str
    neutral: tuple[object, ...] = ()


class NotYet(Struct, frozen=True):
    """The target cannot in the pinned version. `neutral`: the values with which nothing is lost."""

    why: str
    neutral: tuple[object, ...] = ()


class Never(Struct, frozen=True):
    """The target will not. `neutral`: the values with which nothing is lost."""

    why: str
    neutral: tuple[object, ...] = ()


Refusal = NotImpl | NotYet | Never


class Key(Struct, frozen=True):
    """The target has the same thing under its own word; `via` changes the value.

    A value of None means "off" and is not written. `refused`: the values that the target cannot do.
    """

    key: str
    via: Callable[[object], object] = same
    refused: Mapping[object, Refusal] = field(default_factory=dict[object, Refusal])


class Folded(Struct, frozen=True):
    """Told through another key, which a function of the target's module writes; `a or b` where it is one of two.

    `refused`: as of `Key`. `alike`: values that mean the same to the target.
    """

    into: str
    refused: Mapping[object, Refusal] = field(default_factory=dict[object, Refusal])
    alike: tuple[object, ...] = ()


class Ours(Struct, frozen=True):
    """Used up by the compiler; the leaves that may say so stand in one tuple in `backends/base.py`."""

    why: str


Answer = Key | Folded | Ours | NotImpl | NotYet | Never
Table = dict[str, Answer]
"""Plan path, list indices left out (`data.train[].path`) → answer."""
