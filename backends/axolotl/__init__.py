"""Axolotl: one YAML file. Facts were read from axolotl 0.19.0 and tried with its own parser (`make conformance`)."""

from __future__ import annotations

from typing import Final

from backends.axolotl.config import TOOL, emit, said
from backends.axolotl.losses import largest_micro, losses
from backends.axolotl.table import TABLE

TITLE: Final = TOOL.title
VERSION: Final = TOOL.version

__all__ = ["TABLE", "TITLE", "VERSION", "emit", "largest_micro", "losses", "said"]
