"""Compare the formula with traces of the real modules, on cases drawn from a seed.

    python bench/memory.py [--seed 1] [--cases 200] [--workers 2] [--again]

Traces are made once and kept in `bench/.cache`; after a change of the formula the comparison takes seconds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import perf_counter

import msgspec
from msgspec import Struct

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.memory_cases import Case, described, draw, plan_of
from bench.memory_peaks import Peaks, peaks
from bench.memory_traces import CACHE, Traced, recording_of, traces
from compiler.memory import weigh
from schemas.facts import GIB
from schemas.footprint import Footprint


class Compared(Struct, frozen=True):
    """A case with both answers. `seconds`: of the trace, of the formula."""

    case: Case
    trace: Peaks
    formula: Footprint
    seconds: tuple[float, float]

    @property
    def error(self) -> float:
        """Of the formula's allocated peak, relative to the trace's."""
        return self.formula.allocated / self.trace.allocated - 1


def compare(traced: Traced) -> Compared:
    """Weigh a traced case."""
    plan = plan_of(traced.case)
    start = perf_counter()
    formula = weigh(plan, traced.case.stack)
    took = perf_counter() - start
    return Compared(traced.case, _peaks(traced), formula, (traced.seconds, took))


def _peaks(traced: Traced) -> Peaks:
    kept = CACHE / "peaks" / f"{traced.key}.json"
    if kept.exists():
        return msgspec.json.decode(kept.read_bytes(), type=Peaks)
    found = peaks(recording_of(traced), plan_of(traced.case))
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(msgspec.json.encode(found))
    return found


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="try those again that could not be traced")
    asked = parser.parse_args()
    done: list[Compared] = []
    for traced in traces(draw(asked.seed, asked.cases), workers=asked.workers, again=asked.again):
        if traced.refused:
            print(f"not traced ({traced.seconds:.0f} s): {described(traced.case)}: {traced.refused}", flush=True)
            continue
        done.append(compare(traced))
        print(f"{done[-1].error:+7.2%} {traced.seconds:5.1f} s {described(traced.case)}", flush=True)
    for item in sorted(done, key=lambda item: -abs(item.error))[:15]:
        print(f"{item.error:+.1%} {item.formula.allocated / GIB:.2f} for {item.trace.allocated / GIB:.2f} GiB", end=" ")
        print(described(item.case), {name: round(size / GIB, 2) for name, size in item.trace.phases.items()})


if __name__ == "__main__":
    main()
