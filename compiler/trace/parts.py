"""Which part of the footprint an allocation is: by who holds it, or by what made it where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from compiler.trace.peak import rounded
from compiler.trace.recording import Allocation, Recording
from schemas.footprint import Parts

HEAD: Final = "lm_head"
EXPANDING: Final = ("bitsandbytes.dequantize", "bitsandbytes.gemm_4bit")
"""Operators that write out quantised weights, or their scales."""
NORM_OF_DORA: Final = "lora_magnitude_vector"
"""The module in which DoRA writes its update out, as large as the weight, to take its norm."""


class Sorter:
    """Knows the part of each allocation of a recording. `vocab`: the model's, which tells logits."""

    def __init__(self, recording: Recording, vocab: int) -> None:
        self._allocations = recording.allocations
        self._vocab = vocab
        self._kept = _outliving(recording)
        self._owners: dict[tuple[int, ...], set[str]] = defaultdict(set)
        for item in recording.allocations:
            if item.part in ("weights", "adapters"):
                self._owners[item.shape].add(item.module)

    def part(self, number: int) -> str:
        """The field of `Parts`."""
        item = self._allocations[number]
        if item.part:
            return item.part
        if item.phase == "optimizer":
            return "optimizer" if number in self._kept else "workspace"
        if item.phase == "load":
            return "weights"
        return self._walking(item)

    def _walking(self, item: Allocation) -> str:
        """Of what forward and backward passes make."""
        if item.dtype == "int64":
            return "activations"  # tokens, positions
        if item.op.startswith(EXPANDING) or self._like_a_weight(item):
            return "workspace"
        at_the_loss = item.module == "" or item.module.partition(".")[0] == HEAD
        return "logits" if at_the_loss or item.shape[-1:] == (self._vocab,) else "activations"

    def _like_a_weight(self, item: Allocation) -> bool:
        """Whether it is a weight in another type, or a gradient on its way: of the shape of one of its module's."""
        if NORM_OF_DORA in item.module and len(item.shape) == 2:
            return True
        owners = self._owners.get(item.shape, set()) if len(item.shape) > 1 else set[str]()
        return any(_same_module(item.module, owner) for owner in owners) or (item.module in ("", HEAD) and bool(owners))


def _same_module(one: str, other: str) -> bool:
    """Whether one is the other, or something inside it: adapters and the layer they are around."""
    return bool(one and other) and (f"{one}.".startswith(f"{other}.") or other.rpartition(".")[0] == one)


def _outliving(recording: Recording) -> frozenset[int]:
    """What was made in an optimizer's step and is still there after it: its state."""
    marks = dict(recording.marks)
    made: set[int] = set()
    kept: set[int] = set()
    phase = "load"
    for done, event in enumerate(recording.events):
        if done in marks:
            kept |= made
            made.clear()
            phase = marks[done]
        if phase == "optimizer" and event >= 0:
            made.add(event)
        elif event < 0:
            made.discard(-event - 1)
    return frozenset(kept)


def summed(recording: Recording, numbers: Iterable[int], sorter: Sorter) -> Parts:
    """Bytes of these allocations by part; no context, no fragmentation."""
    sizes = dict.fromkeys(Parts.__struct_fields__, 0)
    for number in numbers:
        sizes[sorter.part(number)] += rounded(recording.allocations[number].size)
    return Parts(**sizes)
