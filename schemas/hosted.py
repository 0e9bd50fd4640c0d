"""Models that only their provider trains: what is known of them, and what a job for them is."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from schemas.method import HostedMethod
from schemas.plan import Decision, SourcePlan
from schemas.recipe import Recipe

Provider = Literal["openai", "bedrock"]
HostedObjective = Literal["sft", "dpo"]


class Limit(Struct, frozen=True):
    """A range that the provider takes, both ends included; None: no end that is known. `source`: who says so."""

    source: str
    low: float | None = None
    high: float | None = None

    def takes(self, value: float) -> bool:
        """Whether a value lies in it."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    @property
    def words(self) -> str:
        """The range in words."""
        low, high = (None if end is None else f"{end:,.10g}" for end in (self.low, self.high))
        if low is not None and high is not None:
            return f"{low} to {high}"
        return f"{low} or more" if low is not None else f"at most {high}" if high is not None else "anything"


class Limits(Struct, frozen=True):
    """Of a provider. Counts of rows and sizes of files; ranges of what a job is told. None: it has no such thing."""

    rows: Limit
    validation_rows: Limit
    both_rows: Limit
    file_bytes: Limit
    epochs: Limit
    batch_size: Limit
    learning_rate_multiplier: Limit
    beta: Limit | None = None
    seed: Limit | None = None


class Price(Struct, frozen=True):
    """US dollars for a million tokens that are trained on, as `source` had it on that day; None where nobody could be
    read that says it."""

    usd: float | None
    day: str
    source: str


class HostedModel(Struct, frozen=True):
    """A model that can be trained at its provider alone. `example`: tokens of one row. `encoding`: tiktoken's name of
    its tokenizer; None where it is not public. `ends`: what its provider said of its end. `region`: where it is
    trained."""

    title: str
    objectives: dict[HostedObjective, str]
    example: Limit
    price: Price
    sources: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    encoding: str | None = None
    region: str | None = None
    ends: str | None = None


class HostedProvider(Struct, frozen=True):
    """A provider, with its models by the name that its API knows."""

    title: str
    limits: Limits
    models: dict[str, HostedModel]


class HostedPlan(Struct, frozen=True):
    """What a job for a provider is. `leaves`: every leaf of the recipe, defaults filled in; an `auto` is left to the
    provider. `model` is the provider's own name of `about`. `train`, `validation`: with the formats of their rows."""

    recipe: Recipe
    method: HostedMethod
    provider: Provider
    title: str
    model: str
    about: HostedModel
    limits: Limits
    leaves: dict[str, object]
    train: tuple[SourcePlan, ...]
    validation: float | int | tuple[SourcePlan, ...] | None
    decisions: tuple[Decision, ...]

    @property
    def last_only(self) -> bool:
        """Whether the last answer of a conversation alone is trained."""
        return self.recipe.data.loss_on == "last_assistant"


class Tokens(Struct, frozen=True):
    """A count of tokens, between its ends; all three are the same where they were counted."""

    about: int
    low: int
    high: int

    def __add__(self, other: Tokens) -> Tokens:
        """Both together."""
        return Tokens(self.about + other.about, self.low + other.low, self.high + other.high)

    def times(self, count: float) -> Tokens:
        """So many of it."""
        return Tokens(round(self.about * count), round(self.low * count), round(self.high * count))
