"""Targets of two kinds on the command line: tools of this machine, and providers that train models of their own."""

from __future__ import annotations

from typing import Any, Final

import click
from msgspec import Struct

from backends.hosted import PROVIDERS
from compiler.build import Options
from compiler.commands import options
from schemas.hosted import Provider

ANY: Final = f"[{'|'.join(options.BY_NAME)}][@VERSION]|{'|'.join(PROVIDERS)}"
"""How a target of either kind is written."""
BY_NAME: Final[dict[str, Provider]] = {name: name for name in PROVIDERS}


class AskedProvider(Struct, frozen=True):
    """A provider that is asked for in the place of a target."""

    provider: Provider


Asked = options.Asked | AskedProvider


def any_target(ctx: click.Context, param: click.Parameter, value: str | None) -> Asked | None:
    """The target or the provider that is named."""
    if value in BY_NAME:
        return AskedProvider(BY_NAME[value])
    return options.known_target(ctx, param, value, (*options.BY_NAME, *PROVIDERS))


def any_or_all(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[Asked, ...] | None:
    """One of them, or all tools of this machine in their tested versions."""
    if value in BY_NAME:
        return (AskedProvider(BY_NAME[value]),)
    return options.target_or_all(ctx, param, value, (*options.BY_NAME, *PROVIDERS))


def asking(asked: Asked | None, **more: Any) -> Options:
    """What a recipe is compiled with for it."""
    if isinstance(asked, AskedProvider):
        return Options(provider=asked.provider, **more)
    return Options(target=asked.target, version=asked.version, **more) if asked else Options(**more)
