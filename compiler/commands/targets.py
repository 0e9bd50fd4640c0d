"""`ftc targets`: what each target can do."""

from __future__ import annotations

import click

from compiler.report.machine import as_json
from compiler.report.matrix import as_markdown, as_matrix_data, as_text, columns


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "md", "json"]), default="text")
def command(form: str) -> None:
    """Show what each target can do.

    Printed from the tables that the compiler itself works by.
    """
    across = columns()
    if form == "json":
        click.echo(as_json(as_matrix_data(across)), nl=False)
    else:
        click.echo(as_markdown(across) if form == "md" else as_text(across), nl=False)
