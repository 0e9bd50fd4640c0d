"""What `ftc build` and `ftc plan` do where a provider trains: rows are read and counted, a job is written or shown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click
from click.core import ParameterSource
from msgspec.structs import replace

from compiler.build import Compiled, Options
from compiler.commands.compiling import File, open_file
from compiler.exit import OK, of_recipe
from compiler.hosted.artifact import HostedArtifact, hosted_artifact, survey_data
from compiler.hosted.lock import hosted_lock
from compiler.hosted.rows import Survey, miscounted, survey
from compiler.report.hosted_text import built_text, plan_report, plan_text, rows_lines
from compiler.report.machine import FORMAT_VERSION, as_json, diagnostic_data
from compiler.report.paint import painter
from compiler.report.text import diagnostics_text, summary
from compiler.write import write_artifact
from schemas.artifact import RECIPE
from schemas.diagnostic import Diagnostic
from schemas.hosted import HostedPlan

FIRST_ROWS: Final = ("FTC243", "FTC503")
"""Codes about the rows at the beginning of a file: here every row is looked at."""


def takes(*names: str) -> None:
    """A usage error where an option is given that a job at a provider has no use for: all but those of these
    parameters."""
    context = click.get_current_context()
    for param in context.command.params:
        name = param.name or ""
        given = context.get_parameter_source(name) == ParameterSource.COMMANDLINE
        if given and name not in (*names, "recipe", "target", "sets"):
            raise click.UsageError(f"{param.opts[0]} is for what trains on your machines, and a provider has its own")


def build_job(recipe: str, asked: Options, out: Path | None, *, stdout: bool, force: bool) -> None:
    """Write the folder of a job; or print its request, and write nothing."""
    file = open_file(recipe)
    compiled = file.compile(asked)
    plan = _require_hosted(file, compiled, asked, err=stdout)
    found, counted = _looked_at(file, plan, asked)
    _say(file, counted, asked, err=stdout)
    made = hosted_artifact(plan, found, compiled.diagnostics)
    if stdout:
        click.echo(made.files[made.body], nl=False)
        return
    folder = out or Path("build", plan.recipe.name, plan.provider)
    whole: HostedArtifact = replace(made, files={**made.files, RECIPE: file.text})
    write_artifact(whole, folder, hosted_lock(compiled, plan, made, file.text, asked.sets), force=force)
    click.echo(built_text(file.name, plan, found, whole, folder), nl=False)


def plan_job(file: File, compiled: Compiled, asked: Options, form: str) -> int:
    """Show a job: what its provider is told, its rows, its tokens, its price."""
    if form == "html":
        raise click.UsageError(
            "--format html shows memory, and a provider's is not weighed; text and json show the job"
        )
    json = form == "json"
    plan = compiled.hosted if json else _require_hosted(file, compiled, asked, err=False)
    if plan is None or (json and not compiled.valid):
        click.echo(as_json(plan_report(compiled, None, None, ())), nl=False)
        return of_recipe(compiled.diagnostics, ())
    found, counted = _looked_at(file, plan, asked)
    if json:
        click.echo(as_json(plan_report(compiled, plan, found, counted)), nl=False)
        return of_recipe(counted, ())
    _say(file, counted, asked, err=False)
    paint = painter()
    click.echo(plan_text(plan, found, paint), nl=False, color=paint.on)
    return OK


def check_rows(file: File, plan: HostedPlan, sets: tuple[str, ...], form: str) -> int:
    """Read every row as its provider will; what is wrong, by file and line, and how long they are."""
    if form == "html":
        raise click.UsageError("--format html shows tokens, and a provider's are its own; text and json count them")
    found, counted = _looked_at(file, plan, Options(sets=sets))
    if form == "json":
        said = {"diagnostics": [diagnostic_data(item) for item in counted]}
        click.echo(as_json({"format_version": FORMAT_VERSION, **survey_data(plan, found), **said}), nl=False)
        return of_recipe(counted, ())
    _say(file, counted, Options(sets=sets), err=False)
    paint = painter()
    click.echo("".join(f"{line}\n" for line in rows_lines(plan, found, paint)), nl=False, color=paint.on)
    return OK


def _looked_at(file: File, plan: HostedPlan, asked: Options) -> tuple[Survey, tuple[Diagnostic, ...]]:
    """The rows, and what is wrong with how many and how long they are, at its place in the recipe."""
    found = survey(plan)
    return found, file.locate(miscounted(plan, found), asked.sets)


def _require_hosted(file: File, compiled: Compiled, asked: Options, *, err: bool) -> HostedPlan:
    """Print the findings; the plan of the job, or the end of the command where one of them is an error. What is wrong
    with first rows is said with the rest of them."""
    paint = painter(sys.stderr if err else sys.stdout)
    other = tuple(item for item in compiled.diagnostics if item.code not in FIRST_ROWS)
    goes_on = compiled.hosted and all(item.level != "error" for item in other)
    said = other if goes_on else compiled.diagnostics
    click.echo(diagnostics_text(said, file.sources(asked.sets), paint), nl=False, err=err, color=paint.on)
    if compiled.hosted and goes_on:
        return compiled.hosted
    _end(compiled.diagnostics, err=err)
    raise click.exceptions.Exit(of_recipe(compiled.diagnostics, ()) or OK)


def _say(file: File, found: tuple[Diagnostic, ...], asked: Options, *, err: bool) -> None:
    """Findings about the rows; the end of the command where one of them is an error."""
    paint = painter(sys.stderr if err else sys.stdout)
    click.echo(diagnostics_text(found, file.sources(asked.sets), paint), nl=False, err=err, color=paint.on)
    if any(item.level == "error" for item in found):
        _end(found, err=err)
        raise click.exceptions.Exit(of_recipe(found, ()))


def _end(found: tuple[Diagnostic, ...], *, err: bool) -> None:
    paint = painter(sys.stderr if err else sys.stdout)
    errors = sum(item.level == "error" for item in found)
    click.echo(summary(errors, len(found) - errors, paint), nl=False, err=err, color=paint.on)
