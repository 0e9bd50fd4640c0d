"""`make browser`: the pages of `ftc data` and `ftc plan` in a real browser, as their readers see them.

Not collected by `make test`, which needs no browser: pytest is pointed at this file. Pictures go to build/browser.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from chromium import Tab
from looking import (
    SCHEMES,
    VIEWS,
    WIDTHS,
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
from page_cases import CASES, FOUND, HOSTILE, QUICKSTART

NAMED = (*CASES, "plan", "cards", "recommend")
TITLED = {"plan": "quickstart", "cards": "llama3-8b-qlora-t4", "recommend": "llama-3.1-8b on rtx-4090"}
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>\n')


@pytest.fixture(scope="session")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("recipes")
    return {name: make(folder / name) for name, make in CASES.items()}


@pytest.fixture(scope="session")
def pages(recipes: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Name → the page as a file."""
    folder = tmp_path_factory.mktemp("pages")
    rows = {"hostile": str(len(HOSTILE) + 5)}
    texts = {
        name: ftc("data", path.name, "--format", "html", "--rows", rows.get(name, "4"), folder=path.parent)
        for name, path in recipes.items()
    }
    texts["plan"] = ftc("plan", "quickstart.ftc.yaml", "--format", "html", "--stack", "all", folder=QUICKSTART)
    asked = ("recommend", "--model", "llama-3.1-8b", "--gpu", "rtx-4090", "--format", "html")
    texts["recommend"] = ftc(*asked, folder=folder)
    cards = ("llama3-8b-qlora-t4.ftc.yaml", "--format", "html", "--gpu", "all", "--tokens", "12M")
    texts["cards"] = ftc("plan", *cards, folder=QUICKSTART.parent)
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, "utf-8")
    return {name: folder / f"{name}.html" for name in texts}


@pytest.mark.parametrize("name", NAMED)
def test_a_page_loads_in_silence_and_asks_for_nothing(name: str, pages: dict[str, Path], tab: Tab) -> None:
    loads_in_silence(tab, pages[name], TITLED.get(name, name))


@pytest.mark.parametrize(("width", "scheme"), VIEWS)
@pytest.mark.parametrize("name", NAMED)
def test_nothing_sticks_out(name: str, width: int, scheme: str, pages: dict[str, Path], tab: Tab) -> None:
    nothing_sticks_out(tab, pages[name], width, scheme, name)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", NAMED)
def test_all_text_can_be_read(name: str, scheme: str, pages: dict[str, Path], tab: Tab) -> None:
    """And signs: 3 to 1."""
    all_text_can_be_read(tab, pages[name], scheme)
    assert look(tab, "faint(3, true)") == []


@pytest.mark.parametrize("name", ["quickstart", "troubled", "preference", "scripts"])
def test_what_is_trained_is_marked(name: str, recipes: dict[str, Path], pages: dict[str, Path], tab: Tab) -> None:
    """The page's marks are the trained stretches of the JSON, in order, and look unlike the rest."""
    recipe = recipes[name]
    report = json.loads(ftc("data", recipe.name, "--format", "json", "--rows", "4", folder=recipe.parent))
    rows = [row for row in report["rows"] if sum(len(each["text"]) for each in row["stretches"]) < 2000]
    trained = [stretch["text"] for row in rows for stretch in row["stretches"] if stretch["trained"]]
    assert len(trained) >= len(rows)
    tab.show(1280, "light")
    tab.open(pages[name])
    assert [text.replace("NBSP", "\xa0") for text in texts(tab, ".shown mark")] == trained
    whole = ["".join(stretch["text"] for stretch in row["stretches"]) for row in rows]
    shown = [text.replace("cut here: max_length", "").replace("NBSP", "\xa0") for text in texts(tab, ".shown .text")]
    assert [text for text in shown if "characters …" not in text] == whole
    for scheme in SCHEMES:
        tab.show(1280, scheme)
        mark, rest = (look(tab, f"style(document.querySelector('{each}'))") for each in (".shown mark", ".shown .text"))
        assert all(mark[key] != rest[key] for key in rest), (mark, rest)
        assert mark["textDecorationLine"] == "underline"


def test_the_quickstart_is_fine(pages: dict[str, Path], tab: Tab) -> None:
    tab.show(1280, "light")
    tab.open(pages["quickstart"])
    said = tab.ask("document.body.innerText")
    for words in (
        "no problems found",
        "6,000",
        "376",
        "<|eot_id|> in 100%: generation stops there",
        "messages (as the",
    ):
        assert words in said
    assert "1965-08-25<|eot_id|>" in texts(tab, ".shown .text")[0]
    assert texts(tab, ".shown mark")[:2] == ["1965-08-25", "<|eot_id|>"]
    assert look(tab, "lengths('train')")["cut"] is None
    assert look(tab, "lengths('train')")["limit"] == "max_length 64 →"


def test_what_is_found_is_said(pages: dict[str, Path], tab: Tab) -> None:
    tab.open(pages["troubled"])
    findings = texts(tab, ".findings li")
    assert {code for code in FOUND if any(code in item for item in findings)} == set(FOUND)
    assert all(item.split()[:2] == ["!", "warning"] for item in findings)
    tab.open(pages["broken"])
    assert [item.split()[:3] for item in texts(tab, ".findings li")[:2]] == [
        ["✕", "error", "FTC510"],
        ["✕", "error", "FTC511"],
    ]
    assert "cannot be trained on as it is" in texts(tab, ".banner h2")[0]
    tab.open(pages["unreached"])
    assert "their tokens were not" in texts(tab, ".banner h2")[0]
    assert "cannot be loaded" in texts(tab, ".banner p")[-1]
    assert texts(tab, "mark, svg") == []


def test_answers_that_are_compared_stand_side_by_side(pages: dict[str, Path], tab: Tab) -> None:
    top = "each => each.getBoundingClientRect().top"
    tops = f"[...document.querySelectorAll('.pair')].map(pair => [...pair.children].map({top}))"
    for width, beside in ((1280, True), (360, False)):
        tab.show(width, "light")
        tab.open(pages["preference"])
        pairs = tab.ask(tops)
        assert len(pairs) == 4
        assert all((chosen == rejected) is beside for chosen, rejected in pairs)


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize(("name", "limit"), [("troubled", 96), ("broken", 128), ("preference", 128), ("books", 128)])
def test_rows_are_cut_where_the_line_stands(name: str, limit: int, part: str, pages: dict[str, Path], tab: Tab) -> None:
    tab.open(pages[name])
    for width in WIDTHS:
        tab.show(width, "light")
        _check_the_cut(tab, part, limit)


def _check_the_cut(tab: Tab, part: str, limit: int) -> None:
    found = look(tab, f"lengths('{part}')")
    at = (found["cut"]["left"] + found["cut"]["right"]) / 2
    inside = [bar for bar in found["bars"] if not bar["over"]]
    over = [bar for bar in found["bars"] if bar["over"]]
    assert inside
    assert over
    assert max(bar["right"] for bar in inside) <= at + 1
    assert min(bar["left"] for bar in over) >= at - 1
    ends = [int(bar["words"].split(" tokens")[0].split(" to ")[-1].replace(",", "")) for bar in found["bars"]]
    if limit in ends:
        assert abs(found["bars"][ends.index(limit)]["right"] - at) <= 1
    for tick in found["ticks"]:
        middle = (tick["left"] + tick["right"]) / 2
        assert not tick["right"] or (middle < at) == (tick["length"] <= limit), tick
    assert found["limit"] == f"max_length {limit}"
    assert {bar["fill"].startswith("url") for bar in over} == {True}
    assert not {bar["fill"] for bar in over} & {bar["fill"] for bar in inside}
    assert found["frame"]["left"] <= at <= found["frame"]["right"]


def test_bars_are_as_high_as_their_rows(pages: dict[str, Path], tab: Tab) -> None:
    tab.show(1280, "light")
    tab.open(pages["quickstart"])
    bars = look(tab, "lengths('train')")["bars"]
    heights = [bar["bottom"] - bar["top"] for bar in bars]
    rows = [int(re.search(r": ([\d,]+) rows?$", bar["words"])[1].replace(",", "")) for bar in bars]  # type: ignore[index]
    assert sum(rows) == 6000
    assert len({round(height / count * max(rows)) for height, count in zip(heights, rows, strict=True)}) == 1
    assert len({round(bar["bottom"]) for bar in bars}) == 1


@pytest.mark.parametrize("guarded", [True, False], ids=["as it is", "without its policy"])
def test_rows_are_text_and_run_nothing(guarded: bool, pages: dict[str, Path], tmp_path: Path, tab: Tab) -> None:
    """Not even where the page's own policy, which forbids scripts, is taken out."""
    text = pages["hostile"].read_text("utf-8")
    page = tmp_path / "hostile.html"
    page.write_text(text if guarded else POLICY.sub("", text, count=1), "utf-8")
    assert guarded or page.read_text("utf-8") != text
    tab.show(1280, "light")
    tab.open(page)
    look(tab, "provoke()")
    assert tab.said() == []
    assert tab.requests() == [page.as_uri()]
    assert tab.ask("window.pwned") is None
    assert tab.ask("document.querySelectorAll('script, img, iframe, base, form, link, object, body style').length") == 0
    attributes = "[...document.querySelectorAll('*')].flatMap(found => [...found.attributes].map(each => each.name))"
    assert not [name for name in tab.ask(attributes) if name.startswith("on")]
    assert tab.ask("document.querySelector('footer').checkVisibility()")
    shown = texts(tab, ".shown .text")
    assert len(shown) == len(HOSTILE) + 5
    named = (*HOSTILE[:7], "U+202Egnorts", "nul U+0000, bell U+0007, escape U+001B[2J, return CR", HOSTILE[10])
    assert [evil for evil in named if not any(evil in text for text in shown)] == []
    assert not tab.ask(
        "/[\\0-\\x08\\x0b-\\x1f\\u202a-\\u202e\\u2066-\\u2069]/.test(document.documentElement.textContent)"
    )


def test_the_page_can_be_used_by_its_keys(pages: dict[str, Path], tab: Tab) -> None:
    can_be_used_by_keys(tab, pages["troubled"], 3)


def test_pictures_have_words(pages: dict[str, Path], tab: Tab) -> None:
    pictures = told_pictures(tab, pages["troubled"])
    assert len(pictures) == 2
    assert all(" by length" in name and "median" in f"{name} {said}" for name, said in pictures)


@pytest.mark.parametrize("name", ["troubled", "hostile", "plan", "cards", "recommend"])
def test_on_paper_nothing_is_hidden(name: str, pages: dict[str, Path], tab: Tab) -> None:
    nothing_is_hidden_on_paper(tab, pages[name], name)
