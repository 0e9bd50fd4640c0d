"""`docs/memory-accuracy.md`: the comparisons in full, around what is written here by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from msgspec import Struct

from bench.memory_cases import BENCH, described
from bench.memory_compare import Compared, class_table, peak
from bench.memory_errors import table
from bench.memory_judge import Reading, error_table, interval_table, reading_table
from bench.memory_published import Published
from bench.memory_traces import Traced
from schemas.facts import GIB

PAGE: Final = BENCH.parent / "docs" / "memory-accuracy.md"
WORST: Final = 15

HEAD: Final = """\
<!-- Written by bench/memory.py --page. -->
# How right the memory figures are

There are three ways to know what a run needs. The *formula* is a closed form over the plan; it is what `ftc plan`,
`validate` and `build` use. The *trace* (`ftc plan --exact`) runs the real model class, adapters, loss and optimizer for
two steps on tensors without content, and records every allocation. A *measurement* reads the driver. This page
compares the first with the second, and both with the third.

Errors are of the prediction: positive where it is too large. "Share under" is the share of predictions below the
truth, whatever the distance. No constant of the formula or of the trace is fitted to a published measurement.

`make bench-memory` writes this page anew. Traces are kept in `bench/.cache`; the first run takes about half an hour on
two cores, later ones seconds.
"""
AGAINST_TRACE: Final = """\
## Formula against trace

Peaks of live tensors ("allocated"). Cases are drawn at random from a seed: nine families, full fine-tuning, LoRA,
QLoRA, DoRA and QDoRA, four stacks (Unsloth's own kernels cannot be traced), three kinds of checkpointing, lengths of
256 to 8192 tokens, micro-batches of 1 to 8. Large models keep all their widths and have 2 to 12 of their layers, so
that a trace takes seconds; small ones are traced at their true depth now and then. A case is in several classes. Cases
that cannot be traced are counted below the tables; none is left out for another reason.

Granite, OLMo 2 and StarCoder 2 are not in the catalog: what they show is how far the formula is off on a family that
it assumes to be a Llama. It says low confidence for those.
"""
PUBLISHED: Final = """\
## Against published measurements

`bench/data/vram_published.jsonl`: {count} runs that others measured on one card and published with their code. Each
reading is compared with the figure of its kind: `allocated` is torch's peak of live tensors, `reserved` what its
allocator took from the driver, `device` what the driver counts. The interval is about the latter two.

All of these are runs of the `peft` stack, a plain loop: of vramcalc (RTX A6000), which zeroes gradients in place, so
that they are alive throughout; and of canifinetune (RTX 4080), whose bases in 4 bit are prepared by
`prepare_model_for_kbit_training` and trained without autocast. Both loops ran other versions of transformers (4.57 and
5.8) than the trace does.

Two clusters on two cards cannot show that an interval holds 97 % of runs: read the counts.
"""
OPEN: Final = """\
The QLoRA run without checkpointing was 18 % off in an early prototype of the trace. Without autocast, the base's
k-bit preparation makes queries, keys and values float32; fused kernels do not take grouped heads of that type, and
attention is computed by products: scores, their softmax and expanded heads are kept in every layer. The trace takes
that path where CUDA would.
"""
READINGS: Final = """\
## Against our own readings

`bench/results/`, one line for each run of `ftc run --measure` on a card.
"""
SEED: Final = """\
## What the lesson says

ftc was started from a lesson with a memory table and a decision matrix: [Choosing](choosing.md#memory) has its claims
one by one, each computed.
"""


class Drawn(Struct, frozen=True):
    """The cases of one seed."""

    seed: int
    done: tuple[Compared, ...]
    refused: tuple[Traced, ...]


class Content(Struct, frozen=True):
    """What the page shows. `rows`: the published rows, those that no recipe says too."""

    drawn: tuple[Drawn, ...]
    rows: tuple[Published, ...]
    readings: tuple[Reading, ...]
    own: tuple[Reading, ...]


def write(content: Content, path: Path = PAGE) -> None:
    """Write the page."""
    path.write_text(page(content), encoding="utf-8")


def page(content: Content) -> str:
    """The whole text."""
    sections = (HEAD, AGAINST_TRACE, *map(_drawn, content.drawn), _published(content), _own(content), SEED)
    return "\n".join((*sections, _times(content)))


def _drawn(drawn: Drawn) -> str:
    asked = len(drawn.done) + len(drawn.refused)
    kind = "seen while the formula was written" if drawn.seed == 1 else "held out"
    parts = [
        f"### Seed {drawn.seed}: {asked} cases, {kind}\n",
        class_table(drawn.done),
        f"\n{_refusals(drawn.refused)}\n#### The {WORST} worst\n",
        _worst(drawn.done),
        "",
    ]
    return "\n".join(parts)


def _refusals(refused: Sequence[Traced]) -> str:
    if not refused:
        return "All of them could be traced.\n"
    why = Counter((item.refused or "").removeprefix("UntraceableError: cannot be traced: ") for item in refused)
    lines = "".join(f"- {count}: {reason[:200]}\n" for reason, count in why.most_common())
    return f"{len(refused)} could not be traced:\n\n{lines}"


def _worst(done: Sequence[Compared]) -> str:
    chosen = sorted(done, key=lambda item: -abs(item.error))[:WORST]
    return table(("error", "trace, GiB", "case", "alive at the trace's peak, GiB"), map(_bad, chosen))


def _bad(item: Compared) -> tuple[str, ...]:
    largest = "; ".join(
        f"{live.size / GIB:.2f} {live.part} {live.module} {live.tensor}" for live in item.trace.live[:4]
    )
    return (f"{item.error:+.1%}", f"{peak(item.trace) / GIB:.2f}", described(item.case), largest)


def _published(content: Content) -> str:
    lacking = [row for row in content.rows if row.why]
    left = "".join(f"- {row.row}: {row.why}\n" for row in lacking)
    said = f"\n{len(lacking)} cannot be said by a recipe:\n\n{left}" if lacking else ""
    found = content.readings
    tables = (error_table(found), interval_table(found), reading_table(found))
    return f"{PUBLISHED.format(count=len(content.rows))}\n" + "\n\n".join(tables) + f"\n{said}\n{OPEN}"


def _own(content: Content) -> str:
    if not content.own:
        return f"{READINGS}\nThere are none yet.\n"
    tables = (error_table(content.own), interval_table(content.own), reading_table(content.own))
    return f"{READINGS}\n" + "\n\n".join(tables) + "\n"


def _times(content: Content) -> str:
    done = [item for drawn in content.drawn for item in drawn.done]
    took: Mapping[str, float] = {
        "formula, ms": median(item.weighed_in for item in done) * 1e3,
        "trace, s": median(item.traced_in for item in done),
        "slowest trace, s": max(item.traced_in for item in done),
    }
    rows = ((name, f"{value:.2f}") for name, value in took.items())
    return f"## Time\n\nOf the cases above, medians, on two busy cores; imports left out.\n\n{table(('', ''), rows)}\n"
