"""How long a thousand recipes take in one `ftc validate`, verdicts included, against reading their YAML with libyaml.

    python bench/throughput.py

Ends 1 where the ratio is over the limit.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import yaml

from compiler.cli import main as ftc

HERE = Path(__file__).resolve().parent
RECIPES = 1000
ROUNDS = 5
LIMIT = 10.0


def write_recipes(folder: Path) -> list[str]:
    """Recipes with every leaf written, no two alike."""
    (folder / "train.jsonl").write_text('{"messages": [{"role": "user", "content": "a"}]}\n', encoding="utf-8")
    text = (HERE / "full_size.ftc.yaml").read_text(encoding="utf-8")
    files = [folder / f"{number}.ftc.yaml" for number in range(RECIPES)]
    for number, file in enumerate(files):
        file.write_text(text.replace("seed: 42", f"seed: {number}"), encoding="utf-8")
    return [str(file) for file in files]


def validate(files: list[str]) -> float:
    """Seconds a recipe."""
    out = StringIO()
    start = perf_counter()
    with redirect_stdout(out):
        try:
            ftc(["validate", *files])
        except SystemExit as end:
            if end.code != 0:
                sys.exit(f"{out.getvalue()[-2000:]}\nftc validate ended with {end.code}")
    taken = (perf_counter() - start) / len(files)
    if out.getvalue().count("memory: ") != len(files):
        sys.exit("not every recipe had a verdict")
    return taken


def load(files: list[str]) -> float:
    """Seconds a recipe."""
    texts = [Path(file).read_text(encoding="utf-8") for file in files]
    start = perf_counter()
    for text in texts:
        yaml.load(text, yaml.CSafeLoader)
    return (perf_counter() - start) / len(files)


def main() -> int:
    with TemporaryDirectory() as folder:
        files = write_recipes(Path(folder))
        validate(files[:10])
        pairs = [(validate(files), load(files)) for _ in range(ROUNDS)]
    ours, floor = (median(column) for column in zip(*pairs, strict=True))
    print(f"{RECIPES} recipes: {ours * 1000:.2f} ms each; yaml.load alone: {floor * 1000:.2f} ms (medians of {ROUNDS})")
    print(f"ratio {ours / floor:.1f}, limit {LIMIT:g}")
    return ours / floor > LIMIT


if __name__ == "__main__":
    sys.exit(main())
