"""What the checks of all pages share: how a page is made, what is asked of it, and what has to be true of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from chromium import Tab

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "build" / "browser"
LOOK = Path(__file__).with_name("look.js").read_text("utf-8")
WIDTHS = (360, 768, 1280)
SCHEMES = ("light", "dark")
VIEWS = [pytest.param(width, scheme, id=f"{width}-{scheme}") for width in WIDTHS for scheme in SCHEMES]


def ftc(*arguments: str, folder: Path) -> str:
    """What the command prints, without the network."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "compiler.cli", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.stdout


def look(tab: Tab, question: str) -> Any:
    """What one of look.js's functions answers."""
    return tab.ask(f"({LOOK.strip()}).{question}")


def texts(tab: Tab, selector: str) -> list[str]:
    return tab.ask(f"[...document.querySelectorAll({json.dumps(selector)})].map(found => found.textContent)")


# --- what has to be true of each page


def loads_in_silence(tab: Tab, page: Path, title: str) -> None:
    """And asks for nothing."""
    tab.show(1280, "light")
    tab.open(page)
    assert tab.said() == []
    assert tab.requests() == [page.as_uri()]
    assert tab.ask("document.querySelector('h1').textContent") == title
    assert tab.ask("document.compatMode") == "CSS1Compat"
    assert tab.ask("document.querySelectorAll('script').length") == 0


def nothing_sticks_out(tab: Tab, page: Path, width: int, scheme: str, picture: str) -> None:
    tab.show(width, scheme)
    tab.open(page)
    tab.picture(PICTURES / f"{picture}-{width}-{scheme}.png")
    assert tab.ask("document.documentElement.scrollWidth") <= width
    assert look(tab, "outside()") == []


def all_text_can_be_read(tab: Tab, page: Path, scheme: str) -> None:
    """WCAG AA: 4.5 to 1. The page is left with all of it shown."""
    tab.show(1280, scheme)
    tab.open(page)
    tab.ask("document.querySelectorAll('details').forEach(found => found.open = true)")
    assert tab.ask("getComputedStyle(document.body).backgroundColor") == (
        "rgb(246, 247, 249)" if scheme == "light" else "rgb(14, 18, 23)"
    )
    assert look(tab, "faint(4.5)") == []


def can_be_used_by_keys(tab: Tab, page: Path, least: int) -> None:
    """The tabulator reaches what scrolls and what opens, one after the other, and shows where it is."""
    tab.show(768, "light")
    tab.open(page)
    reached = []
    for _ in range(60):
        for kind in ("keyDown", "keyUp"):
            tab.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        found = tab.ask("[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle]")
        if found[0] == "BODY":
            break
        reached.append(found)
    expected = "[...document.querySelectorAll('[tabindex], summary')].filter(found => found.checkVisibility()).length"
    assert len(reached) == tab.ask(expected) >= least
    assert {style for _, style in reached} == {"solid"}


def told_pictures(tab: Tab, page: Path) -> list[tuple[str, str]]:
    """What a screen reader is told of pictures: names and descriptions. Headings have no gaps."""
    tab.open(page)
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    named = [
        (node["role"]["value"], node["name"]["value"], node.get("description", {}).get("value", ""))
        for node in nodes
        if "name" in node and not node.get("ignored")
    ]
    levels = tab.ask("[...document.querySelectorAll('h1, h2, h3')].map(found => Number(found.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    return [(name, said) for role, name, said in named if role in ("image", "img", "SvgRoot")]


def nothing_is_hidden_on_paper(tab: Tab, page: Path, picture: str) -> None:
    tab.show(794, "light", media="print")
    tab.open(page)
    tab.picture(PICTURES / f"{picture}-print.png")
    tab.printed(PICTURES / f"{picture}.pdf")
    clipped = "[...document.querySelectorAll('.text')].filter(e => e.scrollHeight > e.clientHeight + 1).length"
    assert tab.ask(clipped) == 0
    assert tab.ask("[...document.querySelectorAll('details table')].every(found => found.checkVisibility())")
    assert (PICTURES / f"{picture}.pdf").read_bytes().startswith(b"%PDF")
    tab.show(1280, "light")
