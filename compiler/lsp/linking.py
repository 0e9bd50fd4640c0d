"""Document links: data files, local bases and templates, and the hub's pages. Nothing is asked of the network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath

from lsprotocol import types as lsp

from compiler.data.files import expand, is_local, place
from compiler.lsp.analysis import Analysis
from compiler.lsp.document import Document, Shift, places_of
from compiler.lsp.ranges import stretch_range
from compiler.lsp.settings import Settings
from compiler.model_catalog import look_up
from compiler.models import HUB_ID
from compiler.shape import at
from schemas.diagnostic import Path

HUB = "https://huggingface.co"


def document_links(document: Document, settings: Settings) -> list[lsp.DocumentLink]:
    """Every value that leads somewhere."""
    analysis = document.readable(settings)
    if analysis is None:
        return []
    shift, places = Shift(analysis.text, document.text), places_of(document)
    found: list[lsp.DocumentLink] = []
    for path, target, tooltip in _links(analysis):
        stretch = analysis.stretch(path)
        ends = [shift.forward(end) for end in stretch] if stretch else [None]
        if target and ends[0] is not None and ends[-1] is not None:
            found.append(lsp.DocumentLink(stretch_range(places, (ends[0], ends[-1])), target=target, tooltip=tooltip))
    return found


def _links(analysis: Analysis) -> Iterator[tuple[Path, str | None, str]]:
    data, folder = analysis.source.data, analysis.file.parent
    for path in _sources(data):
        value = at(data, (*path, "path"))
        if isinstance(value, str) and value:
            yield (*path, "path"), _of_data(value, folder), "open the data"
    for leaf in (("model", "base"), ("model", "tokenizer")):
        value, revision = at(data, leaf), at(data, ("model", "revision"))
        if isinstance(value, str) and value:
            yield leaf, _of_model(value, revision, folder), "open the model"
    template = at(data, ("model", "chat_template"))
    if isinstance(template, str) and template.endswith(".jinja"):
        yield ("model", "chat_template"), _file(template, folder), "open the template"


def _sources(data: object) -> Iterator[Path]:
    for name in ("train", "validation"):
        path = ("data", name)
        value = at(data, path)
        if isinstance(value, dict):
            yield path
        elif isinstance(value, list):
            yield from ((*path, index) for index in range(len(value)))  # pyright: ignore[reportUnknownArgumentType]


def _of_data(value: str, folder: FilePath) -> str | None:
    """A file; of a pattern, the first that matches."""
    if is_local(value):
        files = expand(value, folder)
        return _uri(files[0]) if files else None
    return f"{HUB}/datasets/{value}" if HUB_ID.fullmatch(value) or value.isidentifier() else None


def _of_model(value: str, revision: object, folder: FilePath) -> str | None:
    config = place(f"{value.rstrip('/')}/config.json", folder)
    if value.startswith((".", "/", "~")) or config.is_file():
        return _uri(config) if config.is_file() else None
    listed = look_up(value)
    hub_id = listed.hub_id if listed else value if HUB_ID.fullmatch(value) else None
    tree = f"/tree/{revision}" if isinstance(revision, str) and revision not in ("", "main") else ""
    return f"{HUB}/{hub_id}{tree}" if hub_id else None


def _file(value: str, folder: FilePath) -> str | None:
    path = place(value, folder)
    return _uri(path) if path.is_file() else None


def _uri(path: FilePath) -> str:
    return path.absolute().as_uri()
