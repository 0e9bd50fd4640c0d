"""Choosing what a recipe left to the compiler: the fastest plan that fits, by the throughput model."""

from __future__ import annotations

from compiler.solve.solving import careful, solve

__all__ = ["careful", "solve"]
