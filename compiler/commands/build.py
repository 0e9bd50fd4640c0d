"""`ftc build`: a target's config or script, with all that it needs beside it."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, NoReturn

import click
from msgspec import Struct
from msgspec.structs import replace

from backends.native.files import Advance
from backends.native.findings import Tally
from compiler.build import Compiled, Options
from compiler.commands import launcher, notebooks, options, providers, sweeps
from compiler.commands.compiling import File, open_file, require_valid
from compiler.completion.offering import offers
from compiler.exit import NO_FIT, TERMINATED
from compiler.lock import lock
from compiler.memory.fixes import fixes
from compiler.prepare import bytes_to_check, bytes_to_prepare, check, prepare
from compiler.report.memory_text import card, fixes_text, memory_text
from compiler.report.paint import painter
from compiler.write import write_artifact
from schemas.artifact import RECIPE, Artifact, Launcher
from schemas.plan import Plan

if TYPE_CHECKING:  # read only where a sweep is asked for
    from compiler.sweep.shared_rows import SharedRows

LONG: Final = 64 << 20
"""Bytes of training rows to read from which a progress bar is shown."""

MANY: Final = 20
IMPORTED: Final = (".py", ".css", ".jinja")
"""Of more files than `MANY`, those that others of them read are counted instead of named."""


class Built(Struct, frozen=True):
    """A recipe compiled for a target: valid, and fitting or not to be stopped by that. `more`: what its lock says
    beside what every artifact's does."""

    file: File
    compiled: Compiled
    plan: Plan
    artifact: Artifact
    sets: tuple[str, ...]
    more: Mapping[str, object] = {}

    @property
    def folder(self) -> Path:
        """Where it is written when nothing else is said."""
        by = f"-{self.artifact.launcher}" if self.artifact.launcher else ""
        return Path("build", self.plan.name, f"{self.target}{by}")

    @property
    def target(self) -> str:
        """The target as it may be asked for, with its version where that is another one than the tested."""
        return options.Asked(self.artifact.target, self.artifact.version).words

    def write(self, folder: Path, *, force: bool, shared: SharedRows | None = None) -> str:
        """Write the artifact into the folder; which rows are left out, in words. `shared`: rows that other artifacts
        have too."""
        # Ended by an exception, a build removes what it has half written.
        signal.signal(signal.SIGTERM, _terminate)
        about = {**lock(self.compiled, self.artifact, self.file.text, self.sets), **self.more}
        looks, prepares = (shared.check, shared.prepare) if shared else (check, prepare)
        with _progress(self) as advance:
            made, met = self.artifact, Tally()
            if not made.preparation:
                met.merge(looks(self.plan, advance, paired=made.paired))
            met.merge(write_artifact(self.artifact, folder, about, advance, force=force, prepare=prepares))
        return f"{left_out}\n" if (left_out := met.left_out()) else ""


@click.command()
@options.recipe
@click.option(
    "--target",
    metavar=providers.ANY,
    callback=providers.any_target,
    shell_complete=offers("targets", with_providers=True),
    required=True,
    help="What will train; axolotl@0.17 for that version of it; openai, bedrock: a job for that provider.",
)
@launcher.option
@click.option("--out", type=click.Path(path_type=Path), help="The folder; build/NAME/TARGET if not given.")
@click.option("--stdout", is_flag=True, help="Print the config or script, write nothing.")
@options.allow_lossy
@options.drop_raw
@options.ignore_memory
@click.option("--force", is_flag=True, help="Replace files that were changed after ftc wrote them.")
@notebooks.notebook
@options.sets
@sweeps.matrix
def command(
    *,
    recipe: str,
    target: providers.Asked,
    by: Launcher | None,
    out: Path | None,
    stdout: bool,
    allow_lossy: bool,
    drop_raw: bool,
    ignore_memory: bool,
    force: bool,
    notebook: bool,
    sets: tuple[str, ...],
    matrix: tuple[str, ...],
) -> int:
    """Write what a target trains from.

    Config or script, data files, pinned requirements, and a README with the command that runs it. With --matrix: a
    folder for each point of a sweep, and sweep.json and sweep.md above them.
    """
    if stdout and out:
        raise click.UsageError("--stdout writes nothing: leave out --out")
    if isinstance(target, providers.AskedProvider):
        from compiler.commands.hosted import build_job, takes

        takes("out", "stdout", "force", "allow_lossy", "drop_raw")
        job = providers.asking(target, sets=sets, allow_lossy=allow_lossy, drop_raw=drop_raw)
        build_job(recipe, job, out, stdout=stdout, force=force)
        return 0
    asked = options.to_emit(target, sets, allow_lossy=allow_lossy, drop_raw=drop_raw, ignore_memory=ignore_memory)
    notebooks.require_unsloth(asked, notebook=notebook)
    asked = replace(asked, launcher=by)
    if matrix:
        from compiler.commands.sweep_building import build_sweep

        sweeps.allow("out", "allow_lossy", "ignore_memory", "force", "by")
        return build_sweep(sweeps.open_sweep(recipe, matrix, asked), out, force=force)
    built = build(open_file(recipe), asked, err=stdout)
    if notebook:
        built = replace(built, artifact=notebooks.added(built.artifact, built.compiled, asked, alone=stdout))
    if stdout:
        click.echo(built.artifact.files[built.artifact.body], nl=False)
        return 0
    folder = out or built.folder
    left_out = built.write(folder, force=force)
    click.echo(left_out + _written(built, folder), nl=False)
    return 0


def build(file: File, asked: Options, *, err: bool = False) -> Built:
    """Compile for the target that is asked for; ends the command where the recipe is wrong or does not fit."""
    compiled = file.compile(asked)
    plan = require_valid(file, compiled, asked.sets, err=err)
    if compiled.artifact:
        files = {**compiled.artifact.files, RECIPE: file.text}
        return Built(file, compiled, plan, replace(compiled.artifact, files=files), asked.sets)
    if compiled.footprint:
        paint = painter(sys.stderr if err else sys.stdout)
        text = memory_text(compiled.footprint, card(plan), paint) + fixes_text(
            fixes(plan, compiled.footprint.stack), paint
        )
        click.echo(text, nl=False, err=err, color=paint.on)
    click.echo("nothing was written; --ignore-memory goes on all the same", err=True)
    raise click.exceptions.Exit(NO_FIT)


def _written(built: Built, folder: Path) -> str:
    rows = built.artifact.preparation.files if built.artifact.preparation else ()
    names = sorted([*built.artifact.files, *rows, *built.artifact.copies])
    started = [name for name in names if not name.endswith(IMPORTED) or name in built.artifact.command]
    listed = names if len(names) <= MANY else started
    more = f" and {len(names) - len(listed)} more that these read" if len(listed) < len(names) else ""
    return (
        f"built {built.file.name} for {built.target}: {folder}\n"
        f"  {', '.join(listed)}{more}\n"
        f"train with:\n  cd {shlex.quote(str(folder))} && {shlex.join(built.artifact.command)}\n"
    )


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    sys.exit(TERMINATED)


@contextmanager
def _progress(built: Built) -> Generator[Advance]:
    """A bar while many rows are read, on a terminal only."""
    rows = built.artifact.preparation
    total = bytes_to_prepare(rows) if rows else bytes_to_check(built.plan)
    if total < LONG or not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=total, label="reading rows", file=sys.stderr) as bar:
        yield bar.update
