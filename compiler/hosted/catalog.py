"""The bundled catalog of models that only their provider trains, read only when asked."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

import schemas
from schemas.hosted import HostedModel, HostedProvider, Provider

FILE: Final = Path(schemas.__file__).parent / "catalog" / "hosted.json"


class _Catalog(Struct, frozen=True):
    about: str
    providers: dict[Provider, HostedProvider]


class Hosted(Struct, frozen=True):
    """A model of the catalog: whose it is, and its name in the provider's API."""

    provider: Provider
    name: str
    about: HostedModel


@lru_cache(maxsize=1)
def providers() -> dict[Provider, HostedProvider]:
    """Every provider with its models."""
    return msgspec.json.decode(FILE.read_bytes(), type=_Catalog).providers


def look_up(base: str) -> Hosted | None:
    """A model by its provider's name or a shorter one, in any letter case; None where none is called so."""
    return _index().get(base.lower())


def names(provider: Provider | None = None) -> tuple[str, ...]:
    """What a recipe may write: the providers' own names, of one provider or of all."""
    listed = {name: one for name, one in providers().items() if provider in (None, name)}
    return tuple(name for one in listed.values() for name in one.models)


def nearest(base: str) -> str | None:
    """The name that is spelled most alike; None where none is."""
    from difflib import get_close_matches  # only where something is misspelled

    alike = get_close_matches(base.lower(), _index(), n=1, cutoff=0.7)
    return _index()[alike[0]].name if alike else None


@lru_cache(maxsize=1)
def _index() -> dict[str, Hosted]:
    listed = [
        (spelled, Hosted(provider, name, model))
        for provider, one in providers().items()
        for name, model in one.models.items()
        for spelled in (name, *model.aliases)
    ]
    return {spelled.lower(): model for spelled, model in listed}
