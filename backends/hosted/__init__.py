"""What each provider of models that it alone trains calls it. `PROVIDERS` is the one list of their names."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from backends.hosted.base import HostedBackend
from schemas.hosted import Provider

PROVIDERS: tuple[Provider, ...] = ("openai", "bedrock")


def load(name: Provider) -> HostedBackend:
    """The provider's module; only the one that is asked for is imported."""
    return cast(HostedBackend, import_module(f"backends.hosted.{name}"))
