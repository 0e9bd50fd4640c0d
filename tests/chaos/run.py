# ruff: noqa: S311 (what libraries read as they are imported is set first; chance that repeats)
"""`make chaos`: runs killed at random moments, then started again by the same command. Writes docs/chaos.md.

    PYTHONPATH=tests python -m chaos.run [--kills 100] [--commands 5] [--seed 0] [--cases 4] [--no-page]

Every run goes on until it ends by itself; its log lines and its weights are then those of a run that nobody killed, bit
for bit. After each kill all checkpoints are looked at: each is whole and can be loaded, and the newest is still there.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}  # forked processes have no threads to share
import argparse
import platform
import random
import sys
import time
from collections import Counter
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from chaos.cases import CASES, ROOT, STEPS, Case, recipe
from chaos.lives import BrokenError, Command, Death, Run

from compiler.build import Options, compile_recipe

PAGE = ROOT / "docs" / "chaos.md"
PLACES = ("starting", "training", "writing a checkpoint", "removing a checkpoint", "writing the result")
INSIDE, REMOVING = PLACES[2:4]
SHARE = 0.3
MANY = 50
"""Of so many kills and more such a share must be inside a checkpoint's write."""
WHO = ("trainer", "command", "both")


class Tally:
    """What came of the kills of one case, or of the command."""

    def __init__(self, name: str) -> None:
        self.name, self.deaths, self.runs, self.lives = name, Counter[str](), 0, 0
        self.broken: list[str] = []
        self.lost: list[str] = []
        self.differing: list[str] = []

    @property
    def kills(self) -> int:
        return sum(self.deaths.values())

    @property
    def wrong(self) -> list[str]:
        return [*self.broken, *self.lost, *self.differing]

    def add(self, death: Death, run: Run) -> None:
        """Of a process that was killed, or ended by itself."""
        self.lives += 1
        if death.code is None:
            self.deaths[death.where] += 1
        elif death.code:
            self.lost.append(f"{self.name}: exit code {death.code}: {death.said[-600:]}")
        try:
            run.look()
        except BrokenError as error:
            self.broken.append(f"{self.name}: {error}")

    def compare(self, run: Run, reference: Run) -> None:
        """The course and the result of a run that came to its end."""
        self.runs += 1
        lines, expected = run.metrics(), reference.metrics()
        if lines != expected:
            first = next((pair for pair in zip(lines, expected, strict=False) if pair[0] != pair[1]), "their number")
            self.differing.append(f"{self.name}: {len(lines)} lines, {len(expected)} expected; first: {first}")
        elif not expected or run.result() != reference.result():
            self.differing.append(f"{self.name}: other weights were saved")


def built(case: Case, folder: Path) -> Run:
    """The artifact, as `ftc build` writes it."""
    folder.mkdir(parents=True)
    text = recipe(case, folder / "out")
    (folder / "chaos.ftc.yaml").write_text(text, "utf-8")
    made = compile_recipe("chaos.ftc.yaml", text, folder, Options("native", emit=True))
    assert made.artifact, made.diagnostics
    for name, content in made.artifact.files.items():
        (folder / name).write_text(content, "utf-8")
    return Run(folder / "plan.json")


def reference_of(case: Case, here: Path) -> tuple[Run, float]:
    """A run that nobody kills, and the seconds that it takes."""
    run, begun = built(case, here / "whole"), time.monotonic()
    ended = run.to_its_end()
    assert ended.code == 0, ended.said
    return run, time.monotonic() - begun


def torment(case: Case, here: Path, kills: int, chance: random.Random) -> Tally:
    """Kill runs of a case so many times, and let the last come to its end."""
    tally = Tally(case.name)
    reference, span = reference_of(case, here)
    while tally.kills < kills and not tally.wrong:
        run = built(case, here / f"run-{tally.runs}")
        while not tally.wrong:
            if tally.kills >= kills:
                death = run.to_its_end()
            else:
                death = run.killed(chance, span, chance.choices(("any", "checkpoint", "result"), (25, 65, 10))[0])
            tally.add(death, run)
            if death.code == 0:
                tally.compare(run, reference)
                break
        _tell(tally)
    return tally


def by_command(case: Case, here: Path, kills: int, chance: random.Random) -> Tally:
    """The same through `ftc run`, which builds, starts a trainer and looks after it."""
    tally = Tally("`ftc run`: " + case.name)
    reference, _ = reference_of(case, here)
    run = built(case, here / "run")
    command = Command(run.plan.with_name("chaos.ftc.yaml"), run)
    while not tally.runs and not tally.wrong:
        death = command.killed(chance, WHO[tally.kills % 3]) if tally.kills < kills else command.to_its_end()
        tally.add(death, run)
        if death.code == 0:
            tally.compare(run, reference)
    _tell(tally)
    return tally


def _tell(tally: Tally) -> None:
    print(f"{tally.name:40} {tally.kills:4} kills {dict(tally.deaths)}, {tally.runs} runs", flush=True)


def page(tallies: list[Tally], seed: int, seconds: float) -> str:
    """The table for a reader."""
    columns = ("run", "kills", *PLACES, "runs that ended", "broken checkpoints", "lost runs", "other curves or weights")
    table = [columns, ("---",) * len(columns)]
    for tally in tallies:
        found = (tally.kills, *(tally.deaths[place] for place in PLACES), tally.runs)
        wrong = (len(tally.broken), len(tally.lost), len(tally.differing))
        table.append((tally.name, *map(str, (*found, *wrong))))
    total, inside, removing = sum(tally.kills for tally in tallies), _at(tallies, INSIDE), _at(tallies, REMOVING)
    held = "".join(f"- **{case.name}**: {case.holds}.\n" for case in CASES)
    return (
        ABOUT + f"Run on {date.today().isoformat()} in {seconds / 60:.0f} minutes (seed {seed}; torch "
        f"{torch.__version__}, Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores):\n"
        f"**{total} kills, {inside} of them while a checkpoint was written, {removing} while one was removed.**\n\n"
        + "".join(f"| {' | '.join(row)} |\n" for row in table)
        + "\nWhat each run has to take up where it was, beside model, optimizer and schedule:\n\n"
        + held
    )


def _at(tallies: list[Tally], place: str) -> int:
    return sum(tally.deaths[place] for tally in tallies)


ABOUT = f"""\
# Killed at any moment

Written by `make chaos`. Runs of some {STEPS} steps on the quickstart's base save at nearly every step. Each is killed
(SIGKILL) at a random moment, or shortly after it began a checkpoint, and started again by the same command, until it
ends by itself. Then its log lines (step, loss, learning rate, gradient norm, tokens, validation loss) and the weights
that it saved are compared with those of a run that nobody killed: they must be equal, bit for bit. After each kill
every checkpoint must be whole and load, and the newest must still be there. What a killed process left behind tells
what it was doing. Most are forked from one process that has imported everything; the last row goes through `ftc run`,
of which the trainer, the command itself, or both are killed.

"""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--commands", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=len(CASES))
    parser.add_argument("--no-page", action="store_true")
    asked = parser.parse_args()
    chance, cases, begun = random.Random(asked.seed), CASES[: asked.cases], time.monotonic()
    forked = asked.kills - asked.commands
    with TemporaryDirectory(prefix="ftc-chaos-") as scratch:
        tallies = [
            torment(case, Path(scratch) / str(number), forked // len(cases) + (number < forked % len(cases)), chance)
            for number, case in enumerate(cases)
        ]
        if asked.commands:
            tallies.append(by_command(CASES[0], Path(scratch) / "command", asked.commands, chance))
    total, inside = sum(tally.kills for tally in tallies), _at(tallies, INSIDE)
    wrong = [line for tally in tallies for line in tally.wrong]
    if asked.kills >= MANY and inside < SHARE * asked.kills:
        wrong.append(f"only {inside} of {total} kills were inside a checkpoint's write")
    print(f"{total} kills, {inside} inside a checkpoint's write, {len(wrong)} violations")
    print("\n".join(wrong))
    if not asked.no_page and not wrong:
        PAGE.write_text(page(tallies, asked.seed, time.monotonic() - begun), "utf-8")
    return 1 if wrong or total < asked.kills else 0


if __name__ == "__main__":
    sys.exit(main())
