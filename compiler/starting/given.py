"""What the flags of `ftc init` say."""

from __future__ import annotations

from pathlib import Path

import click
from msgspec import Struct
from msgspec.structs import replace

from compiler.starting.choosing import BATCH, shared_batch
from compiler.starting.recommended import Pick, read_document
from schemas.recipe import DataFormat, Objective


class Given(Struct, frozen=True):
    """What the flags say; None is asked for on a terminal."""

    model: str | None
    gpu: str | None
    data: str | None
    data_format: DataFormat | None
    objective: Objective | None
    method: str | None
    name: str | None
    out: Path | None
    count: int | None
    max_length: int | None
    from_recommendation: str | None
    choice: int | None


def picked(given: Given) -> tuple[Given, Pick | None]:
    """Which choice of which recommendation; what that says of model and card is as if it had been said here."""
    if given.from_recommendation is None:
        if given.choice:
            raise click.UsageError("--choice is one of --from-recommendation")
        return given, None
    if given.method:
        raise click.UsageError("--from-recommendation chooses the method, and --method names one")
    document = read_document(given.from_recommendation)
    pick = Pick(given.choice or 1, document)
    if document is None or document.model is None:
        return given, pick
    told = {
        "model": document.model.base,
        "gpu": document.gpu,
        "count": document.count,
        "max_length": document.max_length,
    }
    for name, value in told.items():
        if getattr(given, name) not in (None, value):
            raise click.UsageError(f"the recommendation is for {name.replace('_', ' ')} {value}: ask for another")
    return replace(given, **told), pick


def asked_leaves(given: Given) -> dict[str, tuple[object, str]]:
    """Leaves that flags ask for; the global batch follows the cards where they do not divide the usual one."""
    found: dict[str, tuple[object, str]] = {}
    if given.max_length:
        found["data.max_length"] = (given.max_length, "")
    if given.count and given.count > 1:
        found["hardware.count"] = (given.count, "")
        if shared_batch(given.count) != BATCH:
            found["training.global_batch_size"] = (shared_batch(given.count), "the next above 16 that the cards share")
    return found
