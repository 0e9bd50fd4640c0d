"""Two ways in which tests call ftc: the command as a user types it, and the compiler with a recipe of a few lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from compiler.build import Compiled, Options, compile_recipe

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "recipes"
RECIPE: dict[str, Any] = {
    "version": 1,
    "name": "small",
    "model": {"base": "meta-llama/Llama-3.2-1B-Instruct"},
    "method": {"kind": "lora"},
    "data": {"train": {"path": "data/support.jsonl", "format": "messages"}, "packing": False, "validation": None},
    "training": {"global_batch_size": 16, "micro_batch_size": 2},
    "hardware": {"gpu": "h100"},
}


def ftc(
    *arguments: object, cwd: Path = ROOT, env: dict[str, str] | None = None, python: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run `ftc` as a user does who has no network. `python`: options of the interpreter."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **(env or {})}
    command = [sys.executable, *python, "-m", "compiler.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def text_of(**changes: Any) -> str:
    """The recipe with these sections instead of its own, a key a line."""
    return json.dumps({**RECIPE, **changes}, indent=1)


def compiled_with(options: Options, **changes: Any) -> Compiled:
    """What the compiler makes of the recipe with these sections instead of its own."""
    return compile_recipe("r.yaml", text_of(**changes), RECIPES, options)


def put(folder: Path, **changes: Any) -> Path:
    """The recipe in a file of its own, with its rows beside it."""
    (folder / "data").mkdir()
    rows = RECIPE["data"]["train"]["path"]
    (folder / rows).write_text((RECIPES / rows).read_text())
    path = folder / "r.yaml"
    path.write_text(text_of(**changes))
    return path
