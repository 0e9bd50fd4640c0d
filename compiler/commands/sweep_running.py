"""`ftc run --matrix`: the points one after the other, going on where an earlier start was cut."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from msgspec import Struct
from msgspec.structs import replace

from compiler.build import Options
from compiler.check import touches
from compiler.commands import sweeps
from compiler.commands.build import Built
from compiler.commands.compiling import File
from compiler.commands.run import this_machines, without_absent
from compiler.commands.sweep_building import Building, Made, build_points, root_of, said
from compiler.errors import FtcError
from compiler.exit import INTERRUPTED, INVALID, TERMINATED, first
from compiler.offline import go_offline
from compiler.report.machine import FORMAT_VERSION
from compiler.report.sweep_data import axes_data
from compiler.report.sweep_html import results_html
from compiler.report.sweep_results import best, results_markdown, results_text
from compiler.report.sweep_text import why_not
from compiler.run import Ended, run_child
from compiler.run import command as executable
from compiler.sweep.record import Record
from compiler.sweep.results import Result, finished_before, read_result, result_data
from compiler.sweep.sweeping import Sweep, compiled_points
from schemas.version import VERSION

FILES: Final = ("results.md", "results.html")


class _StoppedError(Exception):
    """A signal that was passed on to a run. `code`: the exit code."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


class Running(Struct, frozen=True):
    """`results`: of the points whose turn has come, by number. `codes`: exit codes of those that failed."""

    building: Building
    results: dict[int, Result]
    codes: list[int]

    @property
    def found(self) -> list[Result]:
        """A result of every point, in order."""
        return [self.results.get(item.outcome.point.number) or _waiting(item) for item in self.building.made]


def run_sweep(recipe: str, matrix: Sequence[str], options: Options, *, dry: bool) -> int:
    """Build all points that can be, and run those that are not finished."""
    sweep = _for_this_machine(sweeps.open_sweep(recipe, matrix, options), options)
    building = build_points(sweep, root_of(sweep), force=False)
    click.echo(said(building), nl=False)
    made = [(item, item.built) for item in building.made if item.built]
    if dry or not made:
        for item, built in made:
            click.echo(_dry(item, built, building.root))
        return building.code
    record, running = Record(building.root, "results"), Running(building, {}, [])
    record.require_ours(FILES, force=False)
    code = _in_turn(made, running, record)
    click.echo(results_text(running.found) + f"results: {record.folder / FILES[-1]}, results.md, results.json")
    if code:
        click.echo("stopped; the same command goes on with the sweep", err=True)
    return code or first([*running.codes, building.code])


def _in_turn(made: Sequence[tuple[Made, Built]], running: Running, record: Record) -> int:
    """One after the other; 0, or the exit code of what stopped them."""
    code = 0
    try:
        for number, (item, built) in enumerate(made, start=1):
            _turn(running, item, built, f"{number} of {len(made)}")
            _keep(record, running)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except SystemExit:  # as a build ends on SIGTERM
        code = TERMINATED
    except _StoppedError as stop:
        code = stop.code
    _keep(record, running)
    return code


def _turn(running: Running, item: Made, built: Built, which: str) -> None:
    point, out = item.outcome.point, built.plan.output.dir
    folder = running.building.root / point.folder
    if finished_before(folder):
        click.echo(f"point {which}, {point.folder}: finished before")
        running.results[point.number] = read_result(point, built.plan, before=True)
        return
    click.echo(f"point {which}, {point.folder}:")
    sys.stdout.flush()
    try:
        command = executable(built.artifact)
    except FtcError as error:
        running.codes.append(error.exit_code)
        running.results[point.number] = Result(point, "failed", out, why=f"{error.message}; {error.hint}")
        return
    if alone := go_offline(built.plan):
        click.echo(alone, err=True)
    ended = run_child(command, folder)
    if ended.code == 0:
        running.results[point.number] = read_result(point, built.plan, before=False)
    elif ended.signalled is None:
        running.codes.append(INVALID)
        running.results[point.number] = Result(point, "failed", out, why=_why(ended))
        click.echo(f"point {which} failed; the sweep goes on", err=True)
    else:
        running.results[point.number] = Result(point, "stopped", out, why="it goes on from its newest checkpoint")
    if ended.signalled is not None:
        raise _StoppedError(128 + ended.signalled)


def _why(ended: Ended) -> str:
    """In the run's own words, where they did not go straight to a terminal."""
    said = next((line for line in ended.tail if line.startswith("error: ")), *ended.tail[-1:] or ("",))
    return f"exit code {ended.code}" + (f": {said.removeprefix('error: ')}" if said else "")


def _waiting(item: Made) -> Result:
    """A point that was not run: its turn has not come, or there is nothing to run."""
    point = item.outcome.point
    if item.built:
        return Result(point, "not run", item.built.plan.output.dir)
    outcome = item.outcome
    why = item.why.message if item.why else why_not(outcome) if outcome.errors else "does not fit"
    return Result(point, "not built", None, why=why)


def _keep(record: Record, running: Running) -> None:
    """Write what there is so far: the sweep may be cut at any moment."""
    sweep, found = running.building.sweep, running.found
    keys, name = [axis.key for axis in sweep.axes], sweep.base or "recipe"
    best_one = best(found)
    data: dict[str, object] = {
        "format_version": FORMAT_VERSION,
        "kind": record.kind,
        "ftc": VERSION,
        "name": name,
        "axes": axes_data(sweep.axes),
        "best": best_one and best_one.point.folder,
        "points": [result_data(item) for item in found],
    }
    texts = (results_markdown(name, keys, found), results_html(sweep, found))
    record.write(data, dict(zip(FILES, texts, strict=True)))


def _dry(item: Made, built: Built, root: Path) -> str:
    """What would be run."""
    folder, out = root / item.outcome.point.folder, Path(built.plan.output.dir)
    begun = any((out / "checkpoints").glob("*"))
    note = "finished: not run again" if finished_before(folder) else "goes on where it was stopped" if begun else ""
    return f"cd {shlex.quote(str(folder))} && {shlex.join(built.artifact.command)}" + (f"  # {note}" if note else "")


def _for_this_machine(sweep: Sweep, options: Options) -> Sweep:
    """The same planned for this machine's card, where neither the recipe nor an axis names one, and in all points
    without what one of them would take and is not here."""
    keys, file = frozenset(axis.key for axis in sweep.axes), File(sweep.name, sweep.text)
    named = () if touches("hardware.gpu", keys) else this_machines(file, replace(options, sets=sweep.points[0].sets))
    here = _with(sweep, tuple(option for option in named if not touches(option.partition("=")[0], keys)))
    planned = replace(here, options=replace(here.options, emit=False))
    return _with(here, without_absent(compiled.plan for _, compiled in compiled_points(planned)))


def _with(sweep: Sweep, sets: tuple[str, ...]) -> Sweep:
    options = replace(sweep.options, sets=(*sweep.options.sets, *sets))
    return sweeps.open_sweep(sweep.name, sweep.matrix, options) if sets else sweep
