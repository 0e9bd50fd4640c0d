"""`ftc data --format html`: what a reader of the page finds on it, and what the rows must not make of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from math import log2
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from page_reader import Page, contrast, foreign
from plans import a_plan

from backends.native.data import Counts
from compiler.build import Compiled
from compiler.data.lengths import Bar, bars, over, spread
from compiler.data.showing import Shown, Stretch
from compiler.data.survey import End, Part
from compiler.data.tokenizer import Tokenizer
from compiler.data.verdict import Epoch, Figures, RowFinding, Verdict
from compiler.report import html_rows
from compiler.report.excerpt import Gap, excerpt
from compiler.report.html_data import data_html
from compiler.report.html_lengths import Scale, histogram
from compiler.report.html_page import PAGE, SHARED
from compiler.report.html_rows import MOST, markup, shown_rows
from schemas.diagnostic import Diagnostic, Finding, Level, Span
from schemas.plan import Plan

ROOT = Path(__file__).parents[1]
BASE = ROOT / "recipes" / "quickstart" / "base"
PLAN = a_plan(length=64, validation=0.1)
LENGTHS = Counter({20: 5, 31: 40, 40: 12, 64: 3, 65: 2, 90: 4})
FOUND = Tokenizer(object())
EVIL = (
    '</pre></style></title><script>pwned()</script><img src="http://x/" onerror=pwned()>"\'&amp;\x00\x1b[2J\u202e\ud800'
)


def figures(lengths: Counter[int] = LENGTHS, ends: tuple[tuple[End, int], ...] = ((End("</s>", True), 66),)) -> Figures:
    counts = Counts(read=66, kept=60, truncated=6, tokens=2000, trained_tokens=500, longest=90)
    limit = PLAN.data.max_length
    return Figures(counts, spread(lengths), bars(lengths, limit), over(lengths, limit), ends)


def both(train: Figures) -> dict[Part, Figures]:
    return {"train": train, "validation": figures()}


def stretches(*texts: str) -> tuple[Stretch, ...]:
    """A special token, then text that is trained and text that is not, in turns."""
    return (Stretch("<s>", False, True), *(Stretch(text, bool(at % 2), False) for at, text in enumerate(texts)))


ROW = Shown("data/a.jsonl:3", "train", stretches("question\n\n", "answer  "), 12, 4)
FINDING = RowFinding("FTC535", "warning", "train", "the same row", "data/a.jsonl", 9, False, 3, ("data/a.jsonl:11",))
OVERLAP = replace(FINDING, code="FTC537", part="validation", rows=7)
GOOD = Verdict(
    (), (), {"train": figures(), "validation": figures()}, Epoch(2000, 40, 0.81, 3), (ROW,), ((66,), ()), (0, 60, ())
)


def page(
    verdict: Verdict = GOOD, tokenizer: Tokenizer = FOUND, plan: Plan = PLAN, said: tuple[Diagnostic, ...] = ()
) -> str:
    return data_html("r.ftc.yaml", Compiled("r.ftc.yaml", None, plan, None, None, said), verdict, tokenizer)


# --- what is there


def test_the_page_is_well_formed_and_complete() -> None:
    found = Page(page())
    assert found.open == []
    headings = ["Sources", "Findings", "Rows as the model sees them", "Training rows", "Validation rows", "An epoch"]
    assert found.texts["h2"] == ["this data can be trained on: no problems found", *headings, "Repeated rows"]
    ids = [values["id"] for _, values in found.tags if "id" in values]
    assert len(ids) == len(set(ids))
    named = {each for _, values in found.tags for each in values.get("aria-labelledby", "").split()}
    assert named <= set(ids)
    for words in (
        "2,000 in 60 rows, 25% of them trained",
        "6 cut at max_length = 64",
        "</s> in 100%: generation stops",
    ):
        assert words in found.words
    assert "9.1% of the rows are longer" in found.words
    assert "2,000 tokens in about 40 rows of 64 tokens, 81.0% full" in found.words


@pytest.mark.parametrize(
    ("changes", "tokenizer", "kind", "words"),
    [
        ({}, FOUND, "fits", "no problems found"),
        ({"findings": (FINDING,)}, FOUND, "tight", "look at the findings"),
        ({"findings": (replace(FINDING, level="error"),)}, FOUND, "does_not_fit", "cannot be trained on"),
        ({"about": (Finding("FTC551", "data.train", "no answer ends"),)}, FOUND, "does_not_fit", "cannot be trained"),
        ({}, Tokenizer(None, why="it is not here"), "unknown", "their tokens were not"),
        ({"findings": (replace(FINDING, level="error"),)}, Tokenizer(None), "does_not_fit", "cannot be trained on"),
    ],
)
def test_the_banner(changes: dict[str, object], tokenizer: Tokenizer, kind: str, words: str) -> None:
    found = Page(page(replace(GOOD, **changes), tokenizer))
    assert next(values["class"] for tag, values in found.tags if tag == "section") == f"banner {kind}"
    assert words in found.texts["h2"][0]


def test_findings_have_their_places_and_errors_come_first() -> None:
    span = Span(4, 7, 4, 9)
    said = (Diagnostic("FTC551", "warning", "none ends", "r.ftc.yaml", span, "data.train", "set model.tokens.eos"),)
    error = replace(FINDING, code="FTC510", level="error", message="not JSON", counted=True, rows=1, more=())
    found = Page(page(replace(GOOD, findings=(error, FINDING, OVERLAP)), said=said))
    items = [" ".join(text.split()) for text in found.texts["li"] if "FTC" in text]
    assert [item.split()[:3] for item in items] == [
        ["✕", "error", "FTC510"],
        ["!", "warning", "FTC551"],
        ["!", "warning", "FTC535"],
        ["!", "warning", "FTC537"],
    ]
    assert "data/a.jsonl, row 9 not JSON" in items[0]
    assert "r.ftc.yaml:4:7 none ends set model.tokens.eos" in items[1]
    assert "data/a.jsonl:9 the same row 3 rows: also 11" in items[2]
    assert "A validation row that is trained on · of validation" in items[3]
    assert "1 error, 3 warnings." in " ".join(found.words.split())
    repeated = dict(zip(reversed(found.texts["dt"]), reversed(found.texts["dd"]), strict=False))
    assert repeated["validation rows that are trained on"].split() == ["!", "7"]


def test_what_answers_end_with_is_good_or_bad() -> None:
    ends = ((End("<|im_end|>", False), 50), (End("", False), 10), (End("</s>", True), 6))
    found = Page(page(replace(GOOD, figures=both(figures(ends=ends)))))
    said = [" ".join(text.split()) for text in found.texts["li"] if "generation" in text][:3]
    assert said == [
        "! <|im_end|> in 76%: generation does not stop there",
        "! words in 15%: generation does not stop there",
        "✓ </s> in 9.1%: generation stops there",
    ]


def test_without_a_tokenizer_it_says_so_and_shows_what_was_checked() -> None:
    row = Shown("a.jsonl:1", "train", (Stretch("user: hello", False, False),))
    counts = Figures(Counts(read=66, bad=2), None, (), 0, ())
    verdict = replace(GOOD, shown=(row,), figures=both(counts), epoch=None, findings=(FINDING,))
    found = Page(page(verdict, Tokenizer(None, why="no network")))
    assert "no tokenizer: no network" in found.words
    assert "Rows as they are written" in found.texts["h2"]
    assert found.texts["pre"] == ["user: hello"]
    assert not {"mark", "svg"} & {tag for tag, _ in found.tags}
    assert "FTC535" in found.words


# --- rows


def test_marks_are_what_is_trained() -> None:
    found = Page(page())
    assert found.texts["pre"] == ["<s>question\n\nanswer  "]
    assert found.texts["mark"] == ["trained", "answer  "]
    assert found.texts["b"][-1] == "<s>"
    signs = [values.get("class") for tag, values in found.tags if tag == "i"]
    assert signs[-4:] == ["n", "n", "s", "s"]


def test_what_is_cut_is_struck_out() -> None:
    row = replace(
        ROW, stretches=(*ROW.stretches, Stretch("lost", False, False, True), Stretch("</s>", False, True, True))
    )
    found = Page(page(replace(GOOD, shown=(row,))))
    assert found.texts["del"] == ["lost", "</s>"]
    assert found.texts["em"] == ["cut here: max_length"]


def test_answers_that_are_compared_are_one_row() -> None:
    chosen, rejected = (replace(ROW, about=about) for about in ("chosen", "rejected"))
    rows, others = shown_rows((ROW, chosen, rejected, chosen, rejected))
    assert [[each.about for each in row.renderings] for row in rows] == [[""], *[["chosen", "rejected"]] * 2]
    assert others == 0


def test_what_is_said_of_a_row_stands_beside_it() -> None:
    row = replace(ROW, problem="70 tokens, more than 64", notes=(("FTC538", "a special token"),))
    words = " ".join(Page(page(replace(GOOD, shown=(row,)))).words.split())
    assert "✕ not trained on: 70 tokens, more than 64 ! FTC538 a special token" in words


@pytest.mark.parametrize(
    "code", [0x0, 0x7, 0xB, 0x1B, 0x7F, 0x85, 0xAD, 0x200B, 0x2028, 0x202E, 0x2066, 0xFEFF, 0xD800]
)
def test_what_would_not_be_seen_has_its_number(code: int) -> None:
    text = str(markup([Stretch(f"a{chr(code)}b", True, False)]))
    assert f">U+{code:04X}<" in text
    assert chr(code) not in text


def test_known_spaces_have_names_and_joiners_stay() -> None:
    assert Page(str(markup(stretches("a\xa0\u202f\r")))).texts["b"][1:] == ["NBSP", "NNBSP", "CR"]
    assert "\U0001f469\u200d\U0001f467" in str(markup(stretches("\U0001f469\u200d\U0001f467")))


pieces = st.builds(Stretch, st.text(max_size=3000), st.booleans(), st.booleans(), st.booleans())


@given(st.lists(pieces, max_size=6))
def test_a_row_on_the_page_is_text(row: list[Stretch]) -> None:
    text = str(markup(excerpt(row, MOST)))
    assert {tag for tag, _ in Page(text).tags} <= {"mark", "b", "i", "em", "del", "bdi"}
    assert all(char.isprintable() or char in "\n\t\u200c\u200d\u3000" for char in text)


@given(st.lists(st.text(alphabet=st.characters(categories=["L", "N", "P", "Zs"], exclude_characters="\xa0\u202f"))))
def test_the_text_of_a_row_is_read_from_the_page_as_it_is(texts: list[str]) -> None:
    row = stretches(*texts)
    expected = "".join(each.text for each in row)
    visible = "".join(char for char in expected if char.isprintable() or char in " \u3000")
    if expected == visible and len(expected) <= MOST:
        assert Page(f"<pre>{markup(excerpt(row, MOST))}</pre>").texts["pre"] == [expected]


@given(st.lists(st.text(st.characters(codec="ascii"), max_size=400), max_size=12), st.integers(40, 600))
def test_an_excerpt_begins_and_ends_as_the_row_does(texts: list[str], most: int) -> None:
    row = stretches(*texts)
    whole = "".join(each.text for each in row)
    found = excerpt(row, most)
    shown = [piece for piece in found if isinstance(piece, Stretch)]
    left_out = sum(piece.characters for piece in found if isinstance(piece, Gap))
    assert sum(len(piece.text) for piece in shown) + left_out == len(whole)
    assert sum(len(piece.text) for piece in shown) <= most
    assert left_out == 0 or len(whole) > most
    assert whole.startswith(shown[0].text)
    assert whole.endswith(shown[-1].text)


# --- what rows must not do


def test_whatever_rows_hold_is_text() -> None:
    row = Shown(EVIL, "train", stretches(EVIL, EVIL), 1, 1, "", EVIL, ((EVIL, EVIL),))
    finding = RowFinding("FTC542", "warning", "train", EVIL, EVIL, 1, False, 2, (EVIL,))
    verdict = replace(
        GOOD,
        findings=(finding,),
        shown=(row, replace(row, about=EVIL)),
        figures=both(figures(ends=((End(EVIL, False), 3),))),
        alike=(1, 2, ((EVIL, EVIL),)),
    )
    said = (Diagnostic(EVIL, "warning", EVIL, EVIL, Span(1, 1, 1, 2), EVIL, EVIL),)
    plan = replace(PLAN, name=EVIL)
    for tokenizer in (FOUND, Tokenizer(None, why=EVIL)):
        text = page(verdict, tokenizer, plan, said)
        assert foreign(text) == []
        found = Page(text)
        assert found.open == []
        assert found.words.count("<script>pwned()</script>") >= 14
        assert not re.search(r"[\x00-\x08\x0b-\x1f\u202a-\u202e\ud800-\udfff]", text)
        text.encode("utf-8")


def test_the_page_needs_nothing_from_outside_and_allows_nothing() -> None:
    text = page(replace(GOOD, findings=(FINDING,)))
    assert foreign(text) == []
    assert not re.search(r"https?:|//|@import|url\((?!#over-)", text)
    [policy] = [values["content"] for _, values in Page(text).tags if values.get("http-equiv")]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


@pytest.mark.parametrize("char", ["a", "\n", "<", "\u202e", "\U0001f600", "  \n"])
def test_the_page_stays_small(char: str) -> None:
    """Two thousand rows of a hundred thousand characters: as many as there is room for, and how many not."""
    row = replace(ROW, stretches=stretches(*[char * 20_000] * 5))
    text = page(replace(GOOD, shown=(row,) * 2000))
    assert len(text.encode()) < 2 * html_rows.PAGE
    assert "of a long row 4,000 characters are shown" in text.lower()
    left = re.search(r"([\d,]+) more rows would make this page too large", text)
    assert left
    assert len(Page(text).texts["pre"]) + int(left[1].replace(",", "")) == 2000


def test_a_row_of_many_stretches_is_bounded_too() -> None:
    row = replace(ROW, stretches=stretches(*["\u202e"] * 100_000))
    assert len(page(replace(GOOD, shown=(row,)))) < html_rows.PAGE


def test_long_messages_are_short() -> None:
    finding = replace(FINDING, message="x" * 1_000_000)
    row = replace(ROW, problem="x" * 1_000_000, notes=(("FTC542", "x" * 1_000_000),))
    assert len(page(replace(GOOD, findings=(finding,), shown=(row,)))) < 50_000


def test_the_page_is_the_same_every_time(tmp_path: Path) -> None:
    """Whatever order sets have, and however many processes read the rows."""
    rows = [
        {"messages": [{"role": "user", "content": f"{n % 9} May"}, {"role": "assistant", "content": "x" * n}]}
        for n in range(60)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    made = {
        "version": 1,
        "name": "same",
        "model": {"base": str(BASE)},
        "method": {"kind": "lora"},
        "data": {"train": [{"path": "rows.jsonl"}], "max_length": 40, "validation": 0.2},
        "hardware": {"gpu": "cpu", "memory": "8GiB"},
    }
    (tmp_path / "same.ftc.yaml").write_text(json.dumps(made), "utf-8")
    command = [sys.executable, "-m", "compiler.cli", "data", "same.ftc.yaml", "--format", "html"]
    texts = [
        subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert texts[0] == texts[1]
    text = texts[0].decode()
    assert text.startswith("<!DOCTYPE html>\n")
    assert text.endswith("</html>\n")
    assert str(tmp_path) not in text
    assert "x<b>&lt;|eot_id|&gt;</b></mark>" in text.replace("</mark><mark>", "")


# --- the picture


@given(st.dictionaries(st.integers(1, 5000), st.integers(1, 999), min_size=1), st.integers(1, 6000))
def test_bars_are_all_rows_and_one_ends_at_the_cut(found: dict[int, int], limit: int) -> None:
    lengths = Counter(found)
    drawn = bars(lengths, limit)
    assert 1 <= len(drawn) <= 60
    assert (drawn[0].start, drawn[-1].end) == (min(lengths), max(lengths))
    assert all(one.end + 1 == other.start and one.start <= one.end for one, other in pairwise(drawn))
    assert sum(bar.rows for bar in drawn) == lengths.total()
    assert sum(bar.rows for bar in drawn if bar.over) == over(lengths, limit)
    assert not (min(lengths) <= limit < max(lengths)) or limit in [bar.end for bar in drawn]


@given(st.dictionaries(st.integers(1, 5000), st.integers(1, 999), min_size=1), st.integers(1, 6000))
def test_the_picture_is_as_the_bars_are(found: dict[int, int], limit: int) -> None:
    lengths = Counter(found)
    part = Figures(Counts(), spread(lengths), bars(lengths, limit), over(lengths, limit), ())
    drawn = histogram(part, limit)
    assert drawn
    assert all(each.x >= 0 and each.y >= 0 and each.x + each.width <= 100.01 for each in drawn.columns)
    assert all(abs(a.x + a.width - b.x) < 0.01 for a, b in pairwise(drawn.columns))
    assert (drawn.cut is None) == (not min(lengths) <= limit <= max(lengths))
    if drawn.cut is not None:
        assert all((column.x >= drawn.cut - 0.01) is column.over for column in drawn.columns)
    assert [tick.at for tick in drawn.lengths] == sorted(tick.at for tick in drawn.lengths)
    assert len(drawn.lengths) <= 9
    assert all(0 <= tick.at <= 100 for tick in (*drawn.lengths, *drawn.rows))
    most = max(bar.rows for bar in part.bars)
    heights = [column.height for column in drawn.columns]
    assert max(heights) > 40
    assert all(
        abs(height / max(heights) - bar.rows / most) < 0.02 for height, bar in zip(heights, part.bars, strict=True)
    )


def test_lengths_stand_in_proportion() -> None:
    scale = Scale([Bar(1, 10, 1, False), *(Bar(10 * at + 1, 10 * at + 10, 1, False) for at in range(1, 10))])
    assert (scale(0.5), scale(50.5), scale(100.5)) == (0, 50, 100)
    assert scale(25.5) == 25


def test_a_few_long_rows_do_not_squeeze_the_others() -> None:
    lengths = Counter(dict.fromkeys(range(30, 130), 50)) + Counter({4000: 1})
    drawn = bars(lengths, 512)
    assert sum(bar.rows > 0 for bar in drawn) > 5
    widths = [log2((bar.end + 0.5) / (bar.start - 0.5)) for bar in drawn[1:-1]]
    assert max(widths) / min(widths) < 1.2
    words = Page(page(replace(GOOD, figures=both(figures(lengths))))).words
    assert "on a logarithmic scale" in words
    assert "on a logarithmic scale" not in Page(page()).words


def test_the_picture_has_words_and_a_table() -> None:
    found = Page(page())
    assert "Training rows by length" in found.texts["title"]
    assert "max_length is 64, 9.1% of the rows are longer" in found.texts["desc"][0]
    assert "longer: 6 rows, left out" in found.words
    assert "65 to 90 tokens: 6 rows" in found.texts["title"] or "too long" in found.words
    fills = {values.get("fill") for tag, values in found.tags if "over" in values.get("class", "") and tag == "rect"}
    assert fills == {"url(#over-train)", "url(#over-validation)"}
    assert {"over-train", "over-validation"} <= {values.get("id") for tag, values in found.tags if tag == "pattern"}


@pytest.mark.parametrize(("limit", "said"), [(4096, "max_length 4,096 →"), (8, "← max_length 8")])
def test_a_cut_that_is_far_away_is_pointed_at(limit: int, said: str) -> None:
    plan = replace(PLAN, data=replace(PLAN.data, max_length=limit))
    part = Figures(Counts(read=66), spread(LENGTHS), bars(LENGTHS, limit), over(LENGTHS, limit), ())
    text = page(replace(GOOD, figures=both(part), epoch=None), plan=plan)
    assert said in Page(text).texts["text"]
    assert "cut" not in {values.get("class") for tag, values in Page(text).tags if tag == "line"}


LEVELS: tuple[Level, ...] = ("error", "warning")


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read(scheme: int) -> None:
    """WCAG AA: 4.5 to 1 for text, 3 to 1 for what is drawn."""
    css = (file.read_text("utf-8") for file in (SHARED / "base.css", PAGE / "data.css"))
    blocks = [re.findall(r":root \{(.*?)\}", text, re.DOTALL)[scheme] for text in css]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", " ".join(blocks)))
    texts = [("ink", "learnt"), ("quiet", "learnt"), ("chip-ink", "chip"), ("tight", "tight-soft"), ("quiet", "soft")]
    drawn = [("bar", "sheet"), ("cut", "sheet"), ("learnt-line", "page"), ("not", "learnt"), ("chip-line", "page")]
    for least, pairs in ((4.5, texts), (3, drawn)):
        for first, second in pairs:
            assert contrast(colours[first], colours[second]) >= least, (first, second)


def test_no_level_is_told_by_colour_alone() -> None:
    for level in LEVELS:
        text = page(replace(GOOD, findings=(replace(FINDING, level=level),)))
        assert re.search(rf'class="verdict {level}"><span aria-hidden="true">[✕!]</span> {level}', text)
