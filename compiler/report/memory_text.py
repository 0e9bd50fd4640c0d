"""The memory verdict for a person: one line, and a bar of what takes the room."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from compiler.report.paint import Paint, Shade, printable
from compiler.report.table import table
from schemas.facts import GIB
from schemas.footprint import Footprint, Live, Verdict
from schemas.plan import Plan

if TYPE_CHECKING:
    # Sought only where a run does not fit.
    from compiler.memory.fixes import Fix

CELLS: Final = 60
LIVE: Final = 10
"""How many of the things alive at the peak are shown."""
MIB: Final = 1 << 20
LETTERS: Final[dict[str, tuple[str, Shade]]] = {
    "weights": ("w", "blue"),
    "adapters": ("d", "cyan"),
    "gradients": ("g", "green"),
    "optimizer": ("o", "yellow"),
    "activations": ("a", "magenta"),
    "logits": ("l", "red"),
    "workspace": ("k", "cyan"),
    "context": ("c", "bright_black"),
    "fragmentation": ("f", "bright_black"),
}
VERDICTS: Final[dict[Verdict, tuple[str, Shade]]] = {
    "fits": ("fits", "green"),
    "tight": ("tight", "yellow"),
    "does_not_fit": ("does not fit", "red"),
    "unknown": ("unknown", "bright_black"),
}


def size(amount: int, *, small: bool = False) -> str:
    """A size with its unit: GiB, or MiB for little ones or where `small` says so."""
    if small or 0 < amount < GIB // 10:
        return f"{amount / MIB:.0f} MiB"
    return f"{amount / GIB:.1f} GiB"


def card(plan: Plan | None) -> str | None:
    """What the recipe runs on, in the reader's words: `a100-40gb`, `8 x h100`."""
    if plan is None or plan.hardware.gpu is None:
        return None
    return plan.hardware.gpu if plan.devices == 1 else f"{plan.devices} x {plan.hardware.gpu}"


def verdict_line(footprint: Footprint, gpu: str | None, paint: Paint) -> str:
    """What it comes to, in one line."""
    word, shade = VERDICTS[footprint.verdict]
    return f"{paint('memory', bold=True)}: {paint(word, shade, bold=True)}{_against(footprint, gpu)}\n"


def memory_text(footprint: Footprint, gpu: str | None, paint: Paint) -> str:
    """The verdict, the bar and its legend; of a trace also what is alive at the peak."""
    legend = " · ".join(_legend(footprint, paint))
    return f"{verdict_line(footprint, gpu, paint)}  {bar(footprint, paint)}\n  {legend}\n" + _live(footprint, paint)


def _live(footprint: Footprint, paint: Paint) -> str:
    """The ten largest things alive at the peak; nothing where no trace found them."""
    if not footprint.live:
        return ""
    rows = [["size", "count", "part", "module", "tensor", "op"], *(_live_row(item) for item in footprint.live[:LIVE])]
    lines = "".join(f"    {line}\n" for line in table(rows).splitlines())
    return f"  {paint('largest at the peak', bold=True)}\n{lines}"


def _live_row(item: Live) -> list[str]:
    return [size(item.size), str(item.count), item.part, *map(printable, (item.module, item.tensor, item.op))]


def between(footprint: Footprint) -> str:
    """The interval in MiB or GiB, whichever `size` writes for its upper end."""
    small = footprint.high < GIB
    return f"{_figure(footprint.low, small=small)} to {_figure(footprint.high, small=small)}"


def _against(footprint: Footprint, gpu: str | None) -> str:
    small = footprint.high < GIB
    need = size(footprint.device, small=small)
    basis = f"({between(footprint)}; {footprint.confidence} confidence, by {footprint.method}, {footprint.stack})"
    if footprint.capacity is None:
        why = f"{gpu} without hardware.memory" if gpu else "no GPU is named (hardware.gpu, --gpu)"
        return f", {why}: about {need} {basis}"
    card = f" {gpu}" if gpu else ""
    of = f"about {need} of {size(footprint.capacity)}" if small else f"about {need[:-4]} of {size(footprint.capacity)}"
    if footprint.verdict == "does_not_fit":
        return f"{card}: {of}, up to {size(max(footprint.high - footprint.capacity, 0))} too much {basis}"
    return f"{card}: {of} {basis}"


def fixes_text(found: Sequence[Fix], paint: Paint) -> str:
    """The cheapest changes that make it fit, each with what it needs then and what it costs."""
    if not found:
        return ""
    lines = [
        f"  {', '.join(f'{path}={_setting(value)}' for path, value in fix.set.items())}: "
        f"about {size(fix.footprint.device)}, {VERDICTS[fix.footprint.verdict][0]}; {fix.costs}\n"
        for fix in found
    ]
    return paint("cheapest changes", bold=True) + "\n" + "".join(lines)


def _setting(value: object) -> str:
    """A value as --set takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def _parts(footprint: Footprint) -> Iterator[tuple[str, int]]:
    for name in footprint.parts.__struct_fields__:
        yield name, getattr(footprint.parts, name)


def bar(footprint: Footprint, paint: Paint, cells: int = CELLS) -> str:
    """So many cells: the capacity, or the need where that is more; then a bar marks where the card ends."""
    whole = max(footprint.capacity or footprint.high, footprint.device, 1)
    drawing: list[tuple[str, Shade]] = [(".", None)] * cells
    start = 0
    for name, amount in _parts(footprint):
        end = start + amount
        for cell in range(round(start * cells / whole), round(end * cells / whole)):
            drawing[cell] = LETTERS[name]
        start = end
    drawn = [paint("█" if paint.on and letter != "." else letter, shade) for letter, shade in drawing]
    if footprint.capacity is not None and footprint.capacity < whole:
        drawn.insert(round(footprint.capacity * cells / whole), paint("|", "red", bold=True))
    return f"[{''.join(drawn)}]"


def _legend(footprint: Footprint, paint: Paint) -> Iterator[str]:
    small = footprint.high < GIB
    least = MIB // 2 if small else GIB // 20
    for name, amount in _parts(footprint):
        letter, shade = LETTERS[name]
        if amount >= least:
            yield f"{paint('█' if paint.on else letter, shade)} {name} {_figure(amount, small=small)}"
    yield "MiB" if small else "GiB"


def _figure(amount: int, *, small: bool) -> str:
    return f"{amount / MIB:.0f}" if small else f"{amount / GIB:.1f}"
