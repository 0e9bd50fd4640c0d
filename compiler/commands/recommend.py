"""`ftc recommend`: methods for a model and a card, or base models for a card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, get_args

import click
from click.core import ParameterSource
from msgspec import Struct

from compiler.commands import options
from compiler.completion.offering import offers
from compiler.exit import INVALID, NO_FIT, OK
from schemas.footprint import Stack
from schemas.recipe import Objective

USES = ("edge", "consumer", "datacentre", "multilingual", "quality")
OF_METHODS = ("objective", "max_length", "tokens", "target")
"""Parameters that mean nothing where bases are looked for: each is weighed for instructions in rows of 2,048 tokens."""
MOST_CARDS = 1024
Command = TypeVar("Command", bound=Callable[..., object])


class Asked(Struct, frozen=True):
    """What the flags say."""

    model: str | None
    gpu: str | None
    count: int
    objective: Objective
    max_length: int | None
    tokens: int | None
    target: options.Asked | None
    stack: Stack | None


def asking(command: Command) -> Command:
    """The options that say what is recommended for; `ftc init` has them too."""
    for option in reversed(ASKING):
        command = option(command)
    return command


ASKING = (
    click.option("--count", type=click.IntRange(1, MOST_CARDS), default=1, show_default=True, help="Cards."),
    click.option("--max-length", type=click.IntRange(1), metavar="TOKENS", help="Of a row; else 2048."),
    click.option("--tokens", type=click.IntRange(1), help="Trained tokens of the rows, as `ftc data` counts them."),
)


@click.command()
@click.option(
    "--model", metavar="MODEL", shell_complete=offers("models"), help="A hub id, a name of `ftc models`, or a folder."
)
@click.option("--gpu", metavar="GPU", shell_complete=offers("gpus"), help="See `ftc gpus`; else this machine's own.")
@asking
@click.option("--objective", type=click.Choice(get_args(Objective)), default="sft", show_default=True)
@click.option(
    "--target",
    metavar=options.TARGET,
    callback=options.known_target,
    shell_complete=offers("targets"),
    help="What this one can do; native if not given.",
)
@click.option("--stack", type=click.Choice(get_args(Stack)), help="Whose training code is weighed.")
@click.option("--use", type=click.Choice(USES), help="Without a model: bases for this use alone.")
@click.option("--commercial", is_flag=True, help="Without a model: licences that allow commercial use.")
@click.option("--format", "form", type=click.Choice(["text", "json", "html"]), default="text")
def command(*, use: str | None, commercial: bool, form: str, **flags: object) -> int:
    """Recommend a method for a model, or a base for a card.

    With a model: the methods that fit, best first, each with memory, speed, ranks and why; and what the others would
    need. Without: base models by use. Every figure is of a recipe that is compiled; `ftc init --from-recommendation`
    writes it.
    """
    asked = Asked(**flags)  # pyright: ignore[reportArgumentType] - click has checked them
    if asked.model is None:
        if form == "html":
            raise click.UsageError("the page is of methods: name a model by --model")
        _no_method_asked()
        return _bases(asked, use, commercial=commercial, form=form)
    if use or commercial:
        raise click.UsageError("--use and --commercial choose among base models, and --model names one already")
    return _methods(asked, form)


def _no_method_asked() -> None:
    """A usage error where something is said that the search for a base does not look at."""
    context = click.get_current_context()
    for name in OF_METHODS:
        if context.get_parameter_source(name) == ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} is of methods: name a model by --model")


def _methods(asked: Asked, form: str) -> int:
    from compiler.recommending.asking import wish_for
    from compiler.recommending.methods import recommend

    found = recommend(wish_for(asked, Path.cwd()))
    if form == "json":
        from compiler.report.machine import as_json
        from compiler.report.recommend_data import recommendation_data

        click.echo(as_json(recommendation_data(found)), nl=False)
    elif form == "html":
        from compiler.report.html_recommend import recommendation_html

        click.echo(recommendation_html(found), nl=False)
    else:
        from compiler.report.paint import painter
        from compiler.report.recommend_text import recommendation_text

        paint = painter()
        click.echo(recommendation_text(found, paint), nl=False, color=paint.on)
    if found.choices:
        return OK
    return INVALID if all(item.errors for item in found.others) else NO_FIT


def _bases(asked: Asked, use: str | None, *, commercial: bool, form: str) -> int:
    from compiler.recommending.asking import card_for
    from compiler.recommending.bases import shelves

    card = card_for(asked)
    found = shelves(card, use, commercial=commercial)
    if form == "json":
        from compiler.report.machine import as_json
        from compiler.report.recommend_data import shelves_data

        click.echo(as_json(shelves_data(found, card)), nl=False)
    else:
        from compiler.report.bases_text import shelves_text
        from compiler.report.paint import painter

        paint = painter()
        click.echo(shelves_text(found, card, paint), nl=False, color=paint.on)
    return OK if any(shelf.fits for shelf in found) else NO_FIT
