"""`ftc validate`: everything that is wrong with recipes, in one pass, and whether they fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import click
from msgspec import Struct
from msgspec.structs import replace

from compiler.build import Compiled, Options
from compiler.commands import options, providers
from compiler.commands.compiling import File, open_file
from compiler.completion.offering import offers
from compiler.errors import FtcError
from compiler.exit import USAGE, first, of_recipe
from compiler.gathering import Unread, gather
from compiler.report.paint import Paint, painter
from schemas.diagnostic import WHOLE_FILE, Diagnostic
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
    "--target",
    metavar=f"{providers.ANY}|all",
    callback=providers.any_or_all,
    shell_complete=offers("targets", with_all=True, with_providers=True),
    help="Also say what it cannot do.",
)
@options.gpu
@click.option("--format", "form", type=click.Choice(["text", "json", "sarif", "github"]), default="text")
@options.sets
@click.option(
    "--watch", "watch_it", is_flag=True, help="Look again whenever a recipe, or a file that it names, changes."
)
@options.allow_lossy
@options.drop_raw
def command(
    *,
    recipes: tuple[str, ...],
    target: tuple[providers.Asked, ...] | None,
    gpu: str | None,
    form: Format,
    sets: tuple[str, ...],
    watch_it: bool,
    allow_lossy: bool,
    drop_raw: bool,
) -> int:
    """Find everything wrong with recipes.

    All of it in one pass, with file, line and column; then whether the run fits into memory. A folder stands for every
    recipe below it, *.ftc.yaml; hidden folders, build and outputs are left out.
    """
    if watch_it and form != "text":
        raise FtcError(f"--watch is for people, and --format {form} for programs", "leave one of them out", USAGE)
    flags = {"gpu": gpu, "sets": sets, "allow_lossy": allow_lossy, "drop_raw": drop_raw}
    asked = providers.asking(None, **flags)
    each = [providers.asking(item, **flags) for item in target or ()]
    if watch_it:
        from compiler.watching import watch

        watch(recipes, sets, lambda: _look(recipes, each or [asked], form))
    return first(map(_code, _look(recipes, each or [asked], form)))


def _look(names: Sequence[str], asked: Sequence[Options], form: Format) -> list[Judged | Unread]:
    """Judge the recipes, and say what was found."""
    found = [item if isinstance(item, Unread) else _judge(item, asked) for item in gather(names)]
    _print(found, form)
    return found


def _judge(name: str, asked: Sequence[Options]) -> Judged | Unread:
    """One recipe; an unreadable file is said, and the next one looked at."""
    try:
        file = open_file(name)
    except FtcError as error:
        return Unread(name, error.message, error.hint)
    compiled = [file.compile(item) for item in asked]
    footprints = tuple(item.footprint for item in compiled if item.footprint)
    misfits = tuple(dict.fromkeys(item.misfit for item in compiled if item.misfit))
    return Judged(file, asked[0].sets, _merged(compiled), footprints, misfits, compiled[0].plan)


def _judged(found: Sequence[Judged | Unread]) -> list[Judged]:
    return [item for item in found if isinstance(item, Judged)]


def _code(found: Judged | Unread) -> int:
    return found.code if isinstance(found, Judged) else USAGE


def _merged(compiled: Sequence[Compiled]) -> tuple[Diagnostic, ...]:
    """What several targets have to say, once; a finding about one of them names it."""
    found = dict.fromkeys(item for one in compiled for item in one.diagnostics)
    return tuple(sorted(found, key=lambda item: (item.file, item.span.line, item.span.column, item.code)))


def _print(found: Sequence[Judged | Unread], form: Format) -> None:
    judged = _judged(found)
    unread = [item for item in found if isinstance(item, Unread)]
    for item in unread:
        click.echo(f"{click.style('error', fg='red', bold=True)}: {item.message}", err=True)
        if item.hint:
            click.echo(f"  {item.hint}", err=True)
    if form == "json":
        click.echo(_json(found), nl=False)
    elif form == "text":
        paint = painter()
        click.echo(_text(judged, paint), nl=False, color=paint.on)
    else:
        _print_for_hosts(judged, [(item.name, item.message) for item in unread], form)


def _print_for_hosts(judged: Sequence[Judged], unread: Sequence[tuple[str, str]], form: Format) -> None:
    """Findings alone, each in a file: what does not fit is one of them, and so is what `--set` has wrong."""
    found = [_in_file(item, one) for one in judged for item in (*one.diagnostics, *one.misfits)]
    if form == "sarif":
        from compiler.report.sarif import sarif

        sources = {one.file.name: one.file.sources(())[one.file.name] for one in judged}
        click.echo(sarif(found, sources, unread), nl=False)
    else:
        from compiler.report.github import github

        click.echo(github(found, unread), nl=False)


def _in_file(item: Diagnostic, one: Judged) -> Diagnostic:
    """A finding about `--set` belongs to the recipe that it changes, and to no line of it."""
    if item.file == one.file.name:
        return item
    said = f"--set {one.sets[item.span.line - 1]}" if item.span.line <= len(one.sets) else "--gpu"
    return replace(item, file=one.file.name, span=WHOLE_FILE, message=f"{said}: {item.message}")


def _text(judged: Sequence[Judged], paint: Paint) -> str:
    from compiler.report.text import diagnostics_text, summary

    single = len(judged) == 1
    found = [item for one in judged for item in one.diagnostics]
    text = "".join(
        (diagnostics_text(one.diagnostics, one.file.sources(one.sets), paint) if one.diagnostics else "")
        + _memory(one, paint, single=single)
        for one in judged
    )
    errors = sum(item.level == "error" for item in found)
    unfit = sum(any(item.verdict == "does_not_fit" for item in one.footprints) for one in judged)
    counted = "" if single else f"{len(judged)} recipes: "
    return text + (counted + summary(errors, len(found) - errors, paint, unfit) if judged else "")


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


def _json(found: Sequence[Judged | Unread]) -> str:
    from compiler.report.machine import as_json, summed, unreadable_data

    results = [unreadable_data(one.name, one.message) if isinstance(one, Unread) else _data(one) for one in found]
    return as_json(results[0] if len(results) == 1 else summed(results))


def _data(one: Judged) -> dict[str, object]:
    from compiler.report.machine import validation_data

    return validation_data(one.file.name, one.diagnostics, next(iter(one.footprints), None), one.footprints[1:])
