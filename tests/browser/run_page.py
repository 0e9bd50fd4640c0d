"""`make browser`: the page of a run, written by real runs on the quickstart's base, in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from chromium import Tab
from looking import (
    SCHEMES,
    VIEWS,
    all_text_can_be_read,
    can_be_used_by_keys,
    ftc,
    loads_in_silence,
    look,
    nothing_is_hidden_on_paper,
    nothing_sticks_out,
    texts,
    told_pictures,
)
from page_cases import HOSTILE, QUICKSTART, chat

NAMED = ("finished", "compared", "continued", "hostile")
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


def hostile(folder: Path) -> dict[str, Any]:
    """Rows that would break the page, or run in it, if they were not text; and a path that has no end."""
    path = folder / "hostile.jsonl"
    path.write_text("".join(json.dumps(chat(evil, evil)) + "\n" for evil in HOSTILE), "utf-8")
    data = {"validation": [{"path": str(path), "format": "messages"}], "max_length": 512, "system": HOSTILE[0]}
    long = folder / ("w" * 150)
    long.symlink_to(QUICKSTART / "base")
    return {"model": {"base": str(long)}, "data": data, "training": {"max_steps": 1}}


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
    """Name → the page as a file: of a run, of one that compares answers, of one that was continued, of one step on
    rows that are no friends."""
    folder = tmp_path_factory.mktemp("runs")
    recipes = {
        "finished": written(folder, "finished"),
        "compared": written(
            folder, "compared", training={"objective": "dpo", "max_steps": 30}, data=preferences(folder)
        ),
        "continued": written(folder, "continued"),
        "hostile": written(folder, "hostile", **hostile(folder)),
    }
    ftc("run", recipes["finished"].name, folder=folder)
    ftc("run", recipes["compared"].name, folder=folder)
    ftc("run", recipes["hostile"].name, folder=folder)
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
    loads_in_silence(tab, pages[name], name)


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
@pytest.mark.parametrize("name", NAMED)
def test_nothing_sticks_out(name: str, width: int, scheme: str, pages: dict[str, Path], tab: Tab) -> None:
    nothing_sticks_out(tab, pages[name], width, scheme, f"run-{name}")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", NAMED)
def test_all_text_can_be_read(name: str, scheme: str, pages: dict[str, Path], tab: Tab) -> None:
    """And lines and points of curves: 3 to 1."""
    all_text_can_be_read(tab, pages[name], scheme)
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


def test_rows_are_text_and_run_nothing(pages: dict[str, Path], tab: Tab) -> None:
    tab.show(1280, "light")
    tab.open(pages["hostile"])
    look(tab, "provoke()")
    assert tab.said() == []
    assert tab.ask("window.pwned") is None
    assert tab.ask("document.querySelectorAll('img, iframe, base, form, link, object, body style').length") == 0
    assert any(evil in words for words in texts(tab, ".sample .prompt") for evil in HOSTILE[1:7])


def test_the_page_can_be_used_by_its_keys(pages: dict[str, Path], tab: Tab) -> None:
    can_be_used_by_keys(tab, pages["finished"], 8)


def test_pictures_have_words(pages: dict[str, Path], tab: Tab) -> None:
    pictures = told_pictures(tab, pages["finished"])
    assert len(pictures) == 5
    assert all(" over steps" in name and " to " in f"{name} {said}" for name, said in pictures)


@pytest.mark.parametrize("name", NAMED)
def test_on_paper_nothing_is_hidden(name: str, pages: dict[str, Path], tab: Tab) -> None:
    nothing_is_hidden_on_paper(tab, pages[name], f"run-{name}")
