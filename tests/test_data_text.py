"""`ftc data` on a terminal: rows that are long or cut, messages that are long, and bars of lengths."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace
from plans import a_plan
from test_data_html import FINDING, FOUND, GOOD, OVERLAP, ROW, both, figures, stretches

from compiler.build import Compiled
from compiler.data.showing import Stretch
from compiler.data.tokenizer import Tokenizer
from compiler.data.verdict import Verdict
from compiler.report.data_text import data_text
from compiler.report.paint import Paint

PLAN = a_plan(length=64, validation=0.1)


def text(verdict: Verdict = GOOD, tokenizer: Tokenizer = FOUND, *, colours: bool = False) -> str:
    return data_text(Compiled("r.ftc.yaml", None, PLAN, None, None, ()), {}, (verdict, tokenizer), Paint(colours))


def test_what_is_trained_stands_in_brackets_or_in_colour() -> None:
    row = replace(
        ROW, stretches=(*stretches("ask\n\n", "tell"), Stretch("</s>", True, True), Stretch("\n", False, False))
    )
    plain, coloured = (text(replace(GOOD, shown=(row,)), colours=colours) for colours in (False, True))
    assert "train, data/a.jsonl:3, 12 tokens, 4 trained\n  <s>ask\n\n  ⟦tell</s>⟧\n" in plain
    assert "\x1b[32m\x1b[1mtell\x1b[0m\x1b[32m\x1b[1m</s>\x1b[0m" in coloured
    assert "⟦" not in coloured


def test_a_long_row_keeps_its_question_its_answer_and_its_end() -> None:
    row = replace(ROW, stretches=stretches("the question " * 10_000, "the answer " * 5000 + "the end"))
    said = text(replace(GOOD, shown=(row,)))
    assert len(said) < 5000
    assert "<s>the question the question" in said
    assert " characters … " in said
    assert "⟦the answer the answer" in said
    assert "the end⟧\n" in said


def test_what_is_cut_is_told() -> None:
    row = replace(
        ROW, stretches=(*stretches("a", "b"), Stretch("c", False, False, True), Stretch("</s>", False, True, True))
    )
    said = text(replace(GOOD, shown=(replace(row, notes=(("FTC534", "its end is cut off"),)),)))
    assert "\n  FTC534: its end is cut off\n  <s>a⟦b⟧ [cut here: max_length] c</s>\n" in said


def test_why_a_row_is_not_trained_on() -> None:
    assert "\n  not trained on: 70 tokens\n  <s>" in text(replace(GOOD, shown=(replace(ROW, problem="70 tokens"),)))


def test_findings_say_which_part_they_are_of_and_are_short() -> None:
    said = text(replace(GOOD, findings=(replace(FINDING, message="x" * 9000), OVERLAP)))
    assert "data/a.jsonl:9: warning FTC537 (validation): the same row\n    7 rows: also 11, …\n" in said
    assert max(map(len, said.splitlines())) < 400


def test_bars() -> None:
    lengths = Counter({20: 5, 31: 40, 40: 12, 64: 3, 65: 2, 100: 1, 2000: 1})
    lines = text(replace(GOOD, figures=both(figures(lengths)))).partition("longest 2,000")[2].splitlines()[1:]
    chart = lines[: lines.index("")]
    assert [line for line in chart if "max_length" in line] == ["        ┄┄┄ max_length 64 ┄┄┄"]
    assert any(line.strip() == "⋮" for line in chart)
    assert chart[-1].split()[0] == "2,000"
    assert all(line == line.rstrip() for line in chart)
    rows = [int(line.split()[-1]) for line in chart if "█" in line or "▏" in line or len(line.split()) == 3]
    assert sum(rows) == lengths.total()
    assert max(line.count("█") for line in chart) == 40


def test_without_a_tokenizer_it_says_so() -> None:
    said = text(replace(GOOD, epoch=None), Tokenizer(None, why="no network"))
    assert "no tokenizer: no network" in said
    assert "an epoch" not in said
