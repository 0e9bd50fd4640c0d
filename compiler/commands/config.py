"""`ftc config`: a recipe with every default written out."""

from __future__ import annotations

from pathlib import Path

import click

from compiler.commands import options, providers
from compiler.commands.compiling import open_file, require_valid
from compiler.completion.offering import offers
from compiler.spell_out import spell_out


@click.command()
@options.recipe
@click.option(
    "--target",
    metavar=providers.ANY,
    callback=providers.any_target,
    shell_complete=offers("targets", with_providers=True),
    help="Leave out the defaults that this target has no word for.",
)
@options.sets
def command(*, recipe: str, target: providers.Asked | None, sets: tuple[str, ...]) -> None:
    """Write out every default of a recipe.

    What is printed is a recipe again, and means the same.
    """
    file = open_file(recipe)
    asked = providers.asking(target, sets=sets)
    compiled = file.compile(asked)
    if not compiled.hosted or not compiled.valid:
        require_valid(file, compiled, sets, err=True)
    if compiled.recipe:
        click.echo(spell_out(compiled, compiled.recipe, Path(recipe).absolute().parent, asked), nl=False)
