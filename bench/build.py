"""How long four targets of one recipe take to compile and write, and whether a thousand take a thousand times that.

    python bench/build.py

Every figure is also said as a multiple of reading the recipe with PyYAML's own parser, which slows as the machine does.
Ends 1 where the ratio is over the limit, or a recipe among many takes longer than one among few.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import yaml

from backends import TARGETS, load
from compiler.build import Options, compile_recipe
from compiler.commands import build as _build_command  # noqa: F401 - what `ftc build` has imported when it starts
from compiler.lock import lock
from compiler.write import write_artifact

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "recipes" / "qwen2.5-7b-lora-a100-40gb.ftc.yaml"
OTHER = ROOT / "recipes" / "quickstart" / "quickstart.ftc.yaml"
RUNS = 15
FEW, MANY = 100, 1000
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
"""How long a disk takes to make some ninety files is not what is measured."""
KEEPING = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""As a user has it: bytecode is kept."""
RATIO_LIMIT = 90.0
LINEAR_LIMIT = 1.2


def build_all(text: str, out: Path) -> None:
    """All targets of one recipe, written."""
    for target in TARGETS:
        options = Options(target=target, emit=True, ignore_memory=True)
        made = compile_recipe(RECIPE.name, text, RECIPE.parent, options)
        if made.artifact is None:
            sys.exit(f"{target}: {[item.message for item in made.diagnostics]}")
        write_artifact(made.artifact, out / target, lock(made, made.artifact, text, ()), lambda _: None)


def first() -> tuple[float, float]:
    """Seconds of the first build of a process that has started up, and of reading the recipe.

    Started up: everything is imported, and one recipe was validated, which makes pydantic build its validators.
    """
    import jinja2  # noqa: F401 - imported where it is used, which would be inside what is timed

    for target in TARGETS:
        load(target)
    compile_recipe("other.yaml", OTHER.read_text(encoding="utf-8"), OTHER.parent, Options())
    text = RECIPE.read_text(encoding="utf-8")
    with TemporaryDirectory(dir=IN_MEMORY) as folder:
        start = perf_counter()
        build_all(text, Path(folder))
        taken = perf_counter() - start
    return taken, reading(text)


def reading(text: str) -> float:
    """Seconds that PyYAML's own parser takes."""
    start = perf_counter()
    for _ in range(5):
        yaml.load(text, yaml.SafeLoader)
    return (perf_counter() - start) / 5


def each(count: int, text: str) -> float:
    """Seconds a recipe, all four targets, no two recipes alike."""
    with TemporaryDirectory(dir=IN_MEMORY) as folder:
        start = perf_counter()
        for number in range(1, count + 1):
            seeded = text.replace("training: {", f"training: {{weight_decay: {number / 10000}, ")
            build_all(seeded, Path(folder, str(number)))
        return (perf_counter() - start) / count


def _words(command: list[str]) -> list[str]:
    return subprocess.run(command, env=KEEPING, capture_output=True, text=True, check=True).stdout.split()


def main() -> int:
    if "--first" in sys.argv:
        print(*first())
        return 0
    command = [sys.executable, __file__, "--first"]
    runs = [_words(command) for _ in range(RUNS)]
    ours, floor = (sorted(map(float, column)) for column in zip(*runs, strict=True))
    ratio = median(ours) / median(floor)
    spread = f"{ours[0] * 1000:.0f} to {ours[-1] * 1000:.0f}, {RUNS} runs"
    print(f"four targets, the first in a process: {median(ours) * 1000:.0f} ms ({spread})")
    print(f"yaml.load of the recipe: {median(floor) * 1000:.2f} ms; ratio {ratio:.1f}, limit {RATIO_LIMIT:g}")
    text = RECIPE.read_text(encoding="utf-8")
    few, many = each(FEW, text), each(MANY, text)
    print(
        f"{FEW} recipes: {few * 1000:.1f} ms each; {MANY}: {many * 1000:.1f} ms each; "
        f"ratio {many / few:.2f}, limit {LINEAR_LIMIT}"
    )
    return ratio > RATIO_LIMIT or many / few > LINEAR_LIMIT


if __name__ == "__main__":
    sys.exit(main())
