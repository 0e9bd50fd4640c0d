"""Unsloth: a script that a person will read. Facts were read from unsloth 2026.10.9; it trains on a CPU too."""

from __future__ import annotations

from typing import Final

from backends.unsloth.losses import largest_micro, losses
from backends.unsloth.script import TOOL, emit, said
from backends.unsloth.table import TABLE

TITLE: Final = TOOL.title
VERSION: Final = TOOL.version

__all__ = ["TABLE", "TITLE", "VERSION", "emit", "largest_micro", "losses", "said"]
