"""What providers can be told, printed from their tables and from what is known of their models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from msgspec import Struct

from backends.base import refused
from backends.hosted import PROVIDERS, load
from compiler.hosted.catalog import providers
from compiler.report.machine import as_data
from compiler.report.matrix import markdown, said
from schemas.hosted import HostedProvider, Provider
from schemas.recipe import DataFormat, LossOn, Objective
from schemas.support import Table

VALUES = (
    ("objective", "training.objective", get_args(Objective)),
    ("data format", "data.train[].format", get_args(DataFormat)),
    ("loss on", "data.loss_on", get_args(LossOn)),
)


class Side(Struct, frozen=True):
    """A provider: its name, its client, its table, its models."""

    name: Provider
    client: str
    table: Table
    about: HostedProvider


def sides() -> tuple[Side, ...]:
    """All providers."""
    return tuple(Side(name, load(name).CLIENT, load(name).TABLE, providers()[name]) for name in PROVIDERS)


def as_text(found: Sequence[Side]) -> str:
    """A line for each provider and each of its models, for a terminal."""
    lines = ["", "Providers train models of their own (method: {kind: hosted}):"]
    for side in found:
        lines.append(f"{side.name}: {side.about.title} ({side.client})")
        for what, path, values in VALUES:
            taken = [str(value) for value in values if refused(side.table[path], value) is None]
            lines.append(f"  {what}: {', '.join(taken)}")
        lines += [f"  {name}: {model.title}" for name, model in side.about.models.items()]
    return "\n".join(lines) + "\n"


def as_providers_data(found: Sequence[Side]) -> list[dict[str, object]]:
    """The same with every fact, for programs."""
    return [
        {
            "name": side.name,
            "title": side.about.title,
            "client": side.client,
            "limits": as_data(side.about.limits),
            "models": as_data(side.about.models),
            "leaves": {path: said(answer) for path, answer in side.table.items()},
        }
        for side in found
    ]


def markdown_leaves(found: Sequence[Side]) -> str:
    """What becomes of each leaf of the recipe."""
    rows = [[f"`{path}`", *(said(side.table[path]) for side in found)] for path in found[0].table]
    return markdown(["leaf", *(side.about.title for side in found)], rows)
