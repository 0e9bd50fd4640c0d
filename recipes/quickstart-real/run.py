"""A real model from end to end: fetch it, check and train the recipe, evaluate, merge, ask. `make quickstart-real`.

Each step is a command that is shown before it runs, and that you can run yourself.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FTC = [sys.executable, "-m", "compiler.cli"]
HERE_FROM_ROOT = HERE.relative_to(ROOT)
RECIPE = str(HERE_FROM_ROOT / "quickstart-real.ftc.yaml")
RUN = HERE_FROM_ROOT / "outputs" / "quickstart-real"
BASE = Path("build") / "quickstart-real" / "SmolLM2-135M-Instruct"
HELD_OUT = str(HERE_FROM_ROOT / "data" / "heldout.jsonl")
OTHER_TEXT = "recipes/quickstart/corpus.txt"
ORDER = "Hello, could you bring two dozen garden chairs to our cafe in Ljubljana? Thursday would be perfect. Ana"
FEW, ENOUGH = 0.1, 0.7
"""Of the held-out orders, answered exactly: by the base at most, after training at least."""


def run(command: list[str]) -> None:
    """Show a command and run it; a failure ends the quickstart with its exit code."""
    shown = ["ftc", *command[len(FTC) :]] if command[: len(FTC)] == FTC else ["python", *command[1:]]
    print(f"\n$ {shlex.join(shown)}", flush=True)
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code:
        sys.exit(code)


def of_recipe(command: str, *arguments: str) -> None:
    """With the base out of the package, which stands where the recipe looks for paths from."""
    run([*FTC, command, RECIPE, "--set", f"model.base=../../{BASE}", *arguments])


def newest() -> dict[str, Any]:
    """What was found last."""
    found = sorted((ROOT / RUN).glob("eval-heldout*.json"), key=lambda path: path.stat().st_mtime_ns)
    return json.loads(found[-1].read_text("utf-8"))


def main() -> int:
    run([sys.executable, str(HERE_FROM_ROOT / "get_base.py"), str(BASE)])
    of_recipe("validate")
    of_recipe("run")
    run([*FTC, "eval", str(RUN), "--data", HELD_OUT, "--forgetting", OTHER_TEXT, "--limit", "60"])
    if (ROOT / RUN / "merged").exists():
        print(f"\nmerged by an earlier quickstart: {RUN / 'merged'}")
    else:
        run([*FTC, "merge", str(RUN)])
    run([*FTC, "chat", str(RUN), "--base", "--max-new-tokens", "60", "--prompt", ORDER])
    run([*FTC, "chat", str(RUN), "--prompt", ORDER])
    match = newest()["exact_match"]
    base, tuned = match["base"]["share"], match["tuned"]["share"]
    print(f"\nquickstart-real: {match['tuned']['rows']} orders that it never saw, answered exactly")
    print(f"  before training  {base:6.1%}")
    print(f"  after training   {tuned:6.1%}   (expected: at least {ENOUGH:.0%})")
    return 0 if base <= FEW and tuned >= ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main())
