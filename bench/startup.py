"""How long `ftc validate` takes as a whole process, against the imports that it cannot do without.

    python bench/startup.py

Both run in turns, so that whatever else the machine does slows both. Bytecode is kept, as it is for a user, whatever
this machine's environment says of it. Ends 1 where the ratio is over the limit.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

ROOT = Path(__file__).resolve().parents[1]
RECIPE = "recipes/quickstart/quickstart.ftc.yaml"
RUNS = 25
LIMIT = 2.2
OURS = [sys.executable, "-m", "compiler.cli", "validate", RECIPE]
KEEPING = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
FLOOR = [sys.executable, "-c", "import click, yaml; from pydantic import BaseModel"]


def seconds(command: list[str]) -> float:
    start = perf_counter()
    subprocess.run(command, cwd=ROOT, env=KEEPING, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - start


def main() -> int:
    seconds(OURS), seconds(FLOOR)  # compiled to bytecode, read into memory
    pairs = [(seconds(OURS), seconds(FLOOR)) for _ in range(RUNS)]
    ours, floor = (median(column) for column in zip(*pairs, strict=True))
    print(f"ftc validate: {ours * 1000:.0f} ms; its imports alone: {floor * 1000:.0f} ms (medians of {RUNS} runs)")
    print(f"ratio {ours / floor:.2f}, limit {LIMIT}")
    return ours / floor > LIMIT


if __name__ == "__main__":
    sys.exit(main())
