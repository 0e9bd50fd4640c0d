"""`--matrix` of plan, build and run: what is read of it, and what is said of its points."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from compiler.build import Options
from compiler.commands.compiling import File, open_file, require_valid
from compiler.completion.offering import offers
from compiler.exit import INVALID, first, of_recipe
from compiler.report.paint import painter

if TYPE_CHECKING:  # read only where a sweep is asked for
    from compiler.sweep.sweeping import Outcome, Sweep

EVERYWHERE: Final = ("recipe", "target", "sets", "matrix", "drop_raw")
"""Parameters that mean the same for a sweep in every command."""

matrix = click.option(
    "--matrix",
    metavar="KEY=A,B,…",
    multiple=True,
    shell_complete=offers("axes"),
    help="A sweep: every value of a leaf, with every one of other --matrix; method.rank=8,16,32. Points that cannot be "
    "are refused in the table, and the exit code is that of the first of 1, 4, 3.",
)


def open_sweep(
    recipe: str, matrix: Sequence[str], options: Options, most: int | None = None, *, err: bool = False
) -> Sweep:
    """The sweep; ends the command where its axes are wrong, or the recipe is not readable as YAML. `most`: points."""
    from compiler.sweep.sweeping import MOST_BUILT, sweep_of

    file, folder = open_file(recipe), Path(recipe).absolute().parent
    sweep, found = sweep_of(file.name, file.text, folder, tuple(matrix), options, most=most or MOST_BUILT)
    if sweep.source.data is None:
        require_valid(file, file.compile(options), options.sets, err=err)
    if found:
        from compiler.report.text import diagnostics_text

        paint = painter(sys.stderr if err else sys.stdout)
        click.echo(diagnostics_text(found, _sources(sweep), paint), nl=False, err=err, color=paint.on)
        raise click.exceptions.Exit(INVALID)
    return sweep


def say(sweep: Sweep, found: Sequence[Outcome]) -> None:
    """The findings, then the table."""
    from compiler.report.sweep_text import BASIS, counts_text, findings_text, points_text

    paint = painter()
    click.echo(findings_text(found, _sources(sweep), paint), nl=False, color=paint.on)
    weighed = any(item.footprint for item in found)
    click.echo(points_text(found) + counts_text(found) + (f"\n  {BASIS}" if weighed else ""))


def code_of(found: Sequence[Outcome]) -> int:
    """The exit code of all points together."""
    return first(of_recipe(item.diagnostics, [item.footprint]) for item in found)


def plan_sweep(recipe: str, matrix: Sequence[str], options: Options, form: str) -> int:
    """`ftc plan --matrix`: a table of the points."""
    from compiler.report.machine import as_json
    from compiler.report.sweep_data import sweep_data
    from compiler.sweep.sweeping import MOST_PLANNED, outcomes

    sweep = open_sweep(recipe, matrix, options, MOST_PLANNED, err=form == "json")
    found = outcomes(sweep)
    if form == "json":
        data = sweep_data(sweep, found, options.target or "native", options.version, options.stack)
        click.echo(as_json(data), nl=False)
    else:
        say(sweep, found)
    return code_of(found)


def allow(*names: str, **wrong: str) -> None:
    """A usage error where an option is given that means nothing to a sweep: all but those of these parameters, and of
    `wrong` those with this value, where it is not empty."""
    context = click.get_current_context()
    for param in context.command.params:
        name = param.name or ""
        given = context.get_parameter_source(name) == ParameterSource.COMMANDLINE
        if given and (wrong.get(name) or name not in (*names, *EVERYWHERE)):
            said = f"{param.opts[0]} {wrong.get(name, '')}".rstrip()
            raise click.UsageError(f"{said} is not for sweeps: leave it out, or --matrix")


def _sources(sweep: Sweep) -> dict[str, Sequence[str]]:
    return {**File(sweep.name, sweep.text).sources(sweep.sets), "--matrix": sweep.matrix}
