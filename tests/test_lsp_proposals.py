"""What `ftc lsp` makes of hints: of each kind of words an edit, and of the others none."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.lsp.analysis import Analysis, analyse
from compiler.lsp.proposals import proposals
from compiler.lsp.settings import Settings
from compiler.source import parse

BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
FOR_PEOPLE = {
    *("FTC001", "FTC002", "FTC003", "FTC005", "FTC007", "FTC008"),  # the text itself
    *("FTC011", "FTC506", "FTC507"),  # nothing alike is known
    *("FTC101", "FTC212", "FTC218", "FTC238", "FTC260"),  # a choice or a number that only a person can make
    *("FTC204", "FTC241", "FTC243", "FTC244", "FTC245"),  # about other files, another base, the rows
    *("FTC281", "FTC503", "FTC413"),
}
"""Codes of the corpus whose hints name nothing that could be written. A code that gets an action leaves this list."""


def looked_at(file: Path) -> Analysis:
    return analyse(file, file.read_text(encoding="utf-8"), Settings(), "utf-16")


def test_every_hint_that_names_an_edit_has_one() -> None:
    """So a hint whose words change does not lose its action unnoticed."""
    codes, acting = set[str](), set[str]()
    for file in BAD:
        analysis = looked_at(file)
        for item in analysis.findings:
            codes.add(item.code)
            acting |= {item.code} if any(proposals(analysis, item)) else set()
    assert codes - acting <= FOR_PEOPLE
    assert len(acting) >= 45


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_an_edit_mends_its_finding_and_is_yaml(file: Path) -> None:
    analysis = looked_at(file)
    for item in analysis.findings:
        for proposal in proposals(analysis, item):
            after = analyse(file, proposal.text, Settings(), "utf-16")
            assert parse(proposal.text, "").data is not None
            assert (item.code, item.path) not in {(found.code, found.path) for found in after.findings}
            comments = [line for line in analysis.text.splitlines() if line.startswith("#")]
            assert [line for line in proposal.text.splitlines() if line.startswith("#")] == comments
