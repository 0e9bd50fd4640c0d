"""`ftc schema`: the JSON Schema by which editors complete and check a recipe."""

from __future__ import annotations

from pathlib import Path

import click

from compiler.report.machine import as_json
from schemas.json_schema import recipe_schema


@click.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write it here instead of printing it.")
def command(out: Path | None) -> None:
    """Print the recipe's JSON Schema, for editors."""
    text = as_json(recipe_schema())
    if out is None:
        click.echo(text, nl=False)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
