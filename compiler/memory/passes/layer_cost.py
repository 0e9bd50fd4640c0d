"""What one layer costs in each pass over it, from its tape."""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from compiler.memory.passes.decoder import Layer, decode
from compiler.memory.passes.tape import TOKEN, Bytes, Moved, Tape, Tensor, largest


class LayerCost(Struct, frozen=True):
    """Largest moments of each pass. All count the layer's input; those that walk back also the gradient that comes in.

    `unkept`: forward, nothing kept. `forward`: forward, all kept. `kept`: what that leaves, less what the layer gives
    out; `unneeded`: how much less it is in a first layer, whose input needs no
    gradient. `backward`: walking back over what was kept. `recomputed`: forward again and back. `casts`: bytes of
    copies that autocast makes of weights. `forth` and `back`: what is written on the way to the loss, and from it.
    """

    unkept: tuple[Bytes, ...]
    forward: tuple[Bytes, ...]
    kept: Bytes
    unneeded: Bytes
    backward: tuple[Bytes, ...]
    recomputed: tuple[Bytes, ...]
    casts: float
    forth: Moved
    back: Moved


@lru_cache(maxsize=256)
def layer_cost(layer: Layer, hidden: int, stream: int) -> LayerCost:
    """`hidden`: elements of the residual stream a token, `stream`: bytes of one."""
    unkept = Tape(keeping=False)
    _forward(unkept, layer, hidden, stream, wants=True)
    tape = Tape()
    out = _forward(tape, layer, hidden, stream, wants=True)
    forward, kept, forth = largest(tape.moments), tape.now(), tape.moved()
    tape.moments.clear()
    tape.play_back(out, tape.new(TOKEN, hidden, stream))
    return LayerCost(
        unkept=largest(unkept.moments),
        forward=forward,
        kept=kept,
        unneeded=_unneeded(kept, layer, hidden, stream),
        backward=largest(tape.moments),
        recomputed=_recomputed(layer, hidden, stream),
        casts=unkept.casts,
        forth=forth,
        back=tape.moved(),
    )


def _forward(tape: Tape, layer: Layer, hidden: int, stream: int, *, wants: bool) -> Tensor:
    """The layer written to the tape; what it gives out belongs to the next."""
    x = tape.new(TOKEN, hidden, stream, wants=wants)
    out = decode(tape, x, layer)
    tape.drop(x, out)
    return out


def _unneeded(kept: Bytes, layer: Layer, hidden: int, stream: int) -> Bytes:
    tape = Tape()
    _forward(tape, layer, hidden, stream, wants=False)
    return kept.plus(tape.now(), -1)


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
