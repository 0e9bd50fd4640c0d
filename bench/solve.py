"""How long `auto` takes: every recipe for every target, against weighing its plan once.

    python bench/solve.py

Ends 1 where the ratio is over the limit. Processor time, as others may be at work on the machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from backends import TARGETS
from compiler.build import Options, Steps, compile_source
from compiler.memory import weigh
from compiler.solve import solve
from compiler.source import parse
from schemas.plan import Plan

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
ROUNDS = 5
LIMIT = 500.0
"""So many plans weighed take as long at most: some hundred are tried, each weighed and timed."""


def main() -> int:
    found: dict[str, tuple[float, float]] = {}
    for recipe in sorted(RECIPES.glob("*.ftc.yaml")):
        for target in TARGETS:
            taken = timed(recipe, Options(target=target))
            if taken:
                found[f"{recipe.name.removesuffix('.ftc.yaml')} {target}"] = taken
    for name, (ours, floor) in sorted(found.items(), key=lambda item: -item[1][0])[:5]:
        print(f"{name}: {1000 * ours:.1f} ms, {ours / floor:.0f} times weighing it")
    times, ratios = [ours for ours, _ in found.values()], [ours / floor for ours, floor in found.values()]
    middle, most = 1000 * median(times), 1000 * max(times)
    print(f"{len(found)} recipes and targets: {middle:.1f} ms in the median, {most:.1f} at most")
    print(f"ratio {max(ratios):.0f} at most, limit {LIMIT:g}")
    return max(ratios) > LIMIT


def timed(recipe: Path, options: Options) -> tuple[float, float] | None:
    """Seconds of the solver and of one weighing, medians; None where nothing is left open."""
    asked: list[Callable[[], Plan]] = []

    def kept(*arguments: Any) -> Plan:
        asked.append(lambda: solve(*arguments))
        return asked[0]()

    source = parse(recipe.read_text(encoding="utf-8"), recipe.name)
    plan = compile_source(source, recipe.parent, options, Steps(solve=kept)).plan
    if not asked or plan is None:
        return None
    stack = options.target or "native"
    return seconds(asked[0]), seconds(lambda: weigh(plan, stack))


def seconds(call: Callable[[], object]) -> float:
    """Of one call, the median of some."""
    taken: list[float] = []
    for _ in range(ROUNDS):
        start = process_time()
        call()
        taken.append(process_time() - start)
    return median(taken)


if __name__ == "__main__":
    sys.exit(main())
