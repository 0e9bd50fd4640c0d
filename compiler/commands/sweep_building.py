"""`ftc build --matrix`: an artifact for every point that can be, and a record of all of them."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from msgspec import Struct
from msgspec.structs import replace

from compiler.build import Compiled
from compiler.commands import options, sweeps
from compiler.commands.build import Built
from compiler.commands.compiling import File
from compiler.errors import FtcError
from compiler.exit import first
from compiler.report.sweep_data import sweep_data, typed
from compiler.report.sweep_markdown import sweep_markdown
from compiler.sweep.points import Point
from compiler.sweep.record import Record
from compiler.sweep.shared_rows import SharedRows
from compiler.sweep.sharing import Shared
from compiler.sweep.sweeping import Outcome, Sweep, compiled_points, outcome
from schemas.artifact import RECIPE
from schemas.plan import Plan

README: Final = """
## A point of a sweep

This is the point `{point}` of a sweep over `{keys}`, made of the recipe `{recipe}` with:

{values}
The name `{run}` is the recipe's with these values, so that no two points share a folder of results.{linked}
"""
LINKED: Final = """
The rows are the same file in all points that train on the same: change them in the recipe's data, not here."""


class Made(Struct, frozen=True):
    """A point, and its artifact where it was written. `why`: why it was not, where that is not the outcome's matter."""

    outcome: Outcome
    built: Built | None = None
    why: FtcError | None = None


class Building(Struct, frozen=True):
    """`made`: of every point, in order. `left_out`: what is said of rows, each once."""

    sweep: Sweep
    root: Path
    made: list[Made]
    left_out: dict[str, None]

    @property
    def code(self) -> int:
        """The exit code: of the points that were refused, that do not fit, and that could not be written."""
        unbuilt = [item.outcome for item in self.made if item.built is None and item.why is None]
        return first([sweeps.code_of(unbuilt), *(item.why.exit_code for item in self.made if item.why)])


def build_sweep(sweep: Sweep, out: Path | None, *, force: bool) -> int:
    """Write all that can be, and say what was not."""
    building = build_points(sweep, out or root_of(sweep), force=force)
    click.echo(said(building) + _example(building), nl=False)
    return building.code


def root_of(sweep: Sweep) -> Path:
    """The folder above the points', where no other is named."""
    asked = options.Asked(sweep.options.target or "native", sweep.options.version)
    return Path("build", sweep.base or "sweep", asked.words)


def build_points(sweep: Sweep, root: Path, *, force: bool) -> Building:
    """Say what is planned, then write the artifacts and the record. What is built when it is stopped is whole."""
    shared = Shared()
    planned = replace(sweep, options=replace(sweep.options, emit=False))
    found = [outcome(sweep, point, compiled) for point, compiled in compiled_points(planned, shared)]
    sweeps.say(sweep, found)
    record = Record(root, "sweep")
    building = Building(sweep, root, [], {})
    if not any(_wanted(item, sweep) for item in found):
        building.made.extend(map(Made, found))
        return building
    record.require_ours(("sweep.md",), force=force)
    with _recorded(record, building, found):
        rows = SharedRows()
        for item, (point, compiled) in zip(found, compiled_points(sweep, shared), strict=True):
            building.made.append(_made(building, item, point, compiled, rows, force=force))
    return building


def _wanted(item: Outcome, sweep: Sweep) -> bool:
    return item.state != "refused" and (item.state != "does_not_fit" or sweep.options.ignore_memory)


def _made(
    building: Building, item: Outcome, point: Point, compiled: Compiled, rows: SharedRows, *, force: bool
) -> Made:
    if compiled.artifact is None or compiled.plan is None:
        return Made(item)
    built = _built(building.sweep, point, compiled, compiled.plan)
    folder = building.root / point.folder
    try:
        if left_out := built.write(folder, force=force, shared=rows):
            building.left_out[left_out] = None
    except FtcError as error:
        return Made(item, why=error)
    rows.moved(folder)
    return Made(item, built)


def _built(sweep: Sweep, point: Point, compiled: Compiled, plan: Plan) -> Built:
    """The artifact, which says which point of which sweep it is."""
    artifact = compiled.artifact
    assert artifact is not None  # noqa: S101 - as the caller has seen
    values = typed(point.values)
    told = README.format(
        point=point.folder,
        keys="`, `".join(point.values),
        recipe=sweep.base,
        values="".join(f"- `{key}`: `{text}`\n" for key, text in point.values.items()),
        run=plan.name,
        linked=LINKED if artifact.preparation else "",
    )
    files = {**artifact.files, RECIPE: sweep.text, "README.md": artifact.files["README.md"] + told}
    about = {"sweep": {"recipe": sweep.base, "point": point.folder, "set": values}}
    return Built(File(sweep.name, sweep.text), compiled, plan, replace(artifact, files=files), point.sets, about)


@contextmanager
def _recorded(record: Record, building: Building, found: Sequence[Outcome]) -> Generator[None]:
    """Whatever ends the building, the record says what was built."""
    try:
        yield
    finally:
        sweep, rest = building.sweep, found[len(building.made) :]
        made = [*building.made, *(Made(item, why=FtcError("stopped before it was built")) for item in rest)]
        data = sweep_data(sweep, found, sweep.options.target or "native", sweep.options.version)
        points = [{**point, **_told(item)} for point, item in zip(data["points"], made, strict=True)]
        folders = {item.outcome.point.folder for item in made if item.built}
        why = {item.outcome.point.folder: item.why.message for item in made if item.why}
        record.write({**data, "points": points}, {"sweep.md": sweep_markdown(sweep, found, folders, why)})


def _told(item: Made) -> dict[str, object]:
    return {"built": item.built is not None, "why_not": item.why and item.why.message}


def said(building: Building) -> str:
    """What was built, and where; what was not."""
    made = [item.built for item in building.made if item.built]
    text = "".join((*building.left_out, *_failed(building.made)))
    if not made:
        return text + "nothing was written\n"
    return (
        f"{text}built {len(made)} of {len(building.made)} points of {made[0].file.name} for {made[0].target}: "
        f"{building.root}\n  a folder each; what was planned of them: sweep.json, sweep.md\n"
    )


def _example(building: Building) -> str:
    """How a point is trained."""
    made = next((item for item in building.made if item.built), None)
    if made is None or made.built is None:
        return ""
    folder = shlex.quote(str(building.root / made.outcome.point.folder))
    return f"train one with:\n  cd {folder} && {shlex.join(made.built.artifact.command)}\n"


def _failed(made: Sequence[Made]) -> Iterator[str]:
    """Why points were not written, each reason once."""
    reasons: dict[tuple[str, str | None], list[str]] = {}
    for item in made:
        if item.why:
            reasons.setdefault((item.why.message, item.why.hint), []).append(item.outcome.point.folder)
    for (message, hint), names in reasons.items():
        more = f" and {len(names) - 1} more" if names[1:] else ""
        yield f"not written: {names[0]}{more}: {message}\n" + (f"  {hint}\n" if hint else "")
    if any(item.built is None and item.outcome.state == "does_not_fit" for item in made):
        yield "points that do not fit are left out; --ignore-memory builds them all the same\n"
