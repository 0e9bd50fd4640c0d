"""Why no first recipe is written."""

from __future__ import annotations

import click

from compiler.exit import INVALID, NO_FIT
from compiler.starting.choosing import Choice, refused


def say_refused(choice: Choice) -> int:
    """The answers do not go together; nothing is written."""
    for item in refused(choice.tried):
        click.echo(f"{click.style('error', fg='red', bold=True)} {item.code}: {item.message}", err=True)
        if item.hint:
            click.echo(f"  {item.hint}", err=True)
    click.echo("nothing was written", err=True)
    return INVALID


def say_misfit(choice: Choice) -> int:
    """Nothing fits; what would."""
    draft = choice.draft
    click.echo(f"nothing fits {draft.wishes.gpu.name}, and nothing was written:", err=True)
    for item in choice.tried:
        said = f"needs up to {item.need}" if item.need else item.errors[0].message if item.errors else "is not known"
        click.echo(f"  {item.method}: {said}", err=True)
    for fix in choice.fixes:
        changes = ", ".join(f"{path}={value}" for path, value in fix.set.items())
        click.echo(f"  it would fit with {changes}: {fix.costs}", err=True)
    click.echo("name a larger card with --gpu, or a smaller base; `ftc plan --gpu all` compares cards", err=True)
    return NO_FIT
