"""How much goes through the model in the whole run: tokens, and positions, padding among them.

The speed of a card is one of positions. Where rows are padded to the longest of a forward pass, their padding is
computed with them; packed rows have none but on stacks that fill up each packed row.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from compiler.data.lengths import packed, padded
from compiler.duration.epoch import Counted, count
from compiler.duration.ranges import Range, exactly
from compiler.memory.stacks import profile
from schemas.footprint import Stack
from schemas.method_plan import PromptPlan, PTuningPlan
from schemas.plan import Plan

PADDING: Final = Range(1.0, 1.3, 2.0)
"""Positions for each token of padded rows whose lengths are unknown: none is padding, or half of them are."""
FILLED: Final = Range(0.85, 0.97, 1.0)
"""Tokens for each position of packed rows whose lengths are unknown."""
MILLION: Final = 1e6
MOST: Final = 1e15
"""Tokens beyond which no figure is given: all that was ever written has fewer."""
PREFERENCES: Final = ("dpo", "orpo")


class Amount(Struct, frozen=True):
    """Of all epochs. `tokens` is None where it is not known, and `words` say why; else where it comes from.
    `positions`: tokens and their padding."""

    tokens: Range | None
    positions: Range | None
    words: str


def amount(plan: Plan, stack: Stack, stated: int | None = None) -> Amount:
    """Tokens of the run. `stated`: tokens of an epoch, where the user says it."""
    beyond = Amount(None, None, "more tokens than any run could have")
    try:
        seen = _amount(plan, stack, stated)
    except OverflowError:
        return beyond
    return beyond if seen.positions is not None and not seen.positions.high <= MOST else seen


def _amount(plan: Plan, stack: Stack, stated: int | None) -> Amount:
    found = count(plan)
    if plan.training.max_steps is not None:
        counted = _of_steps(plan, stack, found, plan.training.max_steps)
        ignored = ", and --tokens has no part in it, as the recipe counts steps"
        return replace(counted, words=counted.words + ignored) if stated is not None else counted
    epochs = plan.training.epochs or 1
    tokens = exactly(float(stated)) if stated is not None else found.tokens if isinstance(found, Counted) else None
    if tokens is None:
        return Amount(None, None, f"{found}: state the tokens of an epoch with --tokens")
    in_all = tokens.times(epochs)
    positions = _positions(plan, stack, in_all, found)
    origin = "as stated" if stated is not None or isinstance(found, str) else _origin(found)
    length = "1 epoch" if epochs == 1 else f"{epochs:g} epochs"
    return Amount(in_all, positions, f"{figure(in_all)} tokens in {length}{_padding(in_all, positions)}, {origin}")


def _of_steps(plan: Plan, stack: Stack, found: Counted | str, steps: int) -> Amount:
    """The recipe counts steps: each takes so many rows, of the length that rows have."""
    rows = steps * plan.training.global_batch_size
    if plan.data.packing:
        most = float(rows * plan.data.max_length)
        share = exactly(_filled(plan, found)) if isinstance(found, Counted) else FILLED
        tokens = Range(share.low * most, share.middle * most, share.high * most)
        positions = exactly(most) if profile(stack).packed == "rows" else tokens
        return Amount(tokens, positions, f"{figure(tokens)} tokens in {steps:,} steps of packed rows")
    if isinstance(found, str):
        most = rows * plan.data.max_length * _sequences(plan)
        return Amount(None, None, f"{found}; at most {millions(most)} tokens in {steps:,} steps")
    tokens = found.tokens.times(rows * _sequences(plan) / found.sequences)
    positions = _positions(plan, stack, tokens, found)
    origin = _origin(found)
    return Amount(
        tokens, positions, f"{figure(tokens)} tokens in {steps:,} steps{_padding(tokens, positions)}, {origin}"
    )


def _positions(plan: Plan, stack: Stack, tokens: Range, found: Counted | str) -> Range:
    """Tokens with their padding, and the virtual tokens in front of each row."""
    virtual = plan.method.virtual_tokens if isinstance(plan.method, PromptPlan | PTuningPlan) else 0
    if isinstance(found, Counted):
        mean = found.tokens.middle / found.sequences
        return tokens.times((mean / _share(plan, stack, found) + virtual) / mean)
    alone = plan.training.micro_batch_size * _sequences(plan) == 1
    if plan.data.packing or alone:
        return tokens
    return Range(tokens.low * PADDING.low, tokens.middle * PADDING.middle, tokens.high * PADDING.high)


def _share(plan: Plan, stack: Stack, found: Counted) -> float:
    """Of the positions, those that are tokens."""
    if not plan.data.packing:
        return padded(found.lengths, plan.training.micro_batch_size * _sequences(plan)).share
    return _filled(plan, found) if profile(stack).packed == "rows" else 1.0


def _filled(plan: Plan, found: Counted) -> float:
    """How full packed rows get."""
    least = min(found.lengths.values())
    rows = {length: max(1, ceil(count / least)) for length, count in found.lengths.items()}
    return packed(type(found.lengths)(rows), plan.data.max_length).share


def _sequences(plan: Plan) -> int:
    """A row of two answers that are compared is two sequences."""
    return 2 if plan.training.objective in PREFERENCES else 1


def _origin(found: Counted) -> str:
    """What a count rests on."""
    by = "by its tokenizer" if found.cut else "by their characters, as its tokenizer is not here"
    if found.whole:
        return f"{'counted' if found.cut else 'estimated'} from all {found.seen:,} rows, {by}"
    where = "" if found.scattered else " the first"
    about = "" if float(found.rows).is_integer() else "about "  # counted, or by how many rows so many bytes hold
    return f"estimated from{where} {found.seen:,} of {about}{found.rows:,.0f} rows, {by}"


def _padding(tokens: Range, positions: Range) -> str:
    share = 1 - tokens.middle / positions.middle if positions.middle else 0
    return f" and {share:.0%} of padding" if share >= 0.005 else ""


def figure(found: Range) -> str:
    """A number with its interval, where that is one."""
    return f"{millions(found.middle)}{between(found)}"


def between(found: Range) -> str:
    """The interval in brackets; nothing where the number is known."""
    low, high = millions(found.low), millions(found.high)
    unit = high.partition(" ")[2]
    return "" if low == high else f" ({low.removesuffix(f' {unit}') if unit else low} to {high})"


def millions(number: float) -> str:
    """A count in words: three figures, and a small one as it is."""
    if number < MILLION:
        return f"{number:,.0f}" if number < 10_000 else f"{float(f'{number:.3g}'):,.0f}"
    unit, word = (1e9, "billion") if number >= 1e9 else (MILLION, "million")
    return f"{float(f'{number / unit:.3g}'):,g} {word}"
