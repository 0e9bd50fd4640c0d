"""`ftc lsp`: the language server, over stdio."""

from __future__ import annotations

import logging
import sys

import click

from compiler.errors import FtcError
from compiler.exit import MISSING


@click.command()
@click.option("--stdio", is_flag=True, help="What it does anyway; some editors say so.")
def command(*, stdio: bool) -> None:
    """Serve editors while a recipe is written.

    Memory, refusals and fixes; see docs/editors.md.
    """
    del stdio
    try:
        from compiler.lsp.server import make_server
    except ModuleNotFoundError as error:
        if error.name not in ("pygls", "lsprotocol"):
            raise
        raise FtcError(f"the language server needs {error.name}", "pip install 'ftc[lsp]'", MISSING) from None
    logging.getLogger("pygls").setLevel(logging.ERROR)  # which warns of what editors cancel too late
    if sys.stdin.isatty():
        click.echo("ftc lsp speaks to editors, which start it themselves: docs/editors.md (Ctrl-D ends it)", err=True)
    make_server().start_io()
