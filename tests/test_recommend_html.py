"""`ftc recommend --format html`: the page says what the JSON says, and asks for nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from calls import ftc
from msgspec.structs import replace
from page_reader import Page, foreign

from compiler.models import find_model
from compiler.recommending.methods import Recommendation, recommend
from compiler.recommending.wish import Wish
from compiler.report.html_recommend import recommendation_html
from compiler.report.recommend_data import recommendation_data
from compiler.starting.answers import card, main_memory
from schemas.facts import ModelFacts

CASES = {
    "fits": ("llama-3.1-8b", "rtx-4090", 1),
    "nothing": ("llama-3.1-70b", "t4", 1),
    "several": ("gpt-oss-20b", "a100-80gb", 2),
    "cpu": ("smollm2-135m", "cpu", 1),
}


def recommended(model: str, gpu: str, count: int) -> Recommendation:
    facts, on = find_model(model, Path(), online=False), card(gpu)
    assert isinstance(facts, ModelFacts)
    return recommend(Wish(facts.hub_id or model, facts, on, main_memory(on), count, "sft", 2048, Path()))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_page_is_well_formed_says_what_the_json_says_and_needs_nothing(case: tuple[str, str, int]) -> None:
    found = recommended(*case)
    text = recommendation_html(found)
    page, said = Page(text), recommendation_data(found)
    assert page.open == [] and foreign(text) == []
    assert text == recommendation_html(found), "the same every time"
    for item in said["choices"]:  # type: ignore[union-attr]
        assert item["memory"]["high_gib"] in page.figures
        assert item["quality"]["because"] in page.words
    for item in found.others:
        assert item.kind in page.words
    assert ("Nothing fits" in page.words) == (not found.choices)


def test_what_others_call_their_models_is_text() -> None:
    found = recommended("llama-3.2-1b", "t4", 1)
    evil = '<script>alert(1)</script>" onload="x'
    named = replace(found, wish=replace(found.wish, facts=replace(found.wish.facts, name=evil)))
    text = recommendation_html(named)
    assert foreign(text) == [] and evil not in text and "alert(1)" in Page(text).words


def test_the_command_writes_it_and_says_what_the_page_is_of() -> None:
    done = ftc("recommend", "--model", "llama-3.2-1b", "--gpu", "t4", "--format", "html")
    assert (done.returncode == 0 and done.stdout.startswith("\n<!DOCTYPE html>")) or done.stdout.startswith("<!DOCTYPE")
    assert re.search("name a model", ftc("recommend", "--gpu", "t4", "--format", "html").stderr)
