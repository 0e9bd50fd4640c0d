"""How right the memory figures are: the formula against traces, both against readings; `--page` writes it down.

    python bench/memory.py                          # 230 cases of seed 1
    python bench/memory.py --seed 7 --cases 60      # fresh ones
    python bench/memory.py --published              # measurements of others, and our own
    python bench/memory.py --page --held-out 7      # docs/memory-accuracy.md

Traces are made once and kept in `bench/.cache`: after a change of the formula this takes seconds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.memory_cases import Case, described, draw, plan_of
from bench.memory_compare import TRACED, Compared, class_table, compare
from bench.memory_judge import KINDS, Reading, error_table, interval_table, reading, reading_table, readings
from bench.memory_page import WORST, Content, Drawn, write
from bench.memory_published import Published, published
from bench.memory_results import Measured, measured
from bench.memory_traces import Traced, traces
from compiler.memory import weigh
from schemas.facts import GIB

CASES = 230
"""Of seed 1: enough for 200 that can be traced."""
HELD_OUT = 70
"""Of a seed chosen after the formula was last changed."""
FRESH = 7309
"""That seed: another one after each change of the formula."""


def main() -> None:
    """Print what is asked for."""
    asked = _arguments()
    if asked.page:
        drawn = (_drawn(1, CASES, asked), _drawn(asked.held_out, HELD_OUT, asked))
        rows = tuple(published())
        write(Content(drawn, rows, tuple(_published(rows, asked)), tuple(_own())))
    elif asked.published:
        _print_readings(_published(tuple(published()), asked))
        _print_readings(_own())
    else:
        _report(_drawn(asked.seed, asked.cases, asked))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--published", action="store_true", help="compare with measurements")
    parser.add_argument("--page", action="store_true", help="write docs/memory-accuracy.md")
    parser.add_argument("--held-out", type=int, default=FRESH, help="the page's seed of fresh cases")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="try those again that could not be traced")
    parser.add_argument("--stale", action="store_true", help="take traces that an older trace made")
    return parser.parse_args()


def _traced(cases: Sequence[Case], asked: argparse.Namespace) -> dict[Case, Traced]:
    """Every case's trace, in the order of the cases."""
    found: dict[Case, Traced] = {}
    for traced in traces(cases, workers=asked.workers, again=asked.again, stale=asked.stale):
        found[traced.case] = traced
        outcome = traced.refused or f"{traced.seconds:.1f} s"
        print(f"{len(found)} of {len(cases)} {described(traced.case)}: {outcome}", file=sys.stderr, flush=True)
    return {case: found[case] for case in cases}


def _drawn(seed: int, count: int, asked: argparse.Namespace) -> Drawn:
    each = _traced(draw(seed, count), asked).values()
    done = tuple(compare(traced) for traced in each if not traced.refused)
    return Drawn(seed, done, tuple(traced for traced in each if traced.refused))


def _published(rows: Sequence[Published], asked: argparse.Namespace) -> list[Reading]:
    """The readings of others, each with both predictions; the trace's where the row's run can be traced."""
    each = _traced(list(dict.fromkeys(row.case for row in rows if row.case)), asked)
    found: list[Reading] = []
    for row in rows:
        if row.case is not None:
            traced = each[row.case]
            trace = None if traced.refused else compare(traced, varied=row.varied).trace
            found += readings(row, weigh(plan_of(row.case), row.case.stack, varied=row.varied), trace)
    return found


def _own() -> list[Reading]:
    """Our own readings, each with both predictions."""
    return [_reading(item, kind) for item in measured() for kind in KINDS]


def _reading(item: Measured, kind: str) -> Reading:
    found = item.calibration.phases
    sizes = {"allocated": found.allocated, "reserved": found.reserved, "device": found.device}
    return reading(f"{item.file}: {item.title}", kind, sizes[kind], item.formula, item.trace)


def _print_readings(found: Sequence[Reading]) -> None:
    if found:
        print("\n\n".join((reading_table(found), error_table(found), interval_table(found))))


def _report(drawn: Drawn) -> None:
    """Classes, the worst cases with what is alive in them, and what it took."""
    print(class_table(drawn.done))
    for item in sorted(drawn.done, key=lambda item: -abs(item.error))[:WORST]:
        print(f"\n{item.error:+.1%} {described(item.case)}")
        print(f"   {_phases(item)}")
        for live in item.trace.live[:10]:
            print(f"   {gib(live.size):>8} {live.count:4d} {live.part} {live.module} {live.tensor} {live.op}")
    print(f"\n{len(drawn.done)} traced, {len(drawn.refused)} not")
    print(
        f"formula {median(item.weighed_in for item in drawn.done) * 1e3:.2f} ms, "
        f"trace {median(item.traced_in for item in drawn.done):.1f} s (medians)"
    )


def _phases(item: Compared) -> str:
    pairs = {name: (getattr(item.formula.phases, name), getattr(item.trace.phases, name)) for name in TRACED}
    return ", ".join(f"{name} {gib(ours)} for {gib(traced)}" for name, (ours, traced) in pairs.items())


def gib(size: int) -> str:
    """Bytes in GiB."""
    return f"{size / GIB:.3f}"


if __name__ == "__main__":
    main()
