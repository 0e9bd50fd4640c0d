"""`ftc data`: reads the rows as training will, says what is wrong with them, and shows them as the model sees them."""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final, Literal

import click
from msgspec.structs import replace

from backends.native.examine import total_bytes, workers
from backends.native.files import Advance
from backends.native.findings import DataError, FileError
from compiler.build import Compiled, Options
from compiler.commands import options
from compiler.commands.compiling import File, open_file
from compiler.data.job import job
from compiler.data.survey import Asked, survey
from compiler.data.tokenizer import Tokenizer, find_tokenizer
from compiler.data.verdict import Verdict, verdict
from compiler.errors import FtcError
from compiler.exit import ABSENT, INVALID, MISSING, USAGE, of_recipe
from compiler.offline import go_offline
from schemas.diagnostic import Diagnostic
from schemas.plan import Plan

Format = Literal["text", "json", "html"]
LONG: Final = 4 << 20
"""Bytes of rows to read from which a progress bar is shown."""
FIRST_ROWS: Final = ("FTC243", "FTC503")
"""Codes about the rows at the beginning of a file: here every row is looked at."""
STAND_IN: Final = "model.base=llama-3.1-8b-instruct"
"""Read in the place of a base that was not found: what is asked of the rows does not depend on it."""


@click.command()
@options.recipe
@click.option("--rows", default=3, show_default=True, type=click.IntRange(0), help="Rows of each source to show.")
@click.option("--format", "form", type=click.Choice(["text", "json", "html"]), default="text")
@options.sets
def command(*, recipe: str, rows: int, form: Format, sets: tuple[str, ...]) -> int:
    """Check every row, and show some as the model sees them.

    What is wrong, by file and line; which tokens are trained; how long rows are, and what of them is cut.
    """
    file = open_file(recipe)
    compiled = file.compile(Options(sets=sets))
    if compiled.hosted and not _wrong(compiled.diagnostics):
        from compiler.commands.hosted import check_rows, takes

        takes("form")
        return check_rows(file, compiled.hosted, sets, form)
    plan = _without_model(file, compiled, sets) if compiled.missing else compiled.plan
    if plan is None or _wrong(compiled.diagnostics):
        _print(file, compiled, None, form, sets)
        return of_recipe(compiled.diagnostics, ())
    if alone := go_offline(plan):
        click.echo(alone, err=True)
    tokenizer = Tokenizer(None, why="its base model was not found") if compiled.missing else find_tokenizer(plan)
    found = _surveyed(plan, tokenizer, rows)
    late = file.locate((*([tokenizer.problem] if tokenizer.problem else ()), *found.about), sets)
    said = (*(item for item in compiled.diagnostics if item.code not in FIRST_ROWS), *late)
    _print(file, replace(compiled, plan=plan, diagnostics=said), (found, tokenizer), form, sets)
    valid = found.valid and tokenizer.problem is None
    missing = compiled.missing or not found.reached
    return USAGE if not found.readable else INVALID if not valid else MISSING if missing else 0


def _without_model(file: File, compiled: Compiled, sets: tuple[str, ...]) -> Plan | None:
    """The plan with another base; None where the recipe has errors beside the missing one."""
    if _wrong(compiled.diagnostics):
        return None
    return file.compile(Options(sets=(*sets, STAND_IN))).plan


def _wrong(found: Sequence[Diagnostic]) -> bool:
    """Whether the recipe has errors that keep its rows from being read."""
    return any(item.level == "error" and item.code not in (*FIRST_ROWS, *ABSENT) for item in found)


def _surveyed(plan: Plan, tokenizer: Tokenizer, rows: int) -> Verdict:
    told = job(plan)
    try:
        asked = Asked(told, tokenizer.tokenizer, tokenizer.stops, rows, workers(told))
        with _progress(total_bytes(told)) as advance:
            return verdict(survey(asked, advance), plan, tokenized=tokenizer.tokenizer is not None)
    except DataError as error:
        raise FtcError(str(error), exit_code=USAGE if isinstance(error, FileError) else INVALID) from error
    except ImportError as error:
        raise FtcError(f"the data cannot be read here: {error}", f"pip install {error.name}", MISSING) from error


def _print(
    file: File, compiled: Compiled, found: tuple[Verdict, Tokenizer] | None, form: Format, sets: tuple[str, ...]
) -> None:
    if form == "json":
        from compiler.report.data_json import data_json

        click.echo(data_json(file.name, compiled, found), nl=False)
    elif form == "html" and found:
        from compiler.report.html_data import data_html

        click.echo(data_html(file.name, compiled, *found), nl=False)
    else:
        from compiler.report.data_text import data_text
        from compiler.report.paint import painter

        paint = painter(sys.stderr if form == "html" else sys.stdout)
        text = data_text(compiled, file.sources(sets), found, paint)
        click.echo(text, nl=False, color=paint.on, err=form == "html")


@contextmanager
def _progress(total: int) -> Generator[Advance]:
    """A bar while many rows are read, on a terminal only."""
    if total < LONG or not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=total, label="reading rows", file=sys.stderr) as bar:
        yield bar.update
