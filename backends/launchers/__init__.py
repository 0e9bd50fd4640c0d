"""Who starts an artifact on other machines. `LAUNCHERS` is the one list of their names."""

from __future__ import annotations

from importlib import import_module
from typing import Final, cast, get_args

from backends.launchers.base import Starter
from schemas.artifact import Launcher

LAUNCHERS: Final[tuple[Launcher, ...]] = get_args(Launcher)


def load_launcher(name: Launcher) -> Starter:
    """The launcher's module; only the one that is asked for is imported."""
    return cast(Starter, import_module(f"backends.launchers.{name}"))
