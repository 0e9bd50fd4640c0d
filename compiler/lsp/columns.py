"""The columns of a source's rows, from its first."""

from __future__ import annotations

from compiler.data.files import expand, is_local
from compiler.data.recognise import first_rows
from compiler.lsp.analysis import Analysis
from compiler.shape import at
from schemas.diagnostic import Path
from schemas.recipe import Fields


def columns_of(known: Analysis, source: Path) -> tuple[str, ...]:
    """Of the first file that has a row; empty for a dataset of the hub."""
    path = at(known.source.data, (*source, "path"))
    if not isinstance(path, str) or not is_local(path):
        return ()
    found = first_rows(expand(path, known.file.parent), Fields())
    return next((row.columns for _, row in found if row.columns), ())
