"""The cheapest changes that make a run fit, each with what it costs."""

from __future__ import annotations

from compiler.memory.fixes.choosing import Fix, fixes

__all__ = ["Fix", "fixes"]
