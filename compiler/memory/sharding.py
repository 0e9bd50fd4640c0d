"""How weights, gradients and optimizer state are spread over cards, and what spreading costs."""

from __future__ import annotations

from msgspec import Struct

from schemas.plan import Plan

NCCL = 1 << 30
"""Bytes of communication buffers and contexts a rank: half to one and a half GiB are reported."""
BUCKET = 5e8 * 2
"""Bytes of one DeepSpeed bucket: reduce_bucket_size and allgather_bucket_size are 5e8 elements."""
LIVE_PARAMETERS = 1e9
"""Elements that ZeRO-3 may keep gathered: stage3_max_live_parameters."""


class Sharding(Struct, frozen=True):
    """What one card holds. The first three divide; `master`: extra float32 copies of trained weights, bytes an
    element over all cards. `units`: decoder layers gathered at a time. Offloaded state lies in CPU memory."""

    weights: int
    gradients: int
    optimizer: int
    master: int
    units: int
    buffers: int
    state_offloaded: bool
    weights_offloaded: bool
    communication: int


def sharding(plan: Plan, trained_bytes: int) -> Sharding:
    """The layout of this plan's strategy. `trained_bytes`: gradients of one replica."""
    strategy, count = plan.hardware.strategy, plan.devices
    away, all_away = plan.hardware.offload in ("optimizer", "all"), plan.hardware.offload == "all"
    talk = NCCL if count > 1 else 0
    if strategy == "fsdp":
        return Sharding(count, count, count, 0, 2, 0, away, all_away, talk)
    if strategy == "zero2":
        return Sharding(1, count, count, 4, 0, _buckets(trained_bytes), away, False, talk)
    if strategy == "zero3":
        return Sharding(count, count, count, 4, 2, _buckets(trained_bytes), away, all_away, talk)
    replicas = trained_bytes if count > 1 else 0
    return Sharding(1, 1, 1, 0, 0, replicas, False, False, talk)


def _buckets(trained_bytes: int) -> int:
    """Two buckets are in flight, none larger than what there is to send."""
    return 2 * min(int(BUCKET), trained_bytes)
