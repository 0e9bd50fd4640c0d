"""`ftc plan --gpu all`: every card by cost and by time, as text, JSON and a page that say the same."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

import pytest
from calls import RECIPES, ftc
from page_reader import Page, foreign

from compiler.build import Compiled, Options, compile_recipe
from compiler.hardware import all_gpus
from compiler.report.alternatives import Option
from compiler.report.html_ranking import elsewhere
from compiler.report.ranking import SHOWN, Place, Ranking, ranking

SMALL, LARGE = "llama3-8b-qlora-t4", "llama3.1-70b-qlora-a100-80gb"
CARDS = [card.name for card in all_gpus() if not card.is_cpu]
HUB = ("--set", "data.train.path=some/data", "--set", "data.train.format=messages")


@cache
def compiled(name: str, gpu: str | None = None) -> Compiled:
    recipe = RECIPES / f"{name}.ftc.yaml"
    return compile_recipe(recipe.name, recipe.read_text(), recipe.parent, Options(gpu=gpu))


@cache
def ranked(name: str, tokens: int | None = None) -> Ranking:
    plan = compiled(name).plan
    assert plan
    return ranking(plan, [Option("native", gpu, compiled(name, gpu)) for gpu in CARDS], tokens)


@cache
def printed(form: str, name: str, *arguments: str) -> str:
    found = ftc("plan", f"recipes/{name}.ftc.yaml", "--gpu", "all", "--format", form, *arguments)
    assert found.returncode == 0, found.stderr
    return found.stdout


def report(name: str, *arguments: str) -> dict[str, Any]:
    return json.loads(printed("json", name, *arguments))


@pytest.mark.parametrize("name", [SMALL, LARGE])
def test_every_card_is_somewhere_once(name: str) -> None:
    found = ranked(name)
    named = [item.option.gpu for item in (*found.places, *found.refusals)]
    assert sorted(map(str, named)) == sorted(CARDS)
    assert all((item.missing or 0) > 0 for item in found.refusals if not item.why)


@pytest.mark.parametrize("name", [SMALL, LARGE])
def test_ranks_are_those_of_the_figures(name: str) -> None:
    found = ranked(name, 12_000_000)
    priced = [place for place in found.places if place.by_cost]
    assert priced
    assert [place.by_cost for place in priced] == list(range(1, len(priced) + 1))

    def usd(place: Place) -> float:
        assert place.estimate.usd is not None
        return place.estimate.usd

    assert sorted(priced, key=usd) == priced
    timed = sorted((place.by_time or 0, place.estimate.hours or 0) for place in found.places if place.by_time)
    assert [hours for _, hours in timed] == sorted(hours for _, hours in timed)


def test_ranks_do_not_depend_on_how_many_tokens_there_are() -> None:
    ranks = [
        [(place.option.gpu, place.by_cost, place.by_time) for place in ranked(SMALL, tokens).places]
        for tokens in (1, 10**6, 10**12)
    ]
    assert ranks[0] == ranks[1] == ranks[2]


def test_open_leaves_are_solved_for_each_card() -> None:
    places = {place.option.gpu: place for place in ranked(SMALL).places}
    micro = {gpu: place.plan.training.micro_batch_size for gpu, place in places.items()}
    assert len(set(micro.values())) > 2
    assert places["t4"].plan.model.dtype == "float16" != places["h100"].plan.model.dtype
    assert "training.micro_batch_size" in ranked(SMALL).varying
    assert "training.micro_batch_size" not in places["t4"].settings


def test_a_value_that_was_set_is_the_same_everywhere() -> None:
    found = report(SMALL, "--set", "training.micro_batch_size=2")["alternatives"]
    assert not any("training.micro_batch_size" in item.get("settings", {}) for item in found)


def test_json_keeps_its_contract_and_has_ranks() -> None:
    listed = report(SMALL, "--tokens", "12M")["alternatives"]
    assert [item["gpu"] for item in listed] == CARDS
    for item in listed:
        assert {"stack", "gpu", "memory", "time", "cost"} <= item.keys()
        assert "rank" in item or "missing_gib" in item
        assert set(item.get("settings", {})) <= set(SHOWN)
    best = next(item for item in listed if item.get("rank", {}).get("cost") == 1)
    assert all(best["cost"]["usd"] <= item["cost"]["usd"] for item in listed if item["cost"]["usd"])
    assert best["cost"]["usd_low"] < best["cost"]["usd"] < best["cost"]["usd_high"]


def test_what_does_not_fit_says_what_is_missing() -> None:
    by_name = {item["gpu"]: item for item in report(LARGE)["alternatives"]}
    small = by_name["rtx-4090"]
    room = small["memory"]["high_gib"] - small["memory"]["capacity_gib"]
    assert small["missing_gib"] == pytest.approx(room, abs=0.1)
    assert (small["time"]["hours"], small["cost"]["usd"]) == (None, None)
    text = " ".join(printed("text", LARGE).split())
    assert f"rtx-4090 ({small['missing_gib']:.1f} GiB)" in text.partition("does not fit, with what is missing")[2]


def test_the_text_is_a_screen_sorted_by_cost() -> None:
    text = printed("text", SMALL, "--tokens", "12M")
    lines = text[text.index("\nelsewhere") + 1 :].splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 150
    rows = [line.split() for line in lines if re.match(r" +\d+  [a-z]", line)]
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    costs = [float(row[2]) for row in rows]
    assert costs == sorted(costs)
    assert {row[1] for row in rows} == {place.option.gpu for place in ranked(SMALL).places if place.by_cost}


def test_without_a_number_of_tokens_cards_are_compared_all_the_same() -> None:
    text = printed("text", SMALL, *HUB)
    assert "USD a million tokens" in text
    assert "elsewhere" in text
    order = re.findall(r"^ +\d+  (\S+)", text[text.index("\nelsewhere") :], re.MULTILINE)
    assert order == [place.option.gpu for place in ranked(SMALL).places if place.by_cost]


@pytest.mark.parametrize("name", [SMALL, LARGE])
def test_the_page_says_what_the_json_says(name: str) -> None:
    text = printed("html", name, "--tokens", "12M")
    page = Page(text)
    assert page.open == []
    assert foreign(text) == []
    for item in report(name, "--tokens", "12M")["alternatives"]:
        for figure in (item["cost"]["usd"], item["time"]["hours"], item["time"]["tokens_per_second"]):
            assert figure is None or figure in page.figures
        assert str(item["gpu"]) in page.words
    pictures = [
        values["aria-label"] for tag, values in page.tags if tag == "div" and "cost against time" in str(values)
    ]
    assert len(pictures) == 1
    assert "cheapest" in pictures[0]


def test_points_of_the_picture_stand_where_their_figures_are() -> None:
    plan = compiled(SMALL).plan
    assert plan
    found = elsewhere(plan, [Option("native", gpu, compiled(SMALL, gpu)) for gpu in CARDS], 12_000_000)
    assert found.cloud
    points = {point.name: point for point in found.cloud.points}
    places = [place for place in found.ranking.places if place.by_cost]
    assert set(points) == {place.option.gpu for place in places}
    assert all(0 < point.x < 100 and 0 < point.y < 100 for point in points.values())
    by_x = sorted(points.values(), key=lambda point: point.x)
    assert [point.name for point in by_x] == [
        place.option.gpu for place in sorted(places, key=lambda place: place.estimate.hours or 0)
    ]
    assert points[str(places[0].option.gpu)].best
    assert points["t4"].own
    named = [point for point in points.values() if point.named]
    assert {point.name for point in points.values() if point.best or point.own} <= {point.name for point in named}


def test_several_stacks_on_all_cards_are_told_apart() -> None:
    text = printed("text", SMALL, "--stack", "all", "--tokens", "12M")
    assert "t4 (unsloth)" in text
    assert "t4 (peft)" in text
