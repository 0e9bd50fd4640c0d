"""What is alive at the peak, alike things together: the list that explains it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from compiler.trace.parts import Sorter
from compiler.trace.peak import rounded
from compiler.trace.recording import Allocation, Recording
from schemas.footprint import Live

LARGEST: Final = 10
NUMBER: Final = re.compile(r"(?<=\.)\d+(?=\.|$)")
HELD: Final = ("weights", "adapters", "gradients", "optimizer")
"""Parts that are there whatever the operator made them."""
MODEL: Final = "(model)"
"""The model itself, where its loss is computed."""


def largest(recording: Recording, numbers: Iterable[int], sorter: Sorter) -> tuple[Live, ...]:
    """The ten groups that take most, largest first."""
    groups: dict[tuple[str, str, str], list[Allocation]] = defaultdict(list)
    for number in numbers:
        item, part = recording.allocations[number], sorter.part(number)
        groups[part, _block(item.module), "" if part in HELD else _op(item)].append(item)
    found = (_group(part, module, items) for (part, module, _), items in groups.items())
    return tuple(sorted(found, key=lambda group: -group.size)[:LARGEST])


def _group(part: str, module: str, items: list[Allocation]) -> Live:
    biggest = max(items, key=lambda item: item.size)
    tensor = f"{biggest.dtype}[{', '.join(map(str, biggest.shape))}]"
    return Live(part, module, tensor, _op(biggest), len(items), sum(rounded(item.size) for item in items))


def _op(item: Allocation) -> str:
    """The operator without the name of its overload."""
    return item.op.rpartition(".")[0] if item.op.count(".") > 1 else item.op


def _block(module: str) -> str:
    """Layers' numbers as `*`, and no further than the block inside the layer: attention, feed-forward, a norm."""
    shown = NUMBER.sub("*", module).removesuffix(".base_layer")
    before, star, inside = shown.partition(".*.")
    return f"{before}{star}{inside.partition('.')[0]}" or MODEL
