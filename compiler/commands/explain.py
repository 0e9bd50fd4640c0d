"""`ftc explain`: what a diagnostic means."""

from __future__ import annotations

from difflib import get_close_matches

import click

from compiler.codes import explain, pages
from compiler.completion.offering import offers
from compiler.errors import FtcError
from compiler.exit import USAGE


@click.command()
@click.argument("code", required=False, shell_complete=offers("codes"))
def command(code: str | None) -> None:
    """Explain a code, with examples; without one, list them all."""
    if code is None:
        click.echo("".join(f"{page.code}  {page.level:7}  {page.title}\n" for page in pages().values()), nl=False)
        return
    text = explain(code)
    if text is None:
        alike = get_close_matches(code.upper(), pages(), n=1)
        hint = f"did you mean {alike[0]}?" if alike else "`ftc explain` lists them all"
        raise FtcError(f'there is no code "{code}"', hint, USAGE)
    click.echo(text.rstrip("\n"))
