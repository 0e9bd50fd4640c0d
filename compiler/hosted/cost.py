"""What a job costs: the tokens that are trained on, times the provider's price for them."""

from __future__ import annotations

from math import ceil

from msgspec import Struct

from compiler.hosted.rows import Survey
from schemas.hosted import HostedPlan, Tokens


class Cost(Struct, frozen=True):
    """US dollars, None where the price is not known. `tokens`: in all epochs. `basis`: where the price is from."""

    tokens: Tokens
    usd: float | None
    low: float | None
    high: float | None
    basis: str


def cost(plan: HostedPlan, found: Survey) -> Cost:
    """Training alone: what is asked of the model afterwards costs apart."""
    tokens, price = found.train.tokens.times(plan.recipe.training.epochs), plan.about.price
    if price.usd is None:
        return Cost(tokens, None, None, None, f"no price is known: {price.source}")
    about, low, high = (round(count * price.usd / 1e6, 4) for count in (tokens.about, tokens.low, tokens.high))
    pairs = "; how it counts the two answers of a pair is not stated" if plan.recipe.training.objective == "dpo" else ""
    basis = f"{price.usd:.2f} USD a million tokens in {price.day}, {price.source}; training alone{pairs}"
    return Cost(tokens, about, low, high, basis)


def steps(plan: HostedPlan, found: Survey) -> int:
    """Steps of the optimizer, if the provider counts as others do."""
    training = plan.recipe.training
    return ceil(len(found.train.lines) / training.global_batch_size) * ceil(training.epochs)


def money(paid: Cost) -> str:
    """An amount in words."""
    if paid.usd is None or paid.low is None or paid.high is None:
        return "how much is not known"
    if paid.low == paid.high:
        return f"{dollars(paid.usd)} USD"
    return f"about {dollars(paid.usd)} USD, between {dollars(paid.low)} and {dollars(paid.high)}"


def dollars(amount: float) -> str:
    """To the cent; of less than a cent, two figures."""
    return f"{amount:,.2f}" if amount >= 0.01 or not amount else f"{amount:.2g}"


def token_words(tokens: Tokens) -> str:
    """A count in words."""
    if tokens.low == tokens.high:
        return f"{tokens.about:,} tokens"
    return f"about {tokens.about:,} tokens, between {tokens.low:,} and {tokens.high:,}"
