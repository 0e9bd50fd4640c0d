"""`ftc diff`: what two runs will really do differently."""

from __future__ import annotations

from typing import Literal

import click

from backends import TARGETS
from compiler.build import Options
from compiler.commands import options
from compiler.commands.compiling import require_valid
from compiler.diff.comparing import Compared, compare
from compiler.diff.sides import Named, Side, labels, named, read, side
from compiler.exit import INVALID, of_recipe
from compiler.report.diff_text import diff_json, diff_text
from compiler.report.paint import painter


def _targets(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[options.Asked, ...]:
    """Targets by name, commas between, or all."""
    if value is None:
        return ()
    words = TARGETS if value == "all" else [word.strip() for word in value.split(",") if word.strip()]
    found = tuple(options.known_target(ctx, param, word) for word in words)
    return tuple(item for item in found if item is not None)


@click.command()
@click.argument("a")
@click.argument("b", required=False)
@click.option(
    "--target",
    metavar=options.TARGET,
    callback=options.known_target,
    help="Compile both for this target; native if not given.",
)
@click.option(
    "--targets", metavar="T,U|all", callback=_targets, help="One recipe across these targets; or all of them."
)
@options.gpu
@options.sets
@click.option("--exit-code", is_flag=True, help="End with 1 where the runs differ.")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    *,
    a: str,
    b: str | None,
    target: options.Asked | None,
    targets: tuple[options.Asked, ...],
    gpu: str | None,
    sets: tuple[str, ...],
    exit_code: bool,
    style: Literal["text", "json"],
) -> int:
    """Show what two runs will really do differently.

    Defaults included. A and B are recipes, or configs of other tools. RECIPE@TARGET compiles one for a target:
    `ftc diff r.yaml@axolotl r.yaml@unsloth`, or shorter `ftc diff r.yaml --targets axolotl,unsloth`.
    """
    sides = _sides([a, *((b,) if b else ())], target, targets, Options(gpu=gpu, sets=sets))
    for item in sides:
        if not item.compiled.plan or not item.compiled.valid:
            require_valid(item.file, item.compiled, sets, err=True)
            return of_recipe(item.compiled.diagnostics, ()) or INVALID
    found = compare(sides)
    if style == "json":
        click.echo(diff_json(found, sides), nl=False)
    else:
        paint = painter()
        click.echo(diff_text(found, sides, paint), nl=False, color=paint.on)
    return _ended(found) if exit_code else 0


def _ended(found: Compared) -> int:
    return 0 if found.same else 1


def _sides(
    files: list[str], target: options.Asked | None, targets: tuple[options.Asked, ...], asked: Options
) -> list[Side]:
    """Each file for its own target; one file for each of several."""
    listed = [named(file) for file in files]
    ctx = click.get_current_context()
    if targets:
        if len(listed) > 1 or target or listed[0].target:
            raise click.UsageError("--targets is for one recipe, without --target or @")
        pairs = [(listed[0], item) for item in targets]
    else:
        pairs = [(item, _own(item, target, ctx)) for item in listed]
    if len(pairs) < 2:
        raise click.UsageError("name two recipes, or one and --targets")
    called = [f"{item.target}{f'@{item.version}' if item.version else ''}" for _, item in pairs]
    short = labels([item.file for item, _ in pairs], called)
    read_once = {file: read(file) for file in dict.fromkeys(item.file for item, _ in pairs)}
    return [
        side(*read_once[item.file], label, (wanted.target, wanted.version), asked)
        for (item, wanted), label in zip(pairs, short, strict=True)
    ]


def _own(item: Named, target: options.Asked | None, ctx: click.Context) -> options.Asked:
    """The target behind the @, else the one of `--target`, else native."""
    if item.target is None:
        return target or options.Asked("native")
    found = options.known_target(ctx, ctx.command.params[0], item.target)
    return found or options.Asked("native")
