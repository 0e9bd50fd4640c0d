"""A tape of what a forward pass allocates and keeps, played back for its gradients: autograd in bytes, without data.

Sizes are of kinds: bytes of the whole pass, bytes a token, bytes a pair of positions (token x length). A tape is
written once for a layer; what it costs for so many tokens is then a maximum over few linear forms.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import ge
from typing import Final, NamedTuple

Kind = int
"""Of what a size is: an index into `Bytes`."""
WHOLE: Final[Kind] = 0
TOKEN: Final[Kind] = 1
PAIR: Final[Kind] = 2
LOGIT: Final[Kind] = 3
GRADIENT: Final[Kind] = 4
TILE: Final[Kind] = 5


class Bytes(NamedTuple):
    """An amount, by kind: bytes of the whole pass, a token, a pair of positions, a token of what the head gives out,
    and of gradients of weights, which stay; and how many tiles of a chunked loss."""

    whole: float = 0
    token: float = 0
    pair: float = 0
    logit: float = 0
    gradient: float = 0
    tile: float = 0

    def plus(self, other: Bytes, times: float = 1) -> Bytes:
        """The sum with `times` the other."""
        return Bytes(
            self.whole + times * other.whole,
            self.token + times * other.token,
            self.pair + times * other.pair,
            self.logit + times * other.logit,
            self.gradient + times * other.gradient,
            self.tile + times * other.tile,
        )


class Moved(NamedTuple):
    """What a part of a pass does beside its products: bytes that it writes, by kind, and how many tensors."""

    written: Bytes = Bytes()
    tensors: float = 0

    def plus(self, other: Moved, times: float = 1) -> Moved:
        """The sum with `times` the other."""
        return Moved(self.written.plus(other.written, times), self.tensors + times * other.tensors)


class Tensor:
    """`count` elements a `kind`, of `width` bytes. `wants`: whether a gradient flows to it. `base`: what it is a view
    of, and keeps alive."""

    __slots__ = ("base", "count", "grad", "kind", "refs", "wants", "width")

    def __init__(self, kind: Kind, count: float, width: float, wants: bool, base: Tensor | None = None) -> None:
        self.kind: Kind = kind
        self.count = count
        self.width = width
        self.wants = wants
        self.refs = 1
        self.base = base
        self.grad: Tensor | None = None

    @property
    def size(self) -> float:
        """Bytes a `kind`."""
        return self.count * self.width


class Grad(NamedTuple):
    """A gradient that an operator hands to one of its inputs; `shared`: it is the one it was given itself."""

    to: Tensor
    shared: bool = False


class Weight(NamedTuple):
    """Bytes of a weight's gradient, and whether it is added to one that is there rather than staying."""

    size: float = 0
    added: bool = False


class Node(NamedTuple):
    """An operator of the forward pass. `keeps`: what it needs again; `temporary`: bytes it takes while it computes
    gradients, beside those; `weight`: the gradient of its own weight."""

    out: Tensor
    grads: tuple[Grad, ...]
    keeps: tuple[Tensor, ...]
    temporary: tuple[tuple[Kind, float], ...]
    weight: Weight


NONE: Final = Weight()


class Tape:
    """Writes a forward pass, then plays it back. `moments`: what was alive after each allocation.

    `keeping`: whether anything is kept for gradients; a pass that is recomputed later keeps nothing at first.
    `last_kept`: how many moments there were when something was kept last. `casts`: bytes of weights that autocast
    made copies of. `written`: bytes allocated so far, each of which an operator writes.
    """

    def __init__(self, *, keeping: bool = True) -> None:
        self.keeping = keeping
        self.live = [0.0] * len(Bytes._fields)
        self.moments: list[Bytes] = []
        self.last_kept = 0
        self.casts = 0.0
        self.written = [0.0] * len(Bytes._fields)
        self.tensors = 0
        self._nodes: list[Node] = []

    def new(self, kind: Kind, count: float, width: float, *, wants: bool = False) -> Tensor:
        """Allocate a tensor, owned by the caller."""
        self._take(kind, count * width)
        return Tensor(kind, count, width, wants)

    def like(self, of: Tensor, *, width: float | None = None, count: float | None = None, wants: bool = True) -> Tensor:
        """Allocate a tensor of the same kind."""
        return self.new(of.kind, of.count if count is None else count, width or of.width, wants=wants and of.wants)

    def drop(self, *tensors: Tensor) -> None:
        """Give up one reference to each."""
        for tensor in tensors:
            tensor.refs -= 1
            if tensor.refs > 0:
                continue
            if tensor.base is None:
                self.live[tensor.kind] -= tensor.size
            else:
                self.drop(tensor.base)

    def again(self, x: Tensor) -> Tensor:
        """The tensor itself, with a reference more: what an operator gives back that changes nothing."""
        x.refs += 1
        return x

    def instead(self, of: Tensor, after: Tensor) -> Tensor:
        """`after`, with `of` given up: a name that is bound anew."""
        self.drop(of)
        return after

    def view(self, of: Tensor, count: float) -> Tensor:
        """A part of a tensor, whose gradient is written into a whole of zeros."""
        of.refs += 1
        out = Tensor(of.kind, count, of.width, of.wants, of)
        self.node(out, (Grad(of),))
        return out

    def temporary(self, kind: Kind, size: float) -> None:
        """Bytes that are there for a moment."""
        self._take(kind, size)
        self.live[kind] -= size

    def node(
        self,
        out: Tensor,
        grads: Iterable[Grad],
        keeps: Iterable[Tensor] = (),
        temporary: Iterable[tuple[Kind, float]] = (),
        weight: Weight = NONE,
    ) -> None:
        """Note how gradients flow through an operator, where any do."""
        wanted = tuple(grad for grad in grads if grad.to.wants)
        if not self.keeping or not (wanted or weight.size):
            return
        kept = tuple(keeps)
        for tensor in kept:
            tensor.refs += 1
        if kept:
            self.last_kept = len(self.moments)
        self._nodes.append(Node(out, wanted, kept, tuple(temporary), weight))

    def now(self) -> Bytes:
        """What is alive."""
        return Bytes(*self.live)

    def moved(self) -> Moved:
        """What was written since this was asked last."""
        found = Moved(Bytes(*self.written), self.tensors)
        self.written, self.tensors = [0.0] * len(Bytes._fields), 0
        return found

    def play_back(self, out: Tensor, given: Tensor) -> None:
        """Walk back from `out`, whose gradient is `given`, in the order in which autograd does."""
        out.grad = given
        while self._nodes:
            node = self._nodes.pop()
            arrived = node.out.grad
            if arrived is not None:
                node.out.grad = None
                self._walk(node, arrived)
            self.drop(*node.keeps)

    def _walk(self, node: Node, given: Tensor) -> None:
        weight = node.weight
        temporary = (*node.temporary, (WHOLE, weight.size)) if weight.added else node.temporary
        for kind, size in temporary:
            self._take(kind, size)
        if weight.size and not weight.added:
            self._take(GRADIENT, weight.size)
        for grad in node.grads:
            self._hand(grad, given)
        for kind, size in temporary:
            self.live[kind] -= size
        self.drop(given)

    def _hand(self, grad: Grad, given: Tensor) -> None:
        """Gradients that meet are added in place, to one that nobody else holds."""
        to = grad.to
        if grad.shared:
            given.refs += 1
            handed = given
        else:
            handed = self.new(to.kind, to.count, to.width)
        if to.grad is None:
            to.grad = handed
        elif to.grad.refs == 1:
            self.drop(handed)
        else:
            self.drop(to.grad)
            to.grad = handed

    def _take(self, kind: Kind, size: float) -> None:
        self.live[kind] += size
        self.written[kind] += size
        self.tensors += 1
        self.moments.append(Bytes(*self.live))


def largest(moments: Iterable[Bytes]) -> tuple[Bytes, ...]:
    """The moments that can be the largest for some number of tokens and some length: no other is as large in all."""
    found: list[Bytes] = []
    for moment in sorted(set(moments), reverse=True, key=lambda item: item[1:] + item[:1]):
        if not any(all(map(ge, other, moment)) for other in found):
            found.append(moment)
    return tuple(found)
