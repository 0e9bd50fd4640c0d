"""`ftc run`: builds an artifact and executes its command."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import click
from msgspec.structs import replace

from backends.native import EXTRAS
from compiler.build import Options
from compiler.commands import options, sweeps
from compiler.commands.build import Built, build
from compiler.commands.compiling import File, open_file
from compiler.completion.offering import offers
from compiler.errors import FtcError
from compiler.exit import INVALID
from compiler.hardware import find_gpu, this_cpu, this_machine
from compiler.offline import go_offline
from compiler.run import command as executable
from compiler.run import is_installed, run_child
from compiler.solve.space import KERNELS
from schemas.artifact import Target
from schemas.facts import Gpu
from schemas.plan import Plan


@click.command()
@options.recipe
@click.option(
    "--target",
    metavar=options.TARGET,
    callback=options.known_target,
    shell_complete=offers("targets"),
    default="native",
    show_default=True,
    help="The tool that trains; axolotl@0.17 for that version of it.",
)
@click.option("--fresh", is_flag=True, help="Train anew in a folder of its own, NAME-2, where one is there already.")
@click.option("--dry-run", is_flag=True, help="Build, and show the command instead of running it.")
@click.option("--measure", is_flag=True, help="Take two steps at the largest shape and write what memory they need.")
@click.option("--random-weights", is_flag=True, help="With --measure: make weights up instead of downloading them.")
@options.allow_lossy
@options.drop_raw
@options.ignore_memory
@options.sets
@sweeps.matrix
def command(
    *,
    recipe: str,
    target: options.Asked,
    fresh: bool,
    dry_run: bool,
    measure: bool,
    random_weights: bool,
    allow_lossy: bool,
    drop_raw: bool,
    ignore_memory: bool,
    sets: tuple[str, ...],
    matrix: tuple[str, ...],
) -> int:
    """Build, and train on this machine.

    A run that was stopped goes on where it stopped; --fresh starts anew. --measure trains nothing: it writes
    calibration.json into the run's folder, for ftc plan --calibration. --matrix trains the points of a sweep one after
    the other; the same command goes on with a sweep that was stopped.
    """
    if matrix:
        from compiler.commands.sweep_running import run_sweep

        sweeps.allow(
            "dry_run", "allow_lossy", "ignore_memory", target=target.words if target.target != "native" else ""
        )
        asked = options.to_emit(target, sets, allow_lossy=allow_lossy, drop_raw=drop_raw, ignore_memory=ignore_memory)
        return run_sweep(recipe, matrix, asked, dry=dry_run)
    flags = _measuring(target.target, measure=measure, random_weights=random_weights, fresh=fresh)
    file = open_file(recipe)
    asked = options.to_emit(target, sets, allow_lossy=allow_lossy, drop_raw=drop_raw, ignore_memory=ignore_memory)
    asked = replace(asked, sets=(*sets, *this_machines(file, asked)))
    built = build(file, replace(asked, sets=(*asked.sets, *_without_absent(file, asked))))
    if fresh:
        name, built = built.plan.name, _afresh(built, replace(asked, sets=built.sets))
        if built.plan.name != name:
            said = f"trained anew as {built.plan.name}; to go on with it later, write --set name={built.plan.name}"
            click.echo(f"{said} in the place of --fresh", err=True)
    click.echo(built.write(built.folder, force=False), nl=False)
    artifact = replace(built.artifact, command=(*built.artifact.command, *flags))
    if dry_run:
        click.echo(f"cd {shlex.quote(str(built.folder))} && {shlex.join(artifact.command)}")
        return 0
    command = executable(artifact)
    if alone := go_offline(built.plan):
        click.echo(alone, err=True)
    if sys.stderr.isatty():
        click.echo(f"loading libraries, model and rows, by {built.folder}", err=True)
    code = _run(command, built.folder, "measuring" if measure else "training")
    if measure and not code:
        click.echo(f"weigh with it:\n  {_weighing(built)}")
    return code


def _measuring(target: Target, *, measure: bool, random_weights: bool, fresh: bool) -> tuple[str, ...]:
    """What the script is told in order to measure; nothing where it trains."""
    if random_weights and not measure:
        raise click.UsageError("--random-weights is for --measure")
    if not measure:
        return ()
    if target != "native":
        raise click.UsageError(f"--measure is for the native target; {target} is not measured")
    if fresh:
        raise click.UsageError("--measure trains nothing: leave out --fresh")
    return ("--measure", "--random-weights") if random_weights else ("--measure",)


def _weighing(built: Built) -> str:
    """The command that shows the plan as it was measured."""
    file = str(Path(built.plan.output.dir) / "calibration.json")
    settings = [word for each in built.sets for word in ("--set", each)]
    return shlex.join(["ftc", "plan", built.file.name, *settings, "--calibration", file])


def this_machines(file: File, asked: Options) -> tuple[str, ...]:
    """Settings that name this machine's card, where the recipe names none: what is left open is solved for it."""
    plan = file.compile(replace(asked, emit=False)).plan
    if plan is None or plan.hardware.gpu is not None:
        return ()
    found = this_machine()
    if found is None:
        memory = this_cpu().memory
        return ("hardware.gpu=cpu", *((f"hardware.memory={memory}",) if memory else ()))
    if not isinstance(find_gpu(found.name), Gpu):
        return ()
    click.echo(f"the recipe names no GPU: planned for the {found.name} of this machine", err=True)
    return (f"hardware.gpu={found.name}",)


def _without_absent(file: File, asked: Options) -> tuple[str, ...]:
    """Settings that take back what the compiler chose and this machine has not: a package is asked for where the recipe
    asks for it. Whoever builds for another machine gets it with the requirements."""
    plan = file.compile(replace(asked, emit=False)).plan if asked.target == "native" else None
    return without_absent([plan])


def without_absent(plans: Iterable[Plan | None]) -> tuple[str, ...]:
    """The same of several plans that are to be trained alike."""
    if is_installed("liger-kernel") or not any(plan and _chosen(plan) for plan in plans):
        return ()
    click.echo(f"Liger's kernels would be faster here: pip install {EXTRAS['liger']}; trained without them", err=True)
    return (f"{KERNELS}=none",)


def _chosen(plan: Plan) -> bool:
    return any(item.path == KERNELS and item.value == "liger" for item in plan.decisions)


def _afresh(built: Built, asked: Options) -> Built:
    """The same under the first free name of NAME-2, NAME-3, …; as it is, where it never ran."""
    taken = Path(built.plan.output.dir)
    number = 2
    while taken.exists():
        name = f"{built.plan.name}-{number}"
        taken = Path(built.plan.output.dir).with_name(name)
        asked = replace(asked, sets=(*built.sets, f"name={name}"))
        number += 1
    return built if asked.sets == built.sets else build(built.file, asked)


def _run(arguments: list[str], folder: Path, what: str) -> int:
    sys.stdout.flush()
    ended = run_child(arguments, folder)
    if ended.signalled is not None:
        return 128 + ended.signalled
    if ended.code == 0:
        return 0
    lines = "".join(f"\n  {line}" for line in ended.tail)
    raise FtcError(
        f"{what} ended with exit code {ended.code}" + (f"; its last lines:{lines}" if lines else ""),
        "exit code 137 means that it was killed, most often for want of memory" if ended.code == 137 else None,
        INVALID,
    )
