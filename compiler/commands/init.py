"""`ftc init`: a first recipe that fits, from a few answers."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, get_args

import click
from msgspec.structs import replace

from compiler.completion.offering import offers
from compiler.errors import FtcError
from compiler.exit import OK, USAGE, of_recipe
from compiler.shape import admitted, arms
from compiler.starting.answers import base_facts, base_seen_from, card, main_memory
from compiler.starting.choosing import Choice, Draft, Wishes, choose, full_instead, name_of, written
from compiler.starting.files import require_free, require_writable, write_new
from compiler.starting.given import Given, asked_leaves, picked
from compiler.starting.recommended import BEST, Pick, choose_recommended
from compiler.starting.refusing import say_misfit, say_refused
from compiler.starting.remarks import remarks
from compiler.starting.rows import Rows, look_at
from schemas.facts import Gpu, ModelFacts
from schemas.recipe import DataFormat, Objective

Answer = TypeVar("Answer")
KINDS = tuple(arms(admitted({}, ("method",))))
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
ATTEMPTS = 5
"""How often a question is asked again."""


@click.command()
@click.option(
    "--model",
    metavar="MODEL",
    shell_complete=offers("models"),
    help="The base: a hub id, a name of `ftc models`, or a folder.",
)
@click.option(
    "--gpu",
    metavar="GPU",
    shell_complete=offers("gpus"),
    help="The card to train on, see `ftc gpus`; else this machine's own.",
)
@click.option(
    "--data",
    metavar="PATH",
    shell_complete=offers("every_file"),
    help="The rows: a file, a pattern, or a dataset of the hub.",
)
@click.option("--data-format", type=click.Choice(get_args(DataFormat)), help="What a row is; else it is looked at.")
@click.option("--objective", type=click.Choice(get_args(Objective)), help="Else what suits the rows.")
@click.option("--method", type=click.Choice(KINDS), metavar="METHOD", help="Else the best of lora and qlora that fits.")
@click.option("--name", metavar="NAME", help="What runs are called; else of model, data and method.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Else NAME.ftc.yaml.")
@click.option("--count", type=click.IntRange(1), help="Cards; 1 if not given.")
@click.option("--max-length", type=click.IntRange(1), metavar="TOKENS", help="Of a row; else 2048.")
@click.option(
    "--from-recommendation",
    is_flag=False,
    flag_value=BEST,
    metavar="[FILE]",
    shell_complete=offers("every_file"),
    help="Take a choice of `ftc recommend`: of its JSON (- reads it from a pipe), else the best for model and card.",
)
@click.option(
    "--choice", type=click.IntRange(1), metavar="N", help="Which of the recommendation's choices; 1 if not given."
)
def command(**flags: object) -> int:
    """Write a first recipe, one that fits.

    On a terminal it asks for what no flag says. The method is chosen by memory, and the reasons stand in the file. The
    schema by which editors complete and check is written beside it. Nothing is ever overwritten.
    """
    given = Given(**{name: value or None for name, value in flags.items()})  # pyright: ignore[reportArgumentType] - click has checked them
    asks = sys.stdin.isatty() and sys.stdout.isatty()
    _check(given)
    given, pick = picked(given)
    if not asks:
        _require(given)
    facts_of = _asked("Base model", given.model, base_facts, default="qwen2.5-1.5b-instruct", about=_models_hint)
    gpu = _gpu(given)
    rows = _asked("Training rows, a file or a hub dataset", given.data, lambda typed: look_at(typed, given.data_format))
    rows = _with_format(rows[1], asks=asks)
    return _start(given, pick, facts_of, gpu, rows, asks=asks)


def _start(given: Given, pick: Pick | None, base: tuple[str, ModelFacts], gpu: Gpu, rows: Rows, *, asks: bool) -> int:
    folder = (given.out or Path("x")).absolute().parent
    typed, facts = base
    wishes = Wishes(
        name=given.name,
        base=base_seen_from(typed, facts, folder),
        facts=facts,
        rows=rows,
        data=rows.seen_from(folder),
        gpu=gpu,
        memory=main_memory(gpu),
        method=given.method,
        objective=given.objective or rows.objective,
        more=asked_leaves(given),
    )
    choice = choose_recommended(pick, wishes, given.count or 1, folder) if pick else choose(wishes, folder)
    if choice.draft.errors:
        return say_refused(choice)
    if not choice.draft.fits:
        return say_misfit(choice)
    out = given.out or _free_name(choice.draft, asks=asks)
    return _write(choice, out, folder)


def _check(given: Given) -> None:
    """What can be known to be wrong before anything is asked."""
    if given.name and not NAME.fullmatch(given.name):
        said = "lower-case letters, digits, '.', '_' and '-', at most 64, beginning with a letter or digit"
        raise click.BadParameter(f"{given.name!r} is not a name: {said}.", param_hint="--name")
    if given.out:
        require_free(given.out)
        if not given.out.absolute().parent.is_dir():
            raise FtcError(f'there is no folder "{given.out.parent}"', "make it first, or name another", USAGE)
    out = given.out or Path("NAME.ftc.yaml")
    require_writable(out.absolute().parent, out)


def _require(given: Given) -> None:
    """Without a terminal: all that has no safe default."""
    said = {"--model": given.model, "--data": given.data}
    if missing := [name for name, value in said.items() if value is None]:
        raise FtcError(
            f"without a terminal to ask on, {' and '.join(missing)} must be given", "see ftc init --help", USAGE
        )


def _asked(
    question: str,
    given: str | None,
    read: Callable[[str], Answer],
    *,
    default: str | None = None,
    about: Callable[[], str] | None = None,
) -> tuple[str, Answer]:
    """What was given, or typed; asked again where it cannot be, with what was probably meant as the new default."""
    if given is not None:
        return given, read(given)
    if about:
        click.echo(about())
    for attempt in range(ATTEMPTS):
        typed = _unquoted(str(click.prompt(question, default=default)).strip())
        try:
            return typed, read(typed)
        except FtcError as error:
            if attempt == ATTEMPTS - 1:
                raise
            click.echo(f"  {error.message}" + (f"\n  {error.hint}" if error.hint else ""))
            meant = re.search(r'did you mean "([^"]+)"', error.hint or "")
            default = meant[1] if meant else default
    raise AssertionError


def _unquoted(typed: str) -> str:
    """Without the quotes in which terminals put the name of a file that is dropped on them."""
    return typed[1:-1] if len(typed) > 1 and typed[0] == typed[-1] and typed[0] in "'\"" else typed


def _models_hint() -> str:
    from compiler.model_catalog import names

    return f"A hub id, a folder, or one of the {len(names())} names of `ftc models`, as llama-3.1-8b-instruct."


def _gpu(given: Given) -> Gpu:
    """The card that was named; else this machine's, offered on a terminal and taken elsewhere."""
    from compiler.hardware import this_machine

    if given.gpu is not None:
        return card(given.gpu)
    own = this_machine()
    known = own.name if own and own.bandwidth else None  # only a card of the catalog can be named in a recipe
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        if known is None:
            raise FtcError("this machine has no card that ftc knows, so --gpu must be given", "see `ftc gpus`", USAGE)
        click.echo(f"for this machine's {known}; --gpu names another")
        return card(known)
    return _asked("GPU", None, card, default=known, about=lambda: "The card to train on, see `ftc gpus`; or cpu.")[1]


def _with_format(rows: Rows, *, asks: bool) -> Rows:
    """The format asked for, where nothing tells it."""
    if rows.format:
        return rows
    if not asks:
        raise FtcError(
            f'what a row of "{rows.path}" is, nothing tells: {rows.because}', "say it with --data-format", USAGE
        )
    click.echo(f"  {rows.because}")
    chosen: DataFormat = click.prompt("What a row is", type=click.Choice(get_args(DataFormat)), default="messages")
    return replace(rows, format=chosen, because="as you said")


def _free_name(draft: Draft, *, asks: bool) -> Path:
    """Where to write; on a terminal another name can be typed."""
    proposed = f"{name_of(draft)}.ftc.yaml"
    if not asks:
        require_free(Path(proposed))
        return Path(proposed)

    def free(typed: str) -> Path:
        require_free(Path(typed))
        if Path(typed).absolute().parent != Path.cwd():
            raise FtcError("a file in another folder is named by --out, as its paths begin there", None, USAGE)
        return Path(typed)

    return _asked("Write to", None, free, default=proposed)[1]


def _write(choice: Choice, out: Path, folder: Path) -> int:
    from compiler.editor_files import BESIDE, comment_lines, write_schema

    schema = out.parent / BESIDE
    head = "\n".join(comment_lines(out, schema)) + "\n"
    text = written(choice.draft, head, remarks(choice, full_instead(choice, folder)))
    _prove(out, text)
    write_new(out, text)
    click.echo(f"wrote {out}")
    try:
        if write_schema(schema):
            click.echo(f"wrote {schema}, by which editors complete and check it")
    except FtcError as error:  # the recipe is there, and right without it
        after = "editors go on with that one" if schema.is_file() else "editors find none; `ftc schema` writes it"
        click.echo(f"{error.message}; {after}", err=True)
    _say_next(choice.draft, out)
    return OK


def _prove(out: Path, text: str) -> None:
    """What is written is compiled once more as it stands: remarks and all."""
    from compiler.build import Options
    from compiler.commands.compiling import File

    compiled = File(str(out), text).compile(Options())
    if of_recipe(compiled.diagnostics, (compiled.footprint,)) != OK:
        found = "; ".join(item.message for item in compiled.diagnostics)
        raise AssertionError(f"the first recipe is not right: {found}\n{text}")


def _say_next(draft: Draft, out: Path) -> None:
    from compiler.report.memory_text import card as named
    from compiler.report.memory_text import verdict_line
    from compiler.report.paint import painter

    paint, compiled = painter(), draft.compiled
    if compiled.footprint:
        click.echo(verdict_line(compiled.footprint, named(compiled.plan), paint), nl=False, color=paint.on)
    for item in compiled.diagnostics:
        click.echo(f"{item.level} {item.code}: {item.message}" + (f"; {item.hint}" if item.hint else ""))
    file = shlex.quote(str(out))
    click.echo(
        f"\nnext:\n  ftc data {file}   # the rows as the model sees them, trained tokens marked\n"
        f"  ftc plan {file}   # what will happen, and what was decided\n"
        f"  ftc run {file}    # train; ftc build --target axolotl and others write for another tool"
    )
