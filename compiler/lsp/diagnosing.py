"""Findings as an editor's diagnostics."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import isfinite
from typing import Final

from lsprotocol import types as lsp

from compiler.codes import stands
from compiler.exit import ABSENT
from compiler.lsp.analysis import Analysis
from compiler.lsp.ranges import stretch_range
from compiler.overrides import FILE, path_of
from compiler.report.memory_text import size
from compiler.shape import at
from schemas.diagnostic import Diagnostic, Path, dotted

SHAPES: Final = ("FTC101", "FTC102", "FTC103", "FTC104")
"""What a schema beside us says too."""
RENAMED: Final = ("this is called", "it follows", "belongs")
"""Words of a hint that a schema has not: the key is known, by another name or in another place."""
SEVERITIES: Final = {"error": lsp.DiagnosticSeverity.Error, "warning": lsp.DiagnosticSeverity.Warning}
_PARTS: Final[tuple[tuple[Path, tuple[str, ...]], ...]] = (
    (("model", "base"), ("weights",)),
    (("method", "kind"), ("adapters",)),
    (("data", "max_length"), ("activations", "logits")),
    (("training",), ("gradients", "optimizer")),
)
"""The lines that decide how large parts of the memory are."""


def diagnostics(analysis: Analysis, uri: str) -> list[lsp.Diagnostic]:
    """What `ftc validate` finds, but for what a schema beside us says, and the memory verdict where it is no good."""
    found = [item for item in analysis.findings if analysis.settings.alone or not said_by_schema(analysis, item)]
    said = [_diagnostic(analysis, item, uri) for item in found]
    return [*said, *(_misfit(analysis, item, uri) for item in analysis.misfits)]


def said_by_schema(analysis: Analysis, item: Diagnostic) -> bool:
    """Whether a schema says the same. It knows no other tools' names; to it 2.0 is an integer and an infinity a number,
    and `quantization` a leaf of lora, which shares its section with qlora."""
    if item.code == "FTC102":
        return not any(words in (item.hint or "") for words in RENAMED)
    path = path_of(item.path)
    value = at(analysis.source.data, path) if path else None
    odd = isinstance(value, float) and (not isfinite(value) or value.is_integer())
    return item.code in SHAPES and not odd and item.path != "method.quantization"


def place_of(analysis: Analysis, item: Diagnostic) -> tuple[int, int]:
    """The stretch of a finding; what a setting of the editor overrides stands at its own line of the recipe."""
    if item.file != FILE:
        return analysis.places.stretch(item.span)
    for path in (tuple(item.path.split(".")), ("hardware",)):
        found = analysis.stretch(path, key=path == ("hardware",))
        if found:
            return found
    return 0, 0


def misfit_place(analysis: Analysis) -> tuple[int, int]:
    """The line that the memory verdict is about: the card's, else the method's."""
    tries = ((("hardware", "gpu"), False), (("method", "kind"), False), (("method",), True), (("model",), True))
    return next((found for path, key in tries if (found := analysis.stretch(path, key=key))), (0, 0))


def _diagnostic(analysis: Analysis, item: Diagnostic, uri: str) -> lsp.Diagnostic:
    severity = SEVERITIES[item.level]
    if item.code in ABSENT and "offline" in item.message:  # the editor asks no network, the command line may
        severity = lsp.DiagnosticSeverity.Information
    return lsp.Diagnostic(
        range=stretch_range(analysis.places, place_of(analysis, item)),
        message=item.message if item.hint is None else f"{item.message}\n{item.hint}",
        severity=severity,
        code=item.code,
        code_description=_page(item.code),
        source="ftc",
        related_information=list(_related(analysis, item, uri)) or None,
        data={"path": item.path},
    )


def _misfit(analysis: Analysis, item: Diagnostic, uri: str) -> lsp.Diagnostic:
    place = misfit_place(analysis)
    return lsp.Diagnostic(
        range=stretch_range(analysis.places, place),
        message=f"{item.message}\n{_first_fix(analysis) or item.hint}",
        severity=SEVERITIES[item.level],
        code=item.code,
        code_description=_page(item.code),
        source="ftc",
        related_information=list(_largest(analysis, uri)) or None,
        data={"path": item.path},
    )


def _first_fix(analysis: Analysis) -> str | None:
    """What helps best, so that a hover over the squiggle says it."""
    from compiler.lsp.fix_words import fix_title

    return f"what helps: {fix_title(analysis.fixes[0])}" if analysis.fixes else None


def _largest(analysis: Analysis, uri: str) -> Iterator[lsp.DiagnosticRelatedInformation]:
    """The lines that take the most."""
    if analysis.footprint is None:
        return
    for path, names in _PARTS:
        amount = sum(getattr(analysis.footprint.parts, name) for name in names)
        place = analysis.stretch(path, key=True) or analysis.stretch(path[:1], key=True)
        if place and amount * 10 > analysis.footprint.device:
            where = lsp.Location(uri, stretch_range(analysis.places, place))
            yield lsp.DiagnosticRelatedInformation(where, f"{' and '.join(names)}: {size(amount)}")


_OTHERS: Final[dict[str, Path]] = {
    **dict.fromkeys(("FTC205", "FTC213", "FTC216"), ("method", "kind")),
    **dict.fromkeys(("FTC206", "FTC207", "FTC215"), ("model", "base")),
    "FTC208": ("method", "freeze"),
    "FTC251": ("training", "epochs"),
}
"""Of findings about two leaves: the other one."""


def _related(analysis: Analysis, item: Diagnostic, uri: str) -> Iterator[lsp.DiagnosticRelatedInformation]:
    path = _OTHERS.get(item.code)
    if item.code == "FTC002":
        place = analysis.source.place(item.path)
        found = analysis.places.stretch(place.key) if place and place.key else None
    else:
        found = analysis.stretch(path, key=True) if path else None
    if found:
        where = lsp.Location(uri, stretch_range(analysis.places, found))
        yield lsp.DiagnosticRelatedInformation(where, dotted(path) if path else "where it was set first")


@cache
def _page(code: str) -> lsp.CodeDescription | None:
    """The page of the code, as it was installed."""
    found = stands(code)
    return lsp.CodeDescription(f"{found[0].as_uri()}#L{found[1]}") if found else None
