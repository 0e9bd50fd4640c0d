"""One recipe, four trainers, twenty steps on a CPU: do they see the same tokens, and learn the same? `make parity`.

Each artifact is run by its own command, in its tool's environment (those of `make conformance`), the native one in this
one. A `sitecustomize.py` on the path writes down what the data loaders hand out and what the optimizer is told; losses
are read from the tools' own logs. Ends 1 where something differs that is no named exception (exceptions.py), or where
an artifact that was spoiled on purpose (spoiling.py) goes unnoticed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from conformance.environments import TOOLS, install
from parity.compare import Difference, Run, compare, out_of_order, trained
from parity.page import Found, verdict, write_page
from parity.spoiling import SPOILS, Spoil, Spoiled
from parity.training import Asked, RunError, train
from parity.variants import COMMON, RECIPE, ROOT, VARIANTS, Variant, rows_of
from tokenizers import Tokenizer

from backends import TARGETS


def main() -> int:
    """1 where something differs that is no named exception, or a spoiled artifact is not noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variants", nargs="*", help="only these of " + ", ".join(item.name for item in VARIANTS))
    asked = parser.parse_args()
    for tool in TOOLS:
        install(tool)
    found: list[Found] = []
    with TemporaryDirectory(prefix="ftc-parity-") as scratch:
        for variant in VARIANTS:
            if not asked.variants or variant.name in asked.variants:
                found.append(measure(variant, Path(scratch) / variant.name))
                report(found[-1])
    if not asked.variants:
        write_page(ROOT / "docs", found)
    return verdict(found)


def measure(variant: Variant, scratch: Path) -> Found:
    """All four trained; one with known differences a second time, with these taken away."""
    scratch.mkdir()
    data = rows_of(variant, scratch)
    sets = (*COMMON, *variant.sets, f"data.train=[{{path: {data}, format: messages}}]")
    runs = [shown(Asked(target, sets), scratch) for target in TARGETS]
    ours, *others = runs
    differences = [*in_order(ours, data), *(item for other in others for item in compare(ours, other))]
    for target in {item.excuse.target: None for item in differences if item.excuse}:
        runs.append(shown(Asked(target, sets, corrected=True), scratch))
        differences += compare(ours, runs[-1])
    spoiled = [spoil(item, ours, sets, scratch) for item in SPOILS] if variant is VARIANTS[0] else []
    return Found(variant.name, variant.about, runs, differences, spoiled)


def spoil(item: Spoil, ours: Run, sets: tuple[str, ...], scratch: Path) -> Spoiled:
    """What the comparison says of an artifact that is spoiled."""
    return Spoiled(item, compare(ours, shown(Asked(item.target, sets, spoil=item), scratch)))


def shown(asked: Asked, scratch: Path) -> Run:
    """Train, and say on the terminal how it goes."""
    began = monotonic()
    run = train(asked, scratch)
    print(f"{scratch.name:8} {asked.folder:40} {monotonic() - began:4.0f} s", file=sys.stderr, flush=True)
    return run


def in_order(ours: Run, data: Path) -> list[Difference]:
    """Whether the native run trains the file's answers from its first row to its last, and so again."""
    tokenizer = Tokenizer.from_file(str(RECIPE.parent / "base" / "tokenizer.json"))
    decoded = [tokenizer.decode(row) for row in trained(ours)]
    rows = [json.loads(line)["messages"] for line in data.read_text(encoding="utf-8").splitlines()]
    answers = ["".join(turn["content"] for turn in row if turn["role"] == "assistant") for row in rows]
    return out_of_order(ours, answers * (1 + len(decoded) // len(answers)), decoded)


def report(found: Found) -> None:
    """The curves and the verdict, on the terminal."""
    print(f"\n{found.name}: {found.about}")
    for run in found.runs:
        line = " ".join(f"{loss:.4g}" for loss in run.losses)
        print(f"  {run.name:20} {len(run.batches)} batches; losses {line}")
    for item in found.differences:
        print(f"  {'BROKEN' if item.broken else 'known '} {item.run}: {item.text}")
    if not found.differences:
        print("  tokens, labels and steps are the same everywhere, and losses within the limits")
    for item in found.spoiled:
        said = f"reported, as it must be: {item.seen.text}" if item.seen else "NOT SEEN"
        print(f"  spoiled: {item.spoil.target} with {item.spoil.about}: {said}")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except RunError as error:
        sys.exit(str(error))
