"""`ftc config`: a recipe with every default written out."""

from __future__ import annotations

from pathlib import Path

import click

from compiler.build import Options
from compiler.commands import options
from compiler.commands.compiling import open_file, require_valid
from compiler.completion.offering import offers
from compiler.spell_out import spell_out


@click.command()
@options.recipe
@click.option(
    "--target",
    metavar=options.TARGET,
    callback=options.known_target,
    shell_complete=offers("targets"),
    help="Leave out the defaults that this target has no word for.",
)
@options.sets
def command(*, recipe: str, target: options.Asked | None, sets: tuple[str, ...]) -> None:
    """Write out every default of a recipe.

    What is printed is a recipe again, and means the same.
    """
    file = open_file(recipe)
    asked = Options(target=target.target, version=target.version, sets=sets) if target else Options(sets=sets)
    compiled = file.compile(asked)
    require_valid(file, compiled, sets, err=True)
    if compiled.recipe:
        click.echo(spell_out(compiled, compiled.recipe, Path(recipe).absolute().parent, asked), nl=False)
