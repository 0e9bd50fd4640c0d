"""`ftc chat`: ask a finished run."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, cast

import click

from compiler.after.finished import find_run, require_packages
from compiler.commands import options
from compiler.errors import FtcError
from compiler.exit import INTERRUPTED, OK, USAGE

if TYPE_CHECKING:  # loads torch
    from compiler.after.talk import Talk

WAYS = "Ctrl-C breaks an answer off, Ctrl-D ends, /new begins anew"


STEERING = dict.fromkeys((*range(32), *range(127, 160)), "·") | {ord(kept): kept for kept in "\n\t"}
"""Characters that steer a terminal, as they are shown there."""
COLDEST, HOTTEST = 0.01, 100.0
"""Temperatures by which answers can be drawn: with a lower one logits are divided into what is no number."""
LAST_SEED = (1 << 63) - 1


def _no_fraction_of_nothing(_: click.Context, __: click.Parameter, value: float) -> float:
    if value and not COLDEST <= value <= HOTTEST:
        raise click.BadParameter(f"0, or from {COLDEST} to {HOTTEST:g}")
    return value


@click.command(short_help="Ask what was trained.")
@options.run
@click.option("--prompt", metavar="TEXT", help="Answer this and end.")
@click.option("--base", is_flag=True, help="Let the untouched base answer, to compare.")
@click.option("--system", metavar="TEXT", help='Instead of the recipe\'s data.system; "" for none.')
@click.option(
    "--temperature",
    type=click.FloatRange(0, HOTTEST),
    callback=_no_fraction_of_nothing,
    default=0.0,
    show_default=True,
    help="0: the likeliest answer.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, LAST_SEED),
    default=0,
    show_default=True,
    help="With --temperature: the same answers again.",
)
@click.option("--max-new-tokens", type=click.IntRange(1), default=512, show_default=True, help="Longest answer.")
@options.device
def command(
    *,
    run: str,
    prompt: str | None,
    base: bool,
    system: str | None,
    temperature: float,
    seed: int,
    max_new_tokens: int,
    device: options.Device,
) -> int:
    """Ask what was trained, with the chat template and system message of its run.

    On a terminal it is a conversation. Elsewhere each line of standard input is a question of its own.
    """
    found = find_run(run)
    if prompt is None and sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison] (it is, where it is closed)
        raise FtcError("there is no standard input to read questions from", "ask by --prompt TEXT", USAGE)
    if system is not None and found.plan["model"]["chat_template"] is None:
        raise FtcError(f"{found.name} has no chat template, so no place for --system", "leave it out", USAGE)
    require_packages()
    from compiler.after.loading import device_of, explained
    from compiler.after.talk import Manner, Talk

    with explained():
        manner = Manner(system, temperature, seed, max_new_tokens)
        talk = Talk(found, device_of(device), manner, untouched=base)
        if prompt is not None:
            return _each(talk, [prompt])
        if sys.stdin.isatty() and sys.stdout.isatty():
            who = f"the base of {found.name}" if base else found.name
            click.echo(f"{who}, {found.plan['model']['base']}. {WAYS}.", err=True)
            return _conversation(talk)
        return _each(talk, _lines())


def _lines() -> Iterator[str]:
    """Of standard input, those that say something."""
    lines = (line.decode(errors="replace").strip() for line in sys.stdin.buffer)
    return (line for line in lines if line)


def _each(talk: Talk, questions: Iterable[str]) -> int:
    """Questions that have nothing to do with each other, each answer in lines of its own."""
    for question in questions:
        talk.anew()
        talk.ask(question, _tell)
        click.echo()
    return OK


def _conversation(talk: Talk) -> int:
    with suppress(ImportError):  # lines can be edited where it is there
        import_module("readline")
    if isinstance(typed := cast("object", sys.stdin), io.TextIOWrapper):
        typed.reconfigure(errors="replace")
    while True:
        try:
            said = input("> ").strip()
        except EOFError:
            click.echo()
            return OK
        except KeyboardInterrupt:
            click.echo()
            return INTERRUPTED
        if said == "/new":
            talk.anew()
        elif said:
            _turn(talk, said)


def _turn(talk: Talk, said: str) -> None:
    try:
        talk.ask(said, _tell)
    except KeyboardInterrupt:
        click.echo(" …", nl=False)
    except FtcError as error:
        click.echo(f"{error.message}. {error.hint or ''}", nl=False, err=True)
    click.echo()


def _tell(piece: str) -> None:
    """As it comes; a terminal is not steered by a model."""
    click.echo(piece.translate(STEERING) if sys.stdout.isatty() else piece, nl=False)
    sys.stdout.flush()
