"""docs/parity.md and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Final

from conformance.environments import BY_NAME
from msgspec import Struct
from parity.compare import BATCHES, FIRST, LAST, Difference, Run, gap, trained
from parity.exceptions import EXCUSES, Excuse
from parity.plot import picture
from parity.spoiling import Spoiled

from backends import TARGETS, load, pinned
from compiler.report.matrix import markdown
from schemas.artifact import Target

LIBRARIES: Final = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")
HEAD: Final = f"""\
<!-- Written by `make parity`. -->
# The same run in four trainers

`make parity` compiles one recipe for all four targets and trains the quickstart's model and rows for twenty steps with
each: on a CPU, in float32, without dropout, unpacked, rows in the order of the file (`data.shuffle: false`), from the
same seed. Each artifact is run by its own command and stays as it is; a module on Python's path writes down what the
data loaders hand out and what the optimizer is told. Compared with the native run are

- batches: token ids and labels of every row that both runs read, padding left out; at least {BATCHES} batches. The
  native run's trained tokens are also decoded and compared with the answers in the file, row by row;
- weights: the first values of every trained tensor before the first step;
- steps: learning rate, weight decay, betas and epsilon of each group of weights, at every step;
- shares: what each micro batch of the first step adds to its loss, as it is sent backwards;
- losses, from the tool's own log: within {FIRST:.0%} at the first step, {LAST:.0%} at the last.

Anything else ends the command with 1, except the known differences at the end of this page.

![losses by step](parity.svg)

Lines lie on each other where trainers agree: the later ones are drawn thinner.
"""
KNOWN: Final = """\
## Known differences

A column “corrected” is the same artifact once more, with all of these taken away from outside: torch is seeded before
the tool starts, and its trainer is told to count a step's trained tokens. Nothing may differ there, so there are no
other reasons.
"""
SPOILT: Final = """\
## That it can fail

Each time some artifacts are spoiled on purpose and trained as well. One that is not reported ends the command with 1.
"""
UNSEEN: Final = """\
## What this does not show

Nothing here runs on a GPU. So bfloat16, quantised bases, packed rows, flash attention, Liger's and Unsloth's Triton
kernels, Axolotl's fused LoRA kernels and several cards are not compared: on a CPU Unsloth takes its plain path, and
does not pack. The bounds hold for a model of 2.2 million parameters over twenty steps.
"""


class Found(Struct, frozen=True):
    """A recipe, its runs, and what differs from the first of them."""

    name: str
    about: str
    runs: list[Run]
    differences: list[Difference]
    spoiled: list[Spoiled] = []


def verdict(found: Sequence[Found]) -> int:
    """How the command ends: 1 where something is broken, or what was spoiled went unnoticed."""
    broken = any(item.broken for each in found for item in each.differences)
    return int(broken or any(item.seen is None for each in found for item in each.spoiled))


def write_page(folder: Path, found: Sequence[Found]) -> None:
    """The page and the picture."""
    (folder / "parity.svg").write_text(picture([(each.name, each.runs) for each in found]), encoding="utf-8")
    (folder / "parity.md").write_text(page(found), encoding="utf-8")


def page(found: Sequence[Found]) -> str:
    """Curves as tables, what differs, why, and what was installed."""
    return "\n".join([HEAD, *map(_section, found), _exceptions(), _spoiled(found), UNSEEN, _versions()])


def _section(found: Found) -> str:
    runs = found.runs
    table = markdown(
        ["step", *(run.name for run in runs)],
        [[str(step + 1), *(f"{run.losses[step]:.4g}" for run in runs)] for step in _shown(len(runs[0].losses))],
    )
    rows, labels = _seen(runs[0])
    same = "not the same, see below" if any(item.what == "batches" for item in found.differences) else "the same"
    notes = "".join(map(_note, found.differences))
    return (
        f"## {found.name}\n\n{found.about[0].upper()}{found.about[1:]}.\n\n{table}\n"
        f"Token ids and labels of {min(len(run.batches) for run in runs)} batches ({rows} rows with {labels} trained "
        f"tokens natively): {same}.\n{_apart(runs)}\n{notes and chr(10)}{notes}"
    )


def _seen(run: Run) -> tuple[int, int]:
    """Rows and trained tokens."""
    rows = trained(run)
    return len(rows), sum(map(len, rows))


def _apart(runs: Sequence[Run]) -> str:
    """How far losses are from the native one at the steps that are judged."""
    ours, *others = runs
    said = [f"{run.name} {gap(ours, run, 0):.2%} and {gap(ours, run, -1):.2%}" for run in others]
    return f"Losses are apart from the native one at the first step and at the last by: {', '.join(said)}."


def _note(item: Difference) -> str:
    return f"- {'**broken**' if item.broken else 'known'}: {item.run}: {item.text}\n"


def _shown(steps: int) -> list[int]:
    """The first steps, every fifth, and the last."""
    return sorted({0, 1, 2, *range(4, steps, 5), steps - 1})


def _spoiled(found: Sequence[Found]) -> str:
    """What was done to artifacts, and what was said of it."""
    rows = [
        [load(item.spoil.target).TITLE, item.spoil.about, item.seen.text if item.seen else "**not noticed**"]
        for each in found
        for item in each.spoiled
    ]
    return f"{SPOILT}\n{markdown(['target', 'artifact', 'reported'], rows)}"


def _exceptions() -> str:
    return f"{KNOWN}\n{''.join(map(_exception, EXCUSES))}"


def _exception(excuse: Excuse) -> str:
    return (
        f"- {load(excuse.target).TITLE}, {' and '.join(excuse.covers)} (`{excuse.leaf}`). {excuse.why}\n"
        f"  The line: `{place(excuse)}`, `{excuse.line}`. The artifact warns of it.\n"
    )


def place(excuse: Excuse) -> str:
    """File and line number in the tool's installed source; `ValueError` where the line is not there any more."""
    (file,) = BY_NAME[excuse.target].bin.parent.glob(f"lib/python*/site-packages/{excuse.file}")
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    return f"{excuse.file}:{lines.index(excuse.line) + 1}"


def _versions() -> str:
    rows = [[load(name).TITLE, _version(name), *_installed(name)] for name in TARGETS]
    return f"## Versions\n\n{markdown(['', 'version', *LIBRARIES], rows)}"


def _version(target: Target) -> str:
    return "ftc's own" if target == "native" else pinned(target)


def _installed(target: Target) -> list[str]:
    """Of each library what the run had: natively in this environment, else in the tool's own."""
    if target == "native":
        return [version(name) for name in LIBRARIES]
    (folder,) = BY_NAME[target].bin.parent.glob("lib/python*/site-packages")
    found = {item.metadata["Name"]: item.version for item in distributions(path=[str(folder)])}
    return [found.get(name, "none") for name in LIBRARIES]
