"""What of the card decides which tensors there are."""

from __future__ import annotations

from schemas.plan import Plan

FUSED_FROM = 8.0
"""Compute capability from which attention in 16 bit takes fewer heads of keys than of queries as they are."""


def fuses_heads(plan: Plan) -> bool:
    """Whether attention needs no expanded keys and values. A card that is not named is a new one."""
    capability = plan.gpu.compute_capability if plan.gpu else None
    return capability is None or capability >= FUSED_FROM
