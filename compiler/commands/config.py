"""`ftc config`: a recipe with every default written out."""

from __future__ import annotations

from pathlib import Path

import click

from compiler.build import Options
from compiler.commands import options
from compiler.commands.compiling import open_file, require_valid
from compiler.spell_out import spell_out


@click.command()
@options.recipe
@options.sets
def command(*, recipe: str, sets: tuple[str, ...]) -> None:
    """Write out every default of a recipe."""
    file = open_file(recipe)
    compiled = file.compile(Options(sets=sets))
    require_valid(file, compiled, sets, err=True)
    if compiled.recipe:
        click.echo(spell_out(compiled, compiled.recipe, Path(recipe).absolute().parent), nl=False)
