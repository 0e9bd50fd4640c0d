"""The shape of a decoder layer: widths in elements, read off the model's linear layers."""

from __future__ import annotations

from msgspec import Struct

from schemas.facts import Linear, ModelFacts, Room

INTO = ("q_", "k_", "v_", "qkv", "gate", "up", "fc1", "w1", "w3")
"""How the names of modules begin that lead from the residual stream into a block."""


class Block(Struct, frozen=True):
    """`queries`, `keys`: widths of all heads together. `fused`: whether one module gives queries, keys and values.
    `inner`, `expert_inner`: widths inside the mlp and inside one expert. `gated`: whether the mlp multiplies two
    halves. `dense_layers`, `expert_layers`: how many layers have an mlp, and how many have experts. `norms`: how many
    norms a layer has over the residual stream. `head_norms`: whether queries and keys are normed."""

    queries: int
    keys: int
    fused: bool
    inner: int
    expert_inner: int
    gated: bool
    dense_layers: int
    expert_layers: int
    norms: int
    head_norms: bool

    @property
    def both(self) -> bool:
        """Whether some layer has an mlp and experts: shared experts."""
        return self.dense_layers > 0 and self.expert_layers > 0


def block(facts: ModelFacts) -> Block:
    """The shape of this model's layers. Norms over single heads are told by what layer norms leave over."""
    norms, left = divmod((facts.norm_params - facts.hidden) // facts.layers, facts.hidden)
    inner = _inner(facts, "mlp")
    into = sum(item.d_out for item in facts.linears if item.room == "mlp" and not closes(item, facts))
    return Block(
        queries=facts.heads * facts.head_dim,
        keys=facts.kv_heads * facts.head_dim,
        fused=any(item.name.startswith("qkv") for item in facts.linears),
        inner=inner,
        expert_inner=_inner(facts, "experts"),
        gated=into >= 2 * inner,
        dense_layers=_layers(facts, "mlp"),
        expert_layers=_layers(facts, "experts"),
        norms=norms,
        head_norms=left > 0,
    )


def closes(linear: Linear, facts: ModelFacts) -> bool:
    """Whether this module leads back to the residual stream."""
    return linear.d_out == facts.hidden and not linear.name.startswith(INTO)


def _inner(facts: ModelFacts, room: Room) -> int:
    return max((item.d_in for item in facts.linears if item.room == room and closes(item, facts)), default=0)


def _layers(facts: ModelFacts, room: Room) -> int:
    return max((item.layers for item in facts.linears if item.room == room), default=0)
