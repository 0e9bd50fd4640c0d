"""`make browser`: the page of a run, written by real runs on the quickstart's base, in a real browser."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from chromium import Tab
from looking import PICTURES, SCHEMES, VIEWS, ftc, look, texts
from page_cases import QUICKSTART

NAMED = ("finished", "compared", "continued")
RECIPE: dict[str, Any] = {
    "version": 1,
    "model": {"base": str(QUICKSTART / "base")},
    "method": {"kind": "lora", "rank": 16, "alpha": 32},
    "data": {
        "train": [{"path": str(QUICKSTART / "data" / "train.jsonl"), "format": "messages", "limit": 640}],
        "validation": [{"path": str(QUICKSTART / "data" / "validation.jsonl"), "format": "messages", "limit": 64}],
        "max_length": 64,
    },
    "training": {"global_batch_size": 16, "micro_batch_size": 16, "learning_rate": 3.0e-3, "max_steps": 60},
    "evaluation": {"every": 10},
    "checkpoint": {"every": 20},
    "logging": {"every": 1},
    "hardware": {"gpu": "cpu", "memory": "8GiB"},
}


def written(folder: Path, name: str, **sections: Any) -> Path:
    """A recipe in this folder."""
    path = folder / f"{name}.ftc.yaml"
    made = {**RECIPE, "name": name, **{key: {**RECIPE.get(key, {}), **new} for key, new in sections.items()}}
    path.write_text(json.dumps(made, indent=2), "utf-8")
    return path


def preferences(folder: Path) -> dict[str, Any]:
    """Dates as they are wanted, and as they are not."""
    rows = [json.loads(line) for line in (QUICKSTART / "data" / "train.jsonl").read_text("utf-8").splitlines()[:320]]
    pairs = [
        {
            "prompt": row["messages"][:-1],
            "chosen": row["messages"][-1:],
            "rejected": [{"role": "assistant", "content": "No."}],
        }
        for row in rows
    ]
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in pairs), "utf-8")
    return {"train": [{"path": str(path), "format": "preference"}], "validation": 0.1}


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Name → the page as a file: of a run, of one that compares answers, of one that was continued."""
    folder = tmp_path_factory.mktemp("runs")
    recipes = {
        "finished": written(folder, "finished"),
        "compared": written(
            folder, "compared", training={"objective": "dpo", "max_steps": 30}, data=preferences(folder)
        ),
        "continued": written(folder, "continued"),
    }
    ftc("run", recipes["finished"].name, folder=folder)
    ftc("run", recipes["compared"].name, folder=folder)
    # As if it had been stopped after step 40: what came later is not there.
    ftc("run", recipes["continued"].name, folder=folder)
    out = folder / "outputs" / "continued"
    (out / "summary.json").unlink()
    checkpoints = sorted(out.glob("checkpoints/checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    (checkpoints[-1] / "complete.json").unlink()
    ftc("run", recipes["continued"].name, folder=folder)
    return {name: folder / "outputs" / name / "report.html" for name in NAMED}


@pytest.mark.parametrize("name", NAMED)
def test_a_page_loads_in_silence_and_asks_for_nothing(name: str, pages: dict[str, Path], tab: Tab) -> None:
    tab.show(1280, "light")
    tab.open(pages[name])
    assert tab.said() == []
    assert tab.requests() == [pages[name].as_uri()]
    assert tab.ask("document.querySelector('h1').textContent") == name
    assert tab.ask("document.compatMode") == "CSS1Compat"
    assert tab.ask("document.querySelectorAll('script').length") == 0


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
@pytest.mark.parametrize("name", NAMED)
def test_nothing_sticks_out(name: str, width: int, scheme: str, pages: dict[str, Path], tab: Tab) -> None:
    tab.show(width, scheme)
    tab.open(pages[name])
    tab.picture(PICTURES / f"run-{name}-{width}-{scheme}.png")
    assert tab.ask("document.documentElement.scrollWidth") <= width
    assert look(tab, "outside()") == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", NAMED)
def test_all_text_can_be_read(name: str, scheme: str, pages: dict[str, Path], tab: Tab) -> None:
    """WCAG AA: 4.5 to 1 for texts; 3 to 1 for lines and points of curves."""
    tab.show(1280, scheme)
    tab.open(pages[name])
    tab.ask("document.querySelectorAll('details').forEach(found => found.open = true)")
    assert look(tab, "faint(4.5)") == []
    assert look(tab, "faintLines(3)") == []


def test_it_learnt_and_says_so_first(pages: dict[str, Path], tab: Tab) -> None:
    tab.show(1280, "light")
    tab.open(pages["finished"])
    assert texts(tab, ".banner h2") == ["finished, and learnt"]
    summary = json.loads(pages["finished"].with_name("summary.json").read_text("utf-8"))
    assert f"{summary['loss']['last_validation']:.4g}" in texts(tab, ".banner p")[-1]
    assert tab.ask("document.querySelector('.banner').getBoundingClientRect().bottom") < 400
    assert texts(tab, ".sample .who")[:3] == ["before", *texts(tab, ".sample .who")[1:2], "in the row"]


def test_curves_stand_where_their_figures_are(pages: dict[str, Path], tab: Tab) -> None:
    """The points of validation, as the browser draws them, against metrics.jsonl."""
    tab.show(1280, "light")
    tab.open(pages["finished"])
    lines = [json.loads(line) for line in pages["finished"].with_name("metrics.jsonl").read_text("utf-8").splitlines()]
    watched = [(line["step"], line["eval_loss"]) for line in lines if "eval_loss" in line]
    drawn = look(tab, "curve('loss')")
    width = drawn["frame"]["right"] - drawn["frame"]["left"]
    assert len(drawn["dots"]) == len(watched) == 6
    for (step, _), dot in zip(watched, drawn["dots"], strict=True):
        assert abs(dot["x"] - drawn["frame"]["left"] - width * step / 60) < 1
    heights = [dot["y"] for dot in drawn["dots"]]
    assert sorted(range(6), key=lambda at: -heights[at]) == sorted(range(6), key=lambda at: watched[at][1])
    path = drawn["paths"][0]
    assert abs(path["left"] - drawn["frame"]["left"] - width / 60) < 1.5
    assert abs(path["right"] - drawn["frame"]["right"]) < 1.5


def test_a_stretch_says_its_figures(pages: dict[str, Path], tab: Tab) -> None:
    tab.show(1280, "light")
    tab.open(pages["finished"])
    drawn = look(tab, "curve('loss')")
    assert len(drawn["slices"]) >= 30
    assert all(re.match(r"step \d+: training [\d.e-]+", words) for words in drawn["slices"])
    assert sum("validation" in words for words in drawn["slices"]) == 6


def test_answers_that_are_compared_have_margins(pages: dict[str, Path], tab: Tab) -> None:
    tab.show(1280, "light")
    tab.open(pages["compared"])
    assert "Answers compared" in texts(tab, "h2")
    assert look(tab, "curve('margins')")["dots"]


def test_a_continued_run_shows_where(pages: dict[str, Path], tab: Tab) -> None:
    tab.show(1280, "light")
    tab.open(pages["continued"])
    marks = look(tab, "curve('loss')")["marks"]
    assert [mark["words"] for mark in marks if mark["kind"] == "again"] == ["continued after step 40"]
    assert len(texts(tab, ".history tbody tr")) == 2
    assert texts(tab, ".sample .who").count("before") == 4


def test_the_page_can_be_used_by_its_keys(pages: dict[str, Path], tab: Tab) -> None:
    """The tabulator reaches what scrolls and what opens, one after the other, and shows where it is."""
    tab.show(768, "light")
    tab.open(pages["finished"])
    reached = []
    for _ in range(40):
        for kind in ("keyDown", "keyUp"):
            tab.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        found = tab.ask("[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle]")
        if found[0] == "BODY":
            break
        reached.append(found)
    expected = "[...document.querySelectorAll('[tabindex], summary')].filter(found => found.checkVisibility()).length"
    assert len(reached) == tab.ask(expected) >= 8
    assert {style for _, style in reached} == {"solid"}


def test_pictures_have_words(pages: dict[str, Path], tab: Tab) -> None:
    """What a screen reader is told: names and descriptions of pictures, headings without gaps."""
    tab.open(pages["finished"])
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    named = [
        (node["role"]["value"], node["name"]["value"], node.get("description", {}).get("value", ""))
        for node in nodes
        if "name" in node and not node.get("ignored")
    ]
    pictures = [(name, said) for role, name, said in named if role in ("image", "img", "SvgRoot")]
    assert len(pictures) == 5
    assert all(" over steps" in name and " to " in f"{name} {said}" for name, said in pictures)
    levels = tab.ask("[...document.querySelectorAll('h1, h2, h3')].map(found => Number(found.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("name", NAMED)
def test_on_paper_nothing_is_hidden(name: str, pages: dict[str, Path], tab: Tab) -> None:
    tab.show(794, "light", media="print")
    tab.open(pages[name])
    tab.picture(PICTURES / f"run-{name}-print.png")
    tab.printed(PICTURES / f"run-{name}.pdf")
    clipped = "[...document.querySelectorAll('.text')].filter(e => e.scrollHeight > e.clientHeight + 1).length"
    assert tab.ask(clipped) == 0
    assert tab.ask("[...document.querySelectorAll('details table')].every(found => found.checkVisibility())")
    tab.show(1280, "light")
