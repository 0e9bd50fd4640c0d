"""`ftc explain`: what a diagnostic means."""

from __future__ import annotations

from difflib import get_close_matches

import click

from compiler.codes import explain, pages
from compiler.errors import FtcError
from compiler.exit import USAGE


@click.command()
@click.argument("code")
def command(code: str) -> None:
    """Explain a code, with examples."""
    text = explain(code)
    if text is None:
        alike = get_close_matches(code.upper(), pages(), n=1)
        hint = f"did you mean {alike[0]}?" if alike else "the codes are in docs/codes.md"
        raise FtcError(f'there is no code "{code}"', hint, USAGE)
    click.echo(text.rstrip("\n"))
