"""`ftc targets`: what each target can do."""

from __future__ import annotations

import click

from compiler.report.machine import as_json
from compiler.report.matrix import as_markdown, as_matrix_data, as_text, columns
from compiler.report.provider_matrix import as_providers_data, markdown_leaves, sides
from compiler.report.provider_matrix import as_text as providers_text


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "md", "json"]), default="text")
def command(form: str) -> None:
    """Show what each target can do.

    Printed from the tables that the compiler itself works by.
    """
    across = columns()
    md = form == "md"
    text = f"{as_markdown(across)}\n{markdown_leaves(sides())}" if md else as_text(across) + providers_text(sides())
    if form == "json":
        click.echo(as_json({**as_matrix_data(across), "providers": as_providers_data(sides())}), nl=False)
    else:
        click.echo(text, nl=False)
