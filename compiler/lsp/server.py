"""The server: requests of an editor, answered from what is known of each open recipe."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar, cast
from urllib.parse import unquote

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from compiler.lsp.acting import code_actions
from compiler.lsp.completing import complete
from compiler.lsp.diagnosing import diagnostics
from compiler.lsp.document import Document
from compiler.lsp.hinting import inlay_hints
from compiler.lsp.hovering import hover
from compiler.lsp.linking import document_links
from compiler.lsp.settings import SECTION, Settings, read_settings
from compiler.lsp.trouble import Trouble
from compiler.text_places import Encoding
from schemas.version import VERSION

PAUSE: Final = 0.1
"""Seconds without another keystroke after which findings are told."""
WATCHED: Final = "**/*.{jsonl,json,csv,parquet,txt,gz,zst,jinja}"
TRIGGERS: Final = ["/", ":", " ", '"', "'", "[", ",", "-", "~", "."]
Result = TypeVar("Result")


class Server(LanguageServer):
    """Open recipes and the editor's settings. Texts come whole: the positions of partial ones are counted in lines
    that the protocol has not (pygls breaks them at U+2028 too)."""

    def __init__(self) -> None:
        super().__init__("ftc", VERSION, lsp.TextDocumentSyncKind.Full)  # pyright: ignore[reportUnknownMemberType]
        self.settings = Settings()
        self.given: object = None
        """What the editor began with."""
        self.taken: object = None
        """What `settings` were read from."""
        self.documents: dict[str, Document] = {}
        self.waiting: dict[str, asyncio.TimerHandle] = {}
        self.trouble = Trouble(self)

    def document(self, uri: str) -> Document | None:
        """An open recipe."""
        return self.documents.get(uri)

    def take(self, item: lsp.TextDocumentItem) -> None:
        """A recipe was opened."""
        encoding = cast("Encoding", _value(self.workspace.position_encoding) or "utf-16")
        edits = self.client_capabilities.workspace and self.client_capabilities.workspace.workspace_edit
        document = Document(item.uri, self._file(item.uri), encoding, versioned=bool(edits and edits.document_changes))
        document.change(item.text, item.version)
        self.documents[item.uri] = document

    def _file(self, uri: str) -> Path:
        """Where it lies; one that was never saved lies in the workspace."""
        path = to_fs_path(uri) if uri.startswith("file:") else None
        if path:
            return Path(path).absolute()
        root = self.workspace.root_path
        return Path(root or ".").absolute() / (unquote(uri.rpartition("/")[2].rpartition(":")[2]) or "recipe")

    def tell(self, uri: str) -> None:
        """Publish what is found in the version that is open now."""
        self.waiting.pop(uri, None)
        document = self.documents.get(uri)
        if document is None:
            return
        with self.trouble.caught():
            found = diagnostics(document.analysis(self.settings), uri) if document.is_recipe else []
            self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, found, document.version))

    def tell_soon(self, uri: str) -> None:
        """The same once nothing was typed for a moment; what waits already is for an older version."""
        self.keep_silent(uri)
        self.waiting[uri] = asyncio.get_running_loop().call_later(PAUSE, self.tell, uri)

    def keep_silent(self, uri: str) -> None:
        """Nothing that waits is told."""
        waiting = self.waiting.pop(uri, None)
        if waiting:
            waiting.cancel()

    def look_again(self) -> None:
        """What lies around the recipes, or a setting, is another."""
        for uri, document in self.documents.items():
            document.forget()
            self.tell_soon(uri)
        hints = self.client_capabilities.workspace and self.client_capabilities.workspace.inlay_hint
        if hints and hints.refresh_support:
            self.workspace_inlay_hint_refresh(None)

    def configure(self, given: object) -> None:
        """Take settings; what is wrong with them is shown once."""
        self.taken = given
        self.settings, wrong = read_settings(given)
        for message in wrong:
            self.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Warning, f"ftc: {message}"))

    def answer(self, uri: str, ask: Callable[[Document, Settings], Result]) -> Result | None:
        """An answer about an open recipe; None where there is none, and of other files."""
        document = self.documents.get(uri)
        if document is None or not document.is_recipe:
            return None
        with self.trouble.caught():
            return ask(document, self.settings)
        return None


def _value(kind: object) -> str | None:
    return cast("str | None", getattr(kind, "value", kind))


def make_server() -> Server:
    """A server that answers everything it says it can."""
    server = Server()
    _follow_texts(server)
    _follow_settings(server)
    _answer_requests(server)
    return server


def _follow_texts(server: Server) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: lsp.DidOpenTextDocumentParams) -> None:
        server.take(params.text_document)
        server.tell(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: lsp.DidChangeTextDocumentParams) -> None:
        document = server.document(params.text_document.uri)
        if document and params.content_changes:
            document.change(params.content_changes[-1].text, params.text_document.version)
            server.tell_soon(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    def saved(_: lsp.DidSaveTextDocumentParams) -> None:
        server.look_again()

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def moved(_: lsp.DidChangeWatchedFilesParams) -> None:
        server.look_again()

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: lsp.DidCloseTextDocumentParams) -> None:
        server.keep_silent(params.text_document.uri)
        server.documents.pop(params.text_document.uri, None)
        server.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(params.text_document.uri, []))


def _follow_settings(server: Server) -> None:
    @server.feature(lsp.INITIALIZE)
    def begin(params: lsp.InitializeParams) -> None:
        server.given = params.initialization_options  # read once the editor takes messages

    @server.feature(lsp.INITIALIZED)
    def ready(_: lsp.InitializedParams) -> None:
        server.configure(server.given)
        _register(server)
        _pull(server, None)

    @server.feature(lsp.WORKSPACE_DID_CHANGE_CONFIGURATION)
    def configured(params: lsp.DidChangeConfigurationParams) -> None:
        _pull(server, params.settings)


def _register(server: Server) -> None:
    """Ask to be told of files beside the recipes."""
    workspace = server.client_capabilities.workspace
    watches = workspace and workspace.did_change_watched_files
    if watches and watches.dynamic_registration:
        options = lsp.DidChangeWatchedFilesRegistrationOptions([lsp.FileSystemWatcher(WATCHED)])
        asked = lsp.Registration("ftc-files", lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES, options)
        server.client_register_capability(lsp.RegistrationParams([asked]))


def _pull(server: Server, sent: object) -> None:
    """Ask for the settings; an editor that cannot be asked sent them, or has none: those of the start hold."""

    def take(given: object) -> None:
        if (chosen := given or server.given) != server.taken:
            server.configure(chosen)
            server.look_again()

    def answered(found: Sequence[object] | None) -> None:
        take((found[0] if found else None) or sent)

    workspace = server.client_capabilities.workspace
    if workspace and workspace.configuration:
        params = lsp.ConfigurationParams([lsp.ConfigurationItem(section=SECTION)])
        server.workspace_configuration(params, answered)
    else:
        take(sent)


def _answer_requests(server: Server) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=TRIGGERS))
    def completed(params: lsp.CompletionParams) -> lsp.CompletionList | None:
        return server.answer(params.text_document.uri, lambda one, said: complete(one, said, params.position))

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    def hovered(params: lsp.HoverParams) -> lsp.Hover | None:
        return server.answer(params.text_document.uri, lambda one, said: hover(one, said, params.position))

    @server.feature(lsp.TEXT_DOCUMENT_INLAY_HINT)
    def hinted(params: lsp.InlayHintParams) -> list[lsp.InlayHint] | None:
        return server.answer(params.text_document.uri, lambda one, said: inlay_hints(one, said, params.range))

    @server.feature(
        lsp.TEXT_DOCUMENT_CODE_ACTION, lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix])
    )
    def acted(params: lsp.CodeActionParams) -> list[lsp.CodeAction] | None:
        return server.answer(params.text_document.uri, lambda one, said: code_actions(one, said, params))

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_LINK)
    def linked(params: lsp.DocumentLinkParams) -> list[lsp.DocumentLink] | None:
        return server.answer(params.text_document.uri, document_links)
