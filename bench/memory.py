"""How right the memory figures are: the formula against traces, both against readings; `--page` writes it down.

    python bench/memory.py                          # 200 cases of seed 1
    python bench/memory.py --seed 7 --cases 60      # fresh ones
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

from bench.memory_cases import Case, described, draw
from bench.memory_compare import Compared, class_table, compare
from bench.memory_traces import Traced, traces
from schemas.facts import GIB

HELD_OUT = 60
"""Fresh cases, where none are asked for by number."""


def main() -> None:
    """Print the comparison."""
    asked = _arguments()
    cases = draw(asked.seed, asked.cases)
    done, refused = trace_all(cases, asked)
    report(done, refused)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="try those again that could not be traced")
    parser.add_argument("--stale", action="store_true", help="take traces that an older trace made")
    return parser.parse_args()


def trace_all(cases: Sequence[Case], asked: argparse.Namespace) -> tuple[list[Compared], list[Traced]]:
    """Every case compared, or not traced."""
    done: list[Compared] = []
    refused: list[Traced] = []
    for traced in traces(cases, workers=asked.workers, again=asked.again, stale=asked.stale):
        if traced.refused:
            refused.append(traced)
            print(f"not traced: {described(traced.case)}: {traced.refused}", file=sys.stderr, flush=True)
        else:
            done.append(compare(traced))
            print(f"{done[-1].error:+7.2%} {described(traced.case)}", file=sys.stderr, flush=True)
    return done, refused


def report(done: Sequence[Compared], refused: Sequence[Traced]) -> None:
    """Classes, the worst cases with what is alive in them, and what it took."""
    print(class_table(done))
    for item in sorted(done, key=lambda item: -abs(item.error))[:15]:
        print(f"\n{item.error:+.1%} {described(item.case)}")
        print(f"   formula {gib(item.formula.allocated)} {_phases(item)}")
        for size, count, what in item.trace.live[:10]:
            print(f"   {gib(size):>8} {count:4d} {what}")
    print(f"\n{len(done)} traced, {len(refused)} not")
    print(
        f"formula {median(item.weighed_in for item in done) * 1e3:.2f} ms, "
        f"trace {median(item.traced_in for item in done):.1f} s (medians)"
    )


def _phases(item: Compared) -> str:
    formula = {name: getattr(item.formula.phases, name) for name in item.trace.phases}
    return ", ".join(f"{name} {gib(formula[name])} for {gib(size)}" for name, size in item.trace.phases.items())


def gib(size: int) -> str:
    """Bytes in GiB."""
    return f"{size / GIB:.3f}"


if __name__ == "__main__":
    main()
