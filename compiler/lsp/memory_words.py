"""The memory of a run as tables and short words: for hints, hovers and diagnostics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from compiler.report.matrix import markdown
from compiler.report.memory_text import VERDICTS, size
from compiler.report.plan_text import between_words
from schemas.footprint import Footprint, Parts

SECTIONS: Final[dict[str, tuple[str, ...]]] = {
    "model": ("weights",),
    "method": ("adapters",),
    "training": ("gradients", "optimizer", "activations", "logits"),
}
"""Which parts a section decides."""
LEAST: Final = 1 << 20


def parts_in_words(footprint: Footprint) -> Iterator[tuple[str, str, str]]:
    """Section, the parts that it decides in a few words, and these as a table."""
    for section, names in SECTIONS.items():
        found = [(name, amount) for name, amount in _parts(footprint.parts) if name in names and amount >= LEAST]
        if found:
            words = f"{found[0][0]} {size(found[0][1])}" if len(found) == 1 else _sum(found)
            yield section, words, parts_table(footprint, names)


def _sum(found: Sequence[tuple[str, int]]) -> str:
    largest = max(found, key=lambda item: item[1])
    return f"{size(sum(amount for _, amount in found))}, most of it {largest[0]}"


def verdict_words(footprint: Footprint) -> tuple[str, str]:
    """What it comes to, short and as a table."""
    word = VERDICTS[footprint.verdict][0]
    if footprint.capacity is None:
        return f"about {size(footprint.device)}", memory_page(footprint)
    return f"{word}: {size(footprint.device)} of {size(footprint.capacity)}", memory_page(footprint)


def memory_page(footprint: Footprint) -> str:
    """The verdict, the parts at the peak, the peaks of the phases."""
    return "\n\n".join(
        (_verdict(footprint), parts_table(footprint, footprint.parts.__struct_fields__), _phases(footprint))
    )


def _verdict(footprint: Footprint) -> str:
    word = VERDICTS[footprint.verdict][0]
    room = "" if footprint.capacity is None else f" of {size(footprint.capacity)}"
    basis = f"{between_words(footprint)}, {footprint.confidence} confidence, by {footprint.method}, {footprint.stack}"
    return f"**memory: {word}**, about {size(footprint.device)}{room} ({basis})"


def parts_table(footprint: Footprint, names: Sequence[str]) -> str:
    """Parts with their share of the whole."""
    rows = [
        [name, size(amount), f"{amount / max(footprint.device, 1):.0%}"]
        for name, amount in _parts(footprint.parts)
        if name in names and amount
    ]
    return markdown(["part", "size", "share"], rows).rstrip()


def _phases(footprint: Footprint) -> str:
    phases = footprint.phases
    rows = [[name, size(amount)] for name in phases.__struct_fields__ if (amount := getattr(phases, name))]
    return markdown(["phase", "live tensors at most"], rows) + f"\nmain memory: {size(footprint.host_ram)}"


def _parts(parts: Parts) -> list[tuple[str, int]]:
    return [(name, getattr(parts, name)) for name in parts.__struct_fields__]
