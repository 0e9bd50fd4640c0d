"""How long `ftc plan --matrix` takes for ten thousand points, verdicts, time and cost included, against reading the
recipe's YAML once a point with libyaml.

    python bench/sweep.py

Two sweeps: one as people make them, whose points differ in rank, length, learning rate, warmup and seed; and the
worst, whose every point changes memory, so that nothing solved for one is of use to another (a tenth of it). Counted
are seconds of one core, as others may use this machine. Ends 1 where the first takes longer than the limit.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median
from time import process_time

import yaml

from compiler.cli import main as ftc

HERE = Path(__file__).resolve().parent
RECIPE = HERE.parent / "recipes" / "llama3-8b-qlora-t4.ftc.yaml"
POINTS = 10_000
ROUNDS = 5
LIMIT = 30.0
"""Seconds of one core for all points."""
USUAL = (
    "method.rank=4,8,16,32,64",
    "data.max_length=512,1024,1536,2048",
    "training.learning_rate=" + ",".join(f"{number}.0e-5" for number in range(5, 30)),
    "training.warmup=0.0,0.03,0.05,0.1",
    "training.seed=1,2,3,4,5",
)
WORST = (
    "method.rank=" + ",".join(str(number) for number in range(1, 101)),
    "data.max_length=256,320,384,448,512,640,768,896,1024,1280",
)


def plan(matrix: tuple[str, ...], points: int = POINTS) -> float:
    """Seconds for all points."""
    out = StringIO()
    options = [word for axis in matrix for word in ("--matrix", axis)]
    start = process_time()
    with redirect_stdout(out):
        try:
            ftc(["plan", str(RECIPE), *options, "--format", "json"])
        except SystemExit as end:
            if end.code not in (0, 3):
                sys.exit(f"{out.getvalue()[-2000:]}\nftc plan ended with {end.code}")
    taken = process_time() - start
    found = json.loads(out.getvalue())["points"]
    if len(found) != points or any(point["memory"] is None for point in found):
        sys.exit("not every point was planned")
    return taken


def load() -> float:
    """Seconds for as many readings of the recipe."""
    text = RECIPE.read_text(encoding="utf-8")
    start = process_time()
    for _ in range(POINTS):
        yaml.load(text, yaml.CSafeLoader)
    return process_time() - start


def said(name: str, seconds: list[float], points: int, floor: float) -> str:
    """In words. `floor`: seconds of a reading."""
    middle, spread = median(seconds), f"{min(seconds):.1f} to {max(seconds):.1f}"
    each = middle / points
    return (
        f"{name}, {points:,} points: {middle:.1f} s ({spread}, {len(seconds)} rounds), {each * 1000:.2f} ms a point, "
        f"{each / floor:.1f} x yaml.load"
    )


def main() -> int:
    plan(USUAL)
    usual, floors = zip(*[(plan(USUAL), load()) for _ in range(ROUNDS)], strict=True)
    floor = median(floors) / POINTS
    print(f"{RECIPE.name}; yaml.load of it: {floor * 1000:.2f} ms")
    print(said("usual", list(usual), POINTS, floor) + f"; limit {LIMIT:g} s")
    worst = [plan(WORST, POINTS // 10) for _ in range(ROUNDS)]
    print(said("every point changes memory", worst, POINTS // 10, floor))
    return max(usual) > LIMIT


if __name__ == "__main__":
    sys.exit(main())
