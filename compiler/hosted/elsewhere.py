"""What is said where a command is for this machine, and a recipe or a target is a provider's."""

from __future__ import annotations

from backends.hosted import PROVIDERS
from compiler.errors import FtcError
from compiler.exit import USAGE
from compiler.hosted.catalog import providers
from schemas.hosted import HostedPlan, Provider


def refuse_provider(name: str) -> None:
    """`FtcError` (usage) where the name is a provider's, with what to do instead."""
    if name in PROVIDERS:
        raise _elsewhere(name)


def refuse_hosted(plan: HostedPlan, file: str) -> None:
    """The same of a recipe for a provider."""
    raise _elsewhere(plan.provider, file)


def _elsewhere(provider: Provider, file: str = "RECIPE") -> FtcError:
    title = providers()[provider].title
    message = f"{title} trains on its own machines, and this command is for this one"
    remedy = f"ftc build {file} --target {provider}, then run start.py in its folder: it costs money, so ftc does not"
    return FtcError(message, remedy, USAGE)
