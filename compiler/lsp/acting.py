"""Code actions: what findings propose, and the changes after which a run fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lsprotocol import types as lsp

from compiler.lsp.analysis import Analysis
from compiler.lsp.diagnosing import misfit_place, place_of
from compiler.lsp.document import Document, places_of
from compiler.lsp.fix_words import fix_title
from compiler.lsp.proposals import proposals
from compiler.lsp.ranges import text_edits
from compiler.lsp.settings import Settings
from compiler.overrides import path_of
from compiler.yaml_edit import SECTIONS, edits_between, set_leaves
from schemas.diagnostic import Diagnostic


def code_actions(document: Document, settings: Settings, params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
    """What can be done about the lines that the editor asks about."""
    analysis = document.analysis(settings)
    if not analysis.readable or not _wanted(params.context.only):
        return []
    lines = params.range.start.line, params.range.end.line
    found = [item for item in analysis.findings if _touches(analysis, place_of(analysis, item), lines)]
    actions = [action for item in found for action in _of_finding(document, analysis, item, params)]
    if analysis.misfits and _touches(analysis, misfit_place(analysis), lines):
        actions += _of_misfit(document, analysis, params)
    return actions


def _wanted(only: Sequence[lsp.CodeActionKind | str] | None) -> bool:
    return only is None or any(str(_word(kind)) in ("", "quickfix") for kind in only)


def _word(kind: lsp.CodeActionKind | str) -> str:
    return kind.value if isinstance(kind, lsp.CodeActionKind) else kind


def _touches(analysis: Analysis, stretch: tuple[int, int], lines: tuple[int, int]) -> bool:
    first, last = (analysis.places.editor(offset)[0] for offset in stretch)
    return first <= lines[1] and lines[0] <= last


def _of_finding(
    document: Document, analysis: Analysis, item: Diagnostic, params: lsp.CodeActionParams
) -> Iterator[lsp.CodeAction]:
    about = [said for said in params.context.diagnostics if said.code == item.code and _about(said, item)]
    first = True
    for proposal in proposals(analysis, item):
        yield _action(document, proposal.title, proposal.text, about, preferred=proposal.sure and first)
        first = False


def _of_misfit(document: Document, analysis: Analysis, params: lsp.CodeActionParams) -> Iterator[lsp.CodeAction]:
    codes = {item.code for item in analysis.misfits}
    about = [said for said in params.context.diagnostics if said.code in codes]
    elsewhere = analysis.settings.asked[0].gpu is not None
    for number, fix in enumerate(analysis.fixes):
        if elsewhere and "hardware.gpu" in fix.set:  # the editor's setting would still say another card
            continue
        paths = {path_of(path): value for path, value in fix.set.items()}
        text = set_leaves(analysis.text, {path: value for path, value in paths.items() if path}, SECTIONS)
        if text is not None and text != analysis.text:
            yield _action(document, f"Set {fix_title(fix)}", text, about, preferred=number == 0)


def _about(said: lsp.Diagnostic, item: Diagnostic) -> bool:
    return said.message.startswith(item.message)


def _action(
    document: Document, title: str, text: str, about: list[lsp.Diagnostic], *, preferred: bool
) -> lsp.CodeAction:
    places = places_of(document)
    edits = text_edits(places, edits_between(document.text, text))
    if document.versioned:  # so that an editor refuses it where the text went on
        where = lsp.OptionalVersionedTextDocumentIdentifier(uri=document.uri, version=document.version)
        change = lsp.WorkspaceEdit(document_changes=[lsp.TextDocumentEdit(where, list(edits))])
    else:
        change = lsp.WorkspaceEdit(changes={document.uri: edits})
    return lsp.CodeAction(
        title=title,
        kind=lsp.CodeActionKind.QuickFix,
        diagnostics=about or None,
        is_preferred=preferred or None,
        edit=change,
    )
