"""`make browser`: the documentation site in a real browser, read from its folder, as a person without a network would.

It is built anew first, as `make site` does. Pictures go to build/browser.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from chromium import Tab
from looking import PICTURES, ROOT, SCHEMES, look, texts

PAGES = (
    "index.html",
    "tutorial.html",
    "how-to/memory.html",
    "reference/recipe/training.html",
    "reference/commands.html",
    "targets.html",
)
WIDTHS = (390, 1280)
THEME = ".md-header, .md-tabs, .md-sidebar, .md-footer, .headerlink, .md-top"
"""What is the theme's and not ours."""
FOUND = ".md-search-result__link"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=True)
    return folder


def search(tab: Tab, words: str) -> list[str]:
    """Type into the search, and wait for what it lists."""
    focused = "document.querySelector('[data-md-component=search-query]').focus()"
    tab.ask(focused)
    tab.call("Input.insertText", text=words)
    waiting = f"""new Promise(done => {{
      const query = document.querySelector('[data-md-component=search-query]');
      const look = () => {{
        query.dispatchEvent(new Event('keyup', {{ bubbles: true }}));
        const found = [...document.querySelectorAll('{FOUND}')].map(link => link.getAttribute('href'));
        found.length ? done(found) : setTimeout(look, 50);
      }};
      look();
    }})"""
    return tab.ask(waiting)


def ours(tab: Tab, site: Path) -> bool:
    """Whether everything that was asked for is the site's own."""
    return all(url.startswith((site.as_uri(), "data:", "about:")) for url in tab.requests())


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_in_silence_from_its_folder(page: str, site: Path, tab: Tab) -> None:
    tab.show(1280, "light")
    tab.open(site / page)
    assert tab.said() == []
    assert ours(tab, site), tab.requests()
    assert len(texts(tab, "h1")) == 1
    assert tab.ask("[...document.images].filter(each => each.complete && !each.naturalWidth).length") == 0


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("page", PAGES)
def test_nothing_sticks_out(page: str, scheme: str, width: int, site: Path, tab: Tab) -> None:
    tab.show(width, scheme)
    tab.open(site / page)
    tab.picture(PICTURES / f"site-{page.replace('/', '-').removesuffix('.html')}-{width}-{scheme}.png")
    assert tab.ask("document.documentElement.scrollWidth") <= width
    assert tab.ask("document.body.dataset.mdColorScheme") == {"light": "default", "dark": "slate"}[scheme]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("page", PAGES[:4])
def test_text_can_be_read(page: str, scheme: str, site: Path, tab: Tab) -> None:
    """Of the article; 3.5 to 1, which the theme's own colours of code keep."""
    tab.show(1280, scheme)
    tab.open(site / page)
    tab.ask(f"document.querySelectorAll('{THEME}').forEach(found => found.remove())")
    assert look(tab, "faint(3.5)") == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [("max_length", "reference/recipe/data.html"), ("FTC301", "codes.html"), ("merge", "tutorial.html")],
)
def test_the_search_finds(words: str, expected: str, site: Path, tab: Tab) -> None:
    tab.show(1280, "light")
    tab.open(site / "how-to" / "memory.html")
    found = search(tab, words)
    assert any(expected in link for link in found), json.dumps(found)
    assert tab.said() == []
    assert ours(tab, site), tab.requests()
