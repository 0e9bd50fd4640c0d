"""Reports: what is underlined, what is escaped, what the bar shows."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from compiler.report.github import github
from compiler.report.memory_text import memory_text, verdict_line
from compiler.report.paint import Paint
from compiler.report.table import table
from compiler.report.text import diagnostics_text, summary
from schemas.diagnostic import Diagnostic, Span
from schemas.facts import GIB
from schemas.footprint import Footprint, Live, Parts, Phases

PLAIN = Paint(on=False)
COLOUR = Paint(on=True)
PARTS = Parts(6 * GIB, 0, 0, 0, 3 * GIB, 0, 0, GIB, 0)
FOOTPRINT = Footprint(
    stack="native",
    verdict="fits",
    capacity=20 * GIB,
    allocated=9 * GIB,
    reserved=9 * GIB,
    device=10 * GIB,
    low=9 * GIB,
    high=11 * GIB,
    method="formula",
    confidence="high",
    phases=Phases(6 * GIB, 9 * GIB, 0, 0, 0),
    parts=PARTS,
    host_ram=GIB,
    because=(),
)


def at(line: int, column: int, end_line: int, end_column: int, **more: str) -> Diagnostic:
    return Diagnostic(
        code="FTC102",
        level="error",
        message=more.get("message", "wrong"),
        file=more.get("file", "a.yaml"),
        span=Span(line, column, end_line, end_column),
        path="x",
        hint=more.get("hint"),
    )


def shown(line: str, found: Diagnostic) -> list[str]:
    """The source line and the carets, without what stands before the bars."""
    text = diagnostics_text([found], {found.file: [line]}, PLAIN)
    return [row.partition("| ")[2] for row in text.splitlines()[1:]]


def test_the_stretch_is_underlined() -> None:
    text = diagnostics_text(
        [at(4, 3, 4, 7, hint='did you mean "rank"?')], {"a.yaml": ["", "", "", "  rnak: 16"]}, PLAIN
    )
    assert text == 'a.yaml:4:3: error FTC102: wrong\n  4 |   rnak: 16\n    |   ^^^^ did you mean "rank"?\n'


@pytest.mark.parametrize(
    ("line", "span", "carets"),
    [
        ("名前: x", (1, 5, 1, 6), "      ^"),
        ("e\u0301a: x", (1, 3, 1, 4), " ^"),
        ("\tkey: x", (1, 2, 1, 5), " ^^^"),
        ("key:", (1, 5, 1, 5), "    ^"),
        ("key: [", (1, 6, 3, 2), "     ^"),
    ],
    ids=["wide", "combining", "tab", "empty", "several lines"],
)
def test_carets_stand_under_what_they_mean(line: str, span: tuple[int, int, int, int], carets: str) -> None:
    assert shown(line, at(*span))[1] == carets


def test_of_a_long_line_the_part_around_is_shown() -> None:
    line = "x" * 5000 + "HERE" + "y" * 5000
    source, carets = shown(line, at(1, 5001, 1, 5005))
    start = len(carets) - 4
    assert len(source) <= 120
    assert source[start:].startswith("HERE")


def test_nothing_in_a_recipe_steers_the_terminal() -> None:
    text = diagnostics_text([at(1, 1, 1, 2, message="bad \x1b[2J", hint="\x07")], {"a.yaml": ["a\x1b[31m"]}, PLAIN)
    assert "\x1b" not in text
    assert "\x07" not in text


def test_a_finding_about_an_option_shows_the_option() -> None:
    text = diagnostics_text([at(2, 3, 2, 4, file="--set")], {"--set": ["a=1", "b=x"]}, PLAIN)
    assert text == "--set: error FTC102: wrong\n  2 | b=x\n    |   ^\n"


def test_annotations_are_escaped() -> None:
    assert github([at(1, 2, 1, 5, file="a,b:c.yaml", message="100 %\nor so", hint="fix")]) == (
        "::error file=a%2Cb%3Ac.yaml,line=1,endLine=1,col=2,endColumn=4,title=FTC102::100 %25%0Aor so%0Afix\n"
    )
    assert "col=" not in github([at(1, 2, 3, 5)])


def test_the_bar_is_the_card() -> None:
    first, bar, legend = memory_text(FOOTPRINT, "rtx-3090", PLAIN).splitlines()
    assert first == "memory: fits rtx-3090: about 10.0 of 20.0 GiB (9.0 to 11.0; high confidence, by formula, native)"
    assert bar == "  [" + "w" * 18 + "a" * 9 + "c" * 3 + "." * 30 + "]"
    assert legend == "  w weights 6.0 · a activations 3.0 · c context 1.0 · GiB"


def test_where_it_does_not_fit_the_card_ends_inside_the_bar() -> None:
    text = memory_text(replace(FOOTPRINT, verdict="does_not_fit", capacity=5 * GIB), "t4", PLAIN)
    assert "does not fit t4: about 10.0 of 5.0 GiB, up to 6.0 GiB too much" in text
    assert "  [" + "w" * 30 + "|" + "w" * 6 + "a" * 18 + "c" * 6 + "]" in text


def test_small_models_are_counted_in_mib() -> None:
    small = replace(FOOTPRINT, capacity=None, verdict="unknown", device=GIB // 8, low=GIB // 10, high=GIB // 7)
    assert "about 128 MiB (102 to 146;" in verdict_line(small, None, PLAIN)
    assert "no GPU is named" in verdict_line(small, None, PLAIN)


def test_what_is_alive_at_the_peak_stands_under_the_bar() -> None:
    live = tuple(
        Live("logits", f"lm_head\x1b{n}", "float32[1, 2048, 128256]", "aten._log_softmax", n, (12 - n) * GIB)
        for n in range(12)
    )
    lines = memory_text(replace(FOOTPRINT, live=live), "t4", PLAIN).splitlines()
    assert lines[1].startswith("  [")
    assert lines[3] == "  largest at the peak"
    assert lines[5].split()[:4] == ["12.0", "GiB", "0", "logits"]
    assert len(lines) == 5 + 10
    assert "\x1b" not in "".join(lines)
    assert "largest" not in memory_text(FOOTPRINT, "t4", PLAIN)


def test_colour_says_nothing_of_its_own() -> None:
    coloured = memory_text(FOOTPRINT, "t4", COLOUR)
    assert "\x1b[" in coloured
    assert "fits" in coloured
    assert "weights" in coloured


def test_a_summary_counts() -> None:
    assert summary(0, 0, PLAIN) == "no problems found\n"
    assert summary(1, 2, PLAIN) == "1 error, 2 warnings\n"
    assert summary(0, 0, PLAIN, unfit=1) == "1 does not fit\n"


def test_columns_of_figures_stand_to_the_right() -> None:
    assert table([["a", "b"], ["x", "1"], ["yy", "22"]]) == "a    b\nx    1\nyy  22\n"
