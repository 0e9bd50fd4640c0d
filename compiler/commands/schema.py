"""`ftc schema`: the JSON Schema by which editors complete and check a recipe."""

from __future__ import annotations

from pathlib import Path

import click

from compiler.editor_files import BESIDE, add_lines, comment_lines, schema_text, write_schema


@click.command()
@click.argument(
    "recipes", nargs=-1, metavar="[RECIPE]...", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it here instead of printing it.")
def command(recipes: tuple[Path, ...], out: Path | None) -> None:
    """Print the recipe's JSON Schema, for editors.

    With RECIPE: write it to .ftc/ beside each (or to --out), and name it in the recipe's first lines.
    """
    for recipe in recipes:
        _bind(recipe, out or recipe.parent / BESIDE)
    if recipes:
        return
    if out is None:
        click.echo(schema_text(), nl=False)
        return
    _write(out)
    click.echo("In a recipe of this folder, the first lines are then:\n")
    click.echo("\n".join(comment_lines(Path("recipe.ftc.yaml"), out)))


def _write(schema: Path) -> None:
    changed = write_schema(schema)
    click.echo(f"{schema}: {'written' if changed else 'as it was'}")


def _bind(recipe: Path, schema: Path) -> None:
    _write(schema)
    added = add_lines(recipe, schema)
    click.echo(f"{recipe}: {'names it now' if added else 'names a schema already'}")
