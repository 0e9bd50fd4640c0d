"""What each target calls it. `TARGETS` is the one list of their names."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from backends.base import Backend
from schemas.artifact import Target

TARGETS: tuple[Target, ...] = ("native", "axolotl", "llamafactory", "unsloth")


def load(name: Target) -> Backend:
    """The target's module; only the one that is asked for is imported."""
    return cast(Backend, import_module(f"backends.{name}"))


def pinned(target: Target) -> str:
    """The version of the target's tool that ftc is tested with."""
    return load(target).VERSION.partition("==")[2]
