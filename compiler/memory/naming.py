"""Which modules a method names, as PEFT compares names."""

from __future__ import annotations

import re

from schemas.facts import Linear


def targeted(patterns: tuple[str, ...] | str, linear: Linear) -> float:
    """The share of this module's layers that `target_modules` names: PEFT compares names by their end."""
    if isinstance(patterns, str):
        return _matched(patterns.removeprefix("re:"), linear)
    path = f"model.layers.0.{place(linear)}"
    return float(any(path == name or path.endswith(f".{name}") for name in patterns))


def place(linear: Linear) -> str:
    """The module's name inside a decoder layer, as transformers 5 spells it."""
    if "." in linear.name:
        return linear.name
    if linear.room == "attention":
        return f"self_attn.{linear.name}"
    return f"mlp.experts.{linear.name}" if linear.room == "experts" else f"mlp.{linear.name}"


def _matched(pattern: str, linear: Linear) -> float:
    """The share of layers whose full module name the expression matches."""
    compiled = re.compile(pattern)
    names = (f"model.layers.{index}.{place(linear)}" for index in range(linear.layers))
    return sum(compiled.fullmatch(name) is not None for name in names) / linear.layers
