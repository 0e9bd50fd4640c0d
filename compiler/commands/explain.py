"""`ftc explain`: what a diagnostic means."""

from __future__ import annotations

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
        meant = f"FTC{''.join(filter(str.isdecimal, code)):0>3}"  # a code with other digits is not like it
        hint = f"did you mean {meant}?" if meant in pages() else "`ftc explain` lists them all"
        raise FtcError(f'there is no code "{code}"', hint, USAGE)
    click.echo(text.rstrip("\n"))
