"""`ftc doctor`: what this machine has, and what a target lacks."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from backends import TARGETS
from compiler.commands import options
from compiler.completion.offering import offers
from compiler.doctor.environment import environment
from compiler.doctor.hub import hub
from compiler.doctor.line import Line
from compiler.doctor.machine import has_card, machine
from compiler.doctor.targets import target as looked_at
from compiler.exit import MISSING, OK
from compiler.report.doctor_text import doctor_text
from compiler.report.machine import FORMAT_VERSION, as_data, as_json
from compiler.report.paint import painter
from schemas.version import VERSION


@click.command()
@click.option(
    "--target",
    metavar=options.TARGET,
    callback=options.known_target,
    shell_complete=offers("targets"),
    help="Only what this one needs; else all.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def command(target: options.Asked | None, form: str) -> int:
    """Say what this machine has, and what a target lacks.

    With --target the exit code is 4 where it cannot run here. Nothing is changed or downloaded, and no token is shown.
    """
    lines = _look(target)
    lacking = [line for line in lines if line.status == "missing"]
    if form == "json":
        click.echo(as_json(_data(lines, target)), nl=False)
    else:
        paint = painter()
        click.echo(doctor_text(lines, paint), nl=False, color=paint.on)
        click.echo(_verdict(lacking, target))
    return MISSING if target and lacking else OK


def _look(target: options.Asked | None) -> list[Line]:
    """Of other targets than native, torch of this environment says nothing: they have environments of their own."""
    lines = [*machine(), *hub()]
    if target is None or target.target == "native":
        if sys.stderr.isatty():
            click.echo("asking torch …\r", err=True, nl=False)
        lines += environment(card=has_card(lines))
    each = (target,) if target else tuple(map(options.Asked, TARGETS))
    return [*lines, *(line for one in each for line in looked_at(one.target, one.version))]


def _verdict(lacking: Sequence[Line], target: options.Asked | None) -> str:
    names = ", ".join(dict.fromkeys(line.subject for line in lacking))
    if target:
        return f"\n{target.target} cannot run here: {names}" if lacking else f"\n{target.target} can run here"
    without = ", ".join(dict.fromkeys(line.group for line in lacking))
    return f"\nmissing: {names} ({without})" if lacking else "\nnothing is missing"


def _data(lines: Sequence[Line], target: options.Asked | None) -> dict[str, object]:
    able = all(line.status != "missing" for line in lines)
    return {
        "format_version": FORMAT_VERSION,
        "ftc": VERSION,
        "target": target.target if target else None,
        "can_run": able if target else None,
        "lines": as_data(lines),
    }
