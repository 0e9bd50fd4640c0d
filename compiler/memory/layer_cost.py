"""What one layer costs in each pass over it, from its tape."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from compiler.memory.decoder import Layer, decode
from compiler.memory.tape import TOKEN, Bytes, Tape, largest


class LayerCost(Struct, frozen=True):
    """Largest moments of each pass. All count the layer's input; those that walk back also the gradient that comes in.

    `unkept`: forward, nothing kept. `forward`: forward, all kept. `kept`: what the latter leaves, less what the layer
    gives out. `backward`: walking back over what was kept. `recomputed`: forward again and back. `casts`: bytes of
    copies that autocast makes of weights. `gradients`: bytes of the layer's own gradients.
    """

    unkept: tuple[Bytes, ...]
    forward: tuple[Bytes, ...]
    kept: Bytes
    backward: tuple[Bytes, ...]
    recomputed: tuple[Bytes, ...]
    casts: float
    gradients: float


@lru_cache(maxsize=256)
def layer_cost(layer: Layer, hidden: int, stream: int) -> LayerCost:
    """`hidden`: elements of the residual stream a token, `stream`: bytes of one."""
    unkept, casts = _unkept(layer, hidden, stream)
    tape = Tape()
    x = tape.new(TOKEN, hidden, stream, wants=True)
    out = decode(tape, x, layer)
    tape.drop(x)
    forward, kept = largest(tape.moments), tape.now().plus(Bytes(token=-out.size))
    tape.moments.clear()
    tape.drop(out)
    tape.play_back(out, tape.new(TOKEN, hidden, stream))
    return LayerCost(
        unkept=unkept,
        forward=forward,
        kept=kept,
        backward=largest(tape.moments),
        recomputed=_recomputed(layer, hidden, stream),
        casts=casts,
        gradients=tape.now().gradient,
    )


def _unkept(layer: Layer, hidden: int, stream: int) -> tuple[tuple[Bytes, ...], float]:
    tape = Tape(keeping=False)
    x = tape.new(TOKEN, hidden, stream, wants=True)
    tape.drop(decode(tape, x, layer))
    return largest(tape.moments), tape.casts


def _recomputed(layer: Layer, hidden: int, stream: int) -> tuple[Bytes, ...]:
    """Recomputation stops as soon as all that is kept is there."""
    tape = Tape()
    x = tape.new(TOKEN, hidden, stream, wants=True)
    given = tape.new(TOKEN, hidden, stream)
    out = decode(tape, x, layer)
    moments = tape.moments[: tape.last_kept]
    tape.moments.clear()
    tape.drop(out)
    tape.play_back(out, given)
    return largest([*moments, *tape.moments])
