"""`ftc plan`: what a run will be, and what it needs."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import click
from msgspec import Struct
from msgspec.structs import replace

from compiler.build import Compiled, Options
from compiler.commands import options, providers, sweeps
from compiler.commands import tokens as stated
from compiler.commands.compiling import File, open_file, require_valid
from compiler.completion.offering import offers
from compiler.exit import of_recipe
from compiler.hardware import all_gpus
from compiler.report.alternatives import Option
from compiler.report.machine import as_json
from compiler.report.paint import painter
from compiler.report.plan_data import plan_report
from compiler.report.plan_text import plan_text
from schemas.footprint import Stack


class _Asked(Struct, frozen=True):
    """What is weighed besides the recipe's own stack and card."""

    stacks: tuple[Stack | None, ...]
    gpus: tuple[str | None, ...]


def _known_or_all(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    return value if value == "all" else options.known_gpu(ctx, param, value)


@click.command()
@options.recipe
@click.option(
    "--target",
    metavar=providers.ANY,
    callback=providers.any_target,
    shell_complete=offers("targets", with_providers=True),
    help="Plan for this target; native if not given.",
)
@click.option(
    "--gpu",
    metavar="GPU|all",
    callback=_known_or_all,
    shell_complete=offers("gpus", with_all=True),
    help="Weigh for this card instead of the recipe's; all: compare all cards.",
)
@click.option("--stack", type=options.STACK_OR_ALL, help="Whose training code is weighed; all: compare them.")
@click.option("--format", "form", type=click.Choice(["text", "json", "html"]), default="text")
@stated.tokens
@options.exact
@options.calibration
@options.sets
@sweeps.matrix
@options.drop_raw
def command(
    *,
    recipe: str,
    target: providers.Asked | None,
    gpu: str | None,
    stack: str | None,
    form: str,
    tokens: int | None,
    exact: bool,
    calibration: Path | None,
    sets: tuple[str, ...],
    matrix: tuple[str, ...],
    drop_raw: bool,
) -> int:
    """Show every setting, the memory, the time.

    What was left to the compiler is shown with the reason for what it chose. With --matrix: a table of a sweep's
    points.
    """
    own = providers.asking(
        target,
        drop_raw=drop_raw,
        gpu=None if gpu == "all" else gpu,
        sets=sets,
        stack=None if stack == "all" else cast(Stack | None, stack),
        exact=exact,
    )
    file = open_file(recipe)
    first = file.compile(own)
    if matrix and (own.provider or first.hosted):
        raise click.UsageError("a sweep is planned for a trainer of one's own: leave out --matrix")
    if matrix:
        wrong = {"gpu": gpu, "stack": stack, "form": form}
        refused = {name: value for name, value in wrong.items() if value in ("all", "html")}
        sweeps.allow(*wrong, **refused)
        return sweeps.plan_sweep(recipe, matrix, own, form)
    if own.provider or first.hosted:
        from compiler.commands.hosted import plan_job, takes

        takes("form", "drop_raw", *(["gpu"] if gpu != "all" else []))  # a card is refused as the leaf that it is
        return plan_job(file, first, own, form)
    named = own.target or "native"
    asked = _asked(stack, gpu)
    compiled = _weighed(first, calibration)
    others = _others(file, own, asked) if compiled.valid else []
    if exact:
        compiled, others = _exactly(compiled, others, calibration)
    if form == "json":
        click.echo(as_json(plan_report(compiled, named, others, own.version, tokens)), nl=False)
    elif form == "html":
        from compiler.report.html_plan import plan_html

        require_valid(file, compiled, sets, err=True)
        click.echo(plan_html(compiled, named, others, tokens), nl=False)
    else:
        require_valid(file, compiled, sets)
        paint = painter()
        click.echo(plan_text(compiled, others, paint, tokens), nl=False, color=paint.on)
    return of_recipe(compiled.diagnostics, [compiled.footprint])


def _weighed(compiled: Compiled, calibration: Path | None) -> Compiled:
    """Its memory by what was measured, where a calibration is named."""
    if calibration is None:
        return compiled
    from compiler.memory.calibration import calibrated, read_calibration

    found = read_calibration(calibration)
    if compiled.plan is None or compiled.footprint is None:
        return compiled
    return replace(compiled, footprint=calibrated(compiled.footprint, compiled.plan, found))


def _exactly(compiled: Compiled, others: list[Option], calibration: Path | None) -> tuple[Compiled, list[Option]]:
    """The same, traced."""
    from compiler.trace.asked import traced, traced_option

    if calibration is not None:
        raise click.UsageError("--exact and --calibration are two answers to one question: give one of them")
    return traced(compiled, required=not others), [traced_option(item, compiled) for item in others]


def _asked(stack: str | None, gpu: str | None) -> _Asked:
    stacks = cast(tuple[Stack | None, ...], get_args(Stack) if stack == "all" else (stack,))
    gpus = tuple(card.name for card in all_gpus() if not card.is_cpu) if gpu == "all" else (gpu,)
    return _Asked(stacks, gpus)


def _others(file: File, own: Options, asked: _Asked) -> list[Option]:
    """Every stack on every card that was asked for; nothing where only one of each was."""
    if len(asked.stacks) * len(asked.gpus) == 1:
        return []
    return [
        _option(file.compile(replace(own, stack=stack, gpu=gpu)), stack, gpu)
        for stack in asked.stacks
        for gpu in asked.gpus
    ]


def _option(compiled: Compiled, stack: Stack | None, gpu: str | None) -> Option:
    footprint = compiled.footprint
    return Option(
        stack=footprint.stack if footprint else stack or "native",
        gpu=gpu or (compiled.plan.hardware.gpu if compiled.plan else None),
        compiled=compiled,
    )
