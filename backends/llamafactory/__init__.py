"""LLaMA-Factory: YAML and `dataset_info.json`. Facts were read from llamafactory 0.9.5 and tried with its parser."""

from __future__ import annotations

from typing import Final

from backends.llamafactory.config import TOOL, emit, said
from backends.llamafactory.losses import largest_micro, losses
from backends.llamafactory.table import TABLE

TITLE: Final = TOOL.title
VERSION: Final = TOOL.version

__all__ = ["TABLE", "TITLE", "VERSION", "emit", "largest_micro", "losses", "said"]
