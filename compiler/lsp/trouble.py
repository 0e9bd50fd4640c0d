"""A bug of ours while an editor waits: kept in a log, shown once, and the editor goes on."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer

from compiler.errors import log_bug


class Trouble:
    """What went wrong already is not shown again: it would come with every keystroke."""

    def __init__(self, server: LanguageServer) -> None:
        self.server = server
        self.shown = set[str]()

    @contextmanager
    def caught(self) -> Generator[None, None, None]:
        """Keep what fails inside from the editor, but for one message."""
        try:
            yield
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            if what not in self.shown:
                self.shown.add(what)
                message = f"ftc failed, which is a bug: {what}; please report it with {log_bug()} and the recipe"
                self.server.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Error, message))
