"""Whether two trainers saw the same tokens, took the same steps and learnt the same."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from math import isclose
from typing import Final, Literal

from msgspec import Struct
from parity.exceptions import EXCUSES, Excuse

from backends.native.data import IGNORED
from schemas.artifact import Target

BATCHES: Final = 3
"""At least so many must have been seen; all that both saw are compared."""
FIRST, LAST = 0.01, 0.03
"""How far the loss may be from the native one's, as a share, at the first step and at the last."""

SHARE: Final = 1e-3
"""How far the loss that a micro batch sends backwards may be, as a share."""

What = Literal["batches", "weights", "steps", "shares", "first loss", "last loss"]
Batch = dict[str, list[list[int]]]
Row = tuple[tuple[int, ...], tuple[int, ...]]


class Run(Struct, frozen=True):
    """`batches`: as the data loader handed them out, padded. `weights`: size and first values of each trained tensor
    before the first step. `steps`: settings of each group of weights. `shares`: what each micro batch of the first step
    adds to its loss, as it is sent backwards. `warned`: the leaves of which the artifact says
    that they are done otherwise. `corrected`: whether
    the known differences were taken away."""

    target: Target
    losses: list[float]
    batches: list[Batch]
    weights: list[tuple[int, list[float]]]
    steps: list[list[list[float]]]
    shares: list[float]
    warned: tuple[str, ...] = ()
    corrected: bool = False

    @property
    def name(self) -> str:
        """As tables name it."""
        return f"{self.target}, corrected" if self.corrected else self.target

    def rows(self, batch: int) -> list[Row]:
        """Token ids and labels of each row of a batch, padding left out."""
        found = self.batches[batch]
        masks = found.get("attention_mask") or [[1] * len(ids) for ids in found["input_ids"]]
        return [_unpadded(*row) for row in zip(found["input_ids"], found["labels"], masks, strict=True)]


class Difference(Struct, frozen=True):
    """`excuse`: where it is a known one, which the artifact tells of."""

    run: str
    what: What
    text: str
    excuse: Excuse | None = None

    @property
    def broken(self) -> bool:
        """Whether nothing explains it."""
        return self.excuse is None


def compare(ours: Run, other: Run) -> list[Difference]:
    """What differs from the native run."""
    found: list[tuple[What, str | None]] = [
        ("batches", _of_batches(ours, other)),
        ("weights", _of_weights(ours, other)),
        ("steps", _of_steps(ours, other)),
        ("shares", _of_shares(ours, other)),
        ("first loss", _of_loss(ours, other, 0, FIRST)),
        ("last loss", _of_loss(ours, other, len(ours.losses) - 1, LAST)),
    ]
    return [Difference(other.name, what, text, _excuse(other, what)) for what, text in found if text]


def out_of_order(ours: Run, answers: Sequence[str], decoded: Sequence[str]) -> list[Difference]:
    """Whether the trained tokens of the rows are the answers of the file, row by row and in its order."""
    for number, (text, answer) in enumerate(zip(decoded, answers, strict=False), 1):
        if text != answer:
            return [Difference(ours.name, "batches", f"row {number} trains {text!r}, in the file it is {answer!r}")]
    return []


def trained(run: Run) -> list[list[int]]:
    """The trained tokens of every row that was seen, in order."""
    rows = [row for batch in range(len(run.batches)) for row in run.rows(batch)]
    return [[label for label in labels if label != IGNORED] for _, labels in rows]


def gap(ours: Run, other: Run, step: int) -> float:
    """How far the loss of a step is from the native one, as a share of it."""
    return abs(other.losses[step] - ours.losses[step]) / ours.losses[step]


def _excuse(other: Run, what: What) -> Excuse | None:
    """A known difference, if the artifact warns of it. The corrected run has none."""
    known = (item for item in EXCUSES if item.target == other.target and what in item.covers and not other.corrected)
    return next((item for item in known if item.leaf in other.warned), None)


def _unpadded(ids: list[int], labels: list[int], mask: list[int]) -> Row:
    kept = [index for index, seen in enumerate(mask) if seen]
    return tuple(ids[index] for index in kept), tuple(labels[index] for index in kept)


def _of_batches(ours: Run, other: Run) -> str | None:
    seen = min(len(ours.batches), len(other.batches))
    if seen < BATCHES:
        return f"only {seen} batches were seen"
    for batch in range(seen):
        rows = zip_longest(ours.rows(batch), other.rows(batch), fillvalue=((), ()))
        for number, (one, two) in enumerate(rows):
            if one != two:
                return f"batch {batch + 1}, row {number + 1}: {_first(one, two)}"
    return None


def _first(one: Row, two: Row) -> str:
    """The first place at which two rows differ."""
    for what, left, right in zip(("token", "label"), one, two, strict=True):
        for at, (mine, theirs) in enumerate(zip_longest(left, right)):
            if mine != theirs:
                return f"{what} {at + 1} is {theirs}, natively {mine}"
    raise ValueError("the rows are equal")


def _of_weights(ours: Run, other: Run) -> str | None:
    for number, (one, two) in enumerate(zip_longest(ours.weights, other.weights), 1):
        if one != two:
            return f"trained tensor {number} begins as {_begins(two)}, natively as {_begins(one)}"
    return None


def _begins(weight: tuple[int, list[float]] | None) -> str:
    return f"{', '.join(f'{value:.4g}' for value in weight[1])}, … ({weight[0]} values)" if weight else "nothing"


def _of_steps(ours: Run, other: Run) -> str | None:
    """Learning rate, weight decay, betas and epsilon of every step."""
    for number, (one, two) in enumerate(zip_longest(ours.steps, other.steps, fillvalue=[]), 1):
        mine, theirs = _flat(one), _flat(two)
        if len(mine) != len(theirs) or not all(isclose(*pair, rel_tol=1e-9) for pair in zip(mine, theirs, strict=True)):
            return f"step {number} of the optimizer has {two}, natively {one}"
    return None


def _flat(groups: list[list[float]]) -> list[float]:
    return [value for group in groups for value in group]


def _of_shares(ours: Run, other: Run) -> str | None:
    for number, (mine, theirs) in enumerate(zip_longest(ours.shares, other.shares), 1):
        if mine is None or theirs is None:
            return f"the first step has {len(other.shares)} micro batches, natively {len(ours.shares)}"
        if not isclose(mine, theirs, rel_tol=SHARE):
            return f"micro batch {number} of the first step adds {theirs:.4g} to its loss, natively {mine:.4g}"
    return None


def _of_loss(ours: Run, other: Run, step: int, limit: float) -> str | None:
    if len(ours.losses) != len(other.losses):
        return f"{len(other.losses)} losses, natively {len(ours.losses)}"
    if gap(ours, other, step) <= limit:
        return None
    left, right = ours.losses[step], other.losses[step]
    return f"the loss of step {step + 1} is {right:.4g}, natively {left:.4g}: more than {limit:.0%} apart"
