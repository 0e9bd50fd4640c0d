"""A covering array: rows in which every pair of values stands somewhere, of those pairs that build at all.

One of our own rather than a library: which pairs build is known only by compiling, for one target at a time, and a row
that does not build must be repaired without losing the pairs that it was made for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from random import Random

Row = dict[str, str]
Value = tuple[str, str]
"""A parameter, and one of its values."""
Pair = frozenset[Value]
Build = Callable[[Row], str | None]
"""Why a row does not build; None where it does."""


@dataclass
class Array:
    """`refused`: values and pairs that do not build, with the reason."""

    rows: list[Row] = field(default_factory=list)
    refused_values: dict[Value, str] = field(default_factory=dict)
    refused_pairs: dict[Pair, str] = field(default_factory=dict)
    pairs: int = 0

    @property
    def covered(self) -> int:
        """Pairs that stand in a row."""
        return len({pair for row in self.rows for pair in pairs_of(row)})


def pairs_of(row: Mapping[str, str]) -> set[Pair]:
    """Every two values of a row."""
    return {frozenset(pair) for pair in combinations(row.items(), 2)}


class Cover:
    """Greedy: the first pair that no row has yet, then the values that add most new pairs, as long as it builds."""

    def __init__(
        self,
        domains: Mapping[str, Sequence[str]],
        needs: Mapping[Value, Sequence[Mapping[str, str]]],
        build: Build,
        seed: int,
    ) -> None:
        self.domains, self.build = domains, build
        self.choices, self.needs = needs, dict[Value, Mapping[str, str]]()
        self.random = Random(seed)  # noqa: S311 (an order, no secret)
        self.default = {name: values[0] for name, values in domains.items()}
        self.array = Array()

    def rows(self) -> Array:
        """The whole array."""
        array = self.array
        array.rows.append(dict(self.default))
        values = [(name, value) for name, items in self.domains.items() for value in items]
        for value in values:
            if why := self._alone(value):
                array.refused_values[value] = why
        open_pairs = [
            frozenset(pair)
            for pair in combinations([value for value in values if value not in array.refused_values], 2)
            if pair[0][0] != pair[1][0]
        ]
        array.pairs = len(open_pairs)
        left = dict.fromkeys(open_pairs)
        for pair in pairs_of(self.default):
            left.pop(pair, None)
        while left:
            self._next(left)
        return array

    def _alone(self, value: Value) -> str | None:
        """Why a value does not build with any of what it may need; settles which of that it gets."""
        first: str | None = None
        for needed in self.choices.get(value, ({},)):
            self.needs[value] = needed
            why = self.build(self._needed([value]))
            if why is None:
                return None
            first = first or why
        return first

    def _next(self, left: dict[Pair, None]) -> None:
        pair = next(iter(left))
        row = self._needed(sorted(pair))
        if why := self.build(row):
            self.array.refused_pairs[pair] = why
            del left[pair]
            return
        fixed = {name for name, _ in pair} | {name for value in pair for name in self.needs.get(value, ())}
        row = self._filled(row, fixed, left)
        self.array.rows.append(row)
        for found in pairs_of(row):
            left.pop(found, None)

    def _needed(self, values: Sequence[Value]) -> Row:
        """The default, with these values and what they need."""
        row = dict(self.default)
        for value in values:
            row |= self.needs.get(value, {})
        return row | dict(values)

    def _filled(self, row: Row, fixed: set[str], left: dict[Pair, None]) -> Row:
        free = [name for name in self.domains if name not in fixed]
        self.random.shuffle(free)
        for name in free:
            for value in self._best(name, row, left):
                tried = {**row, **self.needs.get((name, value), {}), name: value}
                changed = {other for other in tried if tried[other] != row[other]} - {name}
                if changed & fixed or self.build(tried):
                    continue
                fixed |= changed
                row = tried
                break
            fixed.add(name)
        return row

    def _best(self, name: str, row: Row, left: dict[Pair, None]) -> list[str]:
        """Values that add new pairs, the most first; the one that stands there is what remains."""
        new = {
            value: sum(
                frozenset([(name, value), (other, chosen)]) in left for other, chosen in row.items() if other != name
            )
            for value in self.domains[name]
            if (name, value) not in self.array.refused_values
        }
        order = sorted(new, key=lambda value: (-new[value], self.random.random()))
        return [value for value in order if new[value] and value != row[name]][:4]
