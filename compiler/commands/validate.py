"""`ftc validate`: everything that is wrong with recipes, in one pass, and whether they fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import click
from msgspec import Struct
from msgspec.structs import replace

from compiler.build import Compiled, Options
from compiler.commands import options
from compiler.commands.compiling import File, open_file
from compiler.errors import FtcError
from compiler.exit import first, of_recipe
from compiler.report.paint import Paint, painter
from schemas.diagnostic import Diagnostic
from schemas.footprint import Footprint
from schemas.plan import Plan

Format = Literal["text", "json", "sarif", "github"]


class Judged(Struct, frozen=True):
    """What there is to say about a recipe. `footprints`: one for each target asked for, if it came so far."""

    file: File
    sets: tuple[str, ...]
    diagnostics: tuple[Diagnostic, ...]
    footprints: tuple[Footprint, ...]
    misfits: tuple[Diagnostic, ...]
    plan: Plan | None

    @property
    def code(self) -> int:
        """The exit code it stands for."""
        return of_recipe(self.diagnostics, self.footprints)


@click.command()
@options.recipes
@click.option(
    "--target", metavar=f"{options.TARGET}|all", callback=options.target_or_all, help="Also say what it cannot do."
)
@options.gpu
@click.option("--format", "form", type=click.Choice(["text", "json", "sarif", "github"]), default="text")
@options.sets
@options.allow_lossy
@options.drop_raw
def command(
    *,
    recipes: tuple[str, ...],
    target: tuple[options.Asked, ...] | None,
    gpu: str | None,
    form: Format,
    sets: tuple[str, ...],
    allow_lossy: bool,
    drop_raw: bool,
) -> int:
    """Find everything wrong with recipes.

    All of it in one pass, with file, line and column; then whether the run fits into memory.
    """
    asked = Options(gpu=gpu, sets=sets, allow_lossy=allow_lossy, drop_raw=drop_raw)
    each = [replace(asked, target=item.target, version=item.version) for item in target or ()]
    found = [_judge(name, each or [asked]) for name in recipes]
    for error in found:
        if isinstance(error, FtcError):
            click.echo(f"{click.style('error', fg='red', bold=True)}: {error.message}", err=True)
    if form == "json":
        click.echo(_json(recipes, found), nl=False)
    else:
        _print([item for item in found if isinstance(item, Judged)], form)
    return first(item.code if isinstance(item, Judged) else item.exit_code for item in found)


def _judge(name: str, asked: Sequence[Options]) -> Judged | FtcError:
    """One recipe; an unreadable file is said, and the next one looked at."""
    try:
        file = open_file(name)
    except FtcError as error:
        return error
    compiled = [file.compile(item) for item in asked]
    footprints = tuple(item.footprint for item in compiled if item.footprint)
    misfits = tuple(dict.fromkeys(item.misfit for item in compiled if item.misfit))
    return Judged(file, asked[0].sets, _merged(compiled), footprints, misfits, compiled[0].plan)


def _merged(compiled: Sequence[Compiled]) -> tuple[Diagnostic, ...]:
    """What several targets have to say, once; a finding about one of them names it."""
    found = dict.fromkeys(item for one in compiled for item in one.diagnostics)
    return tuple(sorted(found, key=lambda item: (item.file, item.span.line, item.span.column, item.code)))


def _print(judged: Sequence[Judged], form: Format) -> None:
    found = [item for one in judged for item in one.diagnostics]
    misfits = [item for one in judged for item in one.misfits]
    if form == "text":
        paint = painter()
        click.echo(_text(judged, found, paint), nl=False, color=paint.on)
    elif form == "sarif":
        from compiler.report.sarif import sarif

        click.echo(sarif([*found, *misfits]), nl=False)
    else:
        from compiler.report.github import github

        click.echo(github([*found, *misfits]), nl=False)


def _text(judged: Sequence[Judged], found: Sequence[Diagnostic], paint: Paint) -> str:
    from compiler.report.text import diagnostics_text, summary

    single = len(judged) == 1
    text = "".join(
        (diagnostics_text(one.diagnostics, one.file.sources(one.sets), paint) if one.diagnostics else "")
        + _memory(one, paint, single=single)
        for one in judged
    )
    errors = sum(item.level == "error" for item in found)
    unfit = sum(any(item.verdict == "does_not_fit" for item in one.footprints) for one in judged)
    return text + (summary(errors, len(found) - errors, paint, unfit) if judged else "")


def _memory(one: Judged, paint: Paint, *, single: bool) -> str:
    from compiler.report.memory_text import card, memory_text, verdict_line

    if single and len(one.footprints) == 1:
        return memory_text(one.footprints[0], card(one.plan), paint) + _remedies(one.plan, one.footprints[0], paint)
    name = "" if single else f"{one.file.name}: "
    return "".join(name + verdict_line(item, card(one.plan), paint) for item in one.footprints)


def _remedies(plan: Plan | None, footprint: Footprint, paint: Paint) -> str:
    """What would make it fit, sought only where it does not."""
    if plan is None or footprint.verdict not in ("tight", "does_not_fit"):
        return ""
    from compiler.memory.fixes import fixes
    from compiler.report.memory_text import fixes_text

    return fixes_text(fixes(plan, footprint.stack), paint)


def _json(names: Sequence[str], found: Sequence[Judged | FtcError]) -> str:
    from compiler.report.machine import as_json, summed, unreadable_data

    results = [
        unreadable_data(name, one.message) if isinstance(one, FtcError) else _data(one)
        for name, one in zip(names, found, strict=True)
    ]
    return as_json(results[0] if len(results) == 1 else summed(results))


def _data(one: Judged) -> dict[str, object]:
    from compiler.report.machine import validation_data

    return validation_data(one.file.name, one.diagnostics, next(iter(one.footprints), None), one.footprints[1:])
