"""The documents as a whole: the site builds without a warning, links lead somewhere, commands in the text exist."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest
from docs_pages import DOCS, EXCUSED, INSTALLS, ROOT, Reader, blocks, commands, pages

from compiler.cli import COMMANDS, main

FRONT = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
INLINE = re.compile(r"`ftc ([a-z][a-z-]*)((?: [^`]*)?)`")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def without_code(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)


class Built(HTMLParser):
    """A built page: its anchors, what it links to and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {value for key in ("id", "name") if (value := found.get(key))}
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        self.loads += [str(found[key]) for key in ("src", "srcset") if found.get(key)]
        if tag == "link" and found.get("rel") != "canonical" and found.get("href"):
            self.loads.append(str(found["href"]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make site` does; a warning is an error."""
    if sys.version_info < (3, 11):
        pytest.skip("the site's generator needs Python 3.11")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def built(site: Path) -> dict[Path, Built]:
    return {path.resolve(): Built(path) for path in site.rglob("*.html")}


def test_every_link_of_the_site_leads_somewhere(site: Path, built: dict[Path, Built]) -> None:
    lost = []
    for path, page in built.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or path.name == "404.html":
                continue
            to = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not to.is_file() or (anchor and to in built and anchor not in built[to].anchors):
                lost.append(f"{path.relative_to(site)}: {link}")
    assert lost == []


def test_links_to_elsewhere_are_well_formed_and_few(built: dict[Path, Built]) -> None:
    """They are not followed: the tests have no network."""
    found = {link for page in built.values() for link in page.links if urlsplit(link).scheme}
    assert all(link.startswith("https://") and urlsplit(link).hostname for link in found)
    assert {urlsplit(link).hostname for link in found} <= ELSEWHERE


ELSEWHERE = {"github.com", "squidfunk.github.io"}


def test_pages_load_nothing_from_elsewhere(built: dict[Path, Built]) -> None:
    loads = {load for page in built.values() for load in page.loads}
    assert {load for load in loads if urlsplit(load).scheme not in ("", "data") or load.startswith("//")} == set()


def test_every_page_can_be_reached(site: Path, built: dict[Path, Built]) -> None:
    """By links from the first page."""
    reached, waiting = set[Path](), [(site / "index.html").resolve()]
    while waiting:
        path = waiting.pop()
        if path in reached or path not in built:
            continue
        reached.add(path)
        waiting += [(path.parent / unquote(urlsplit(link).path)).resolve() for link in built[path].links]
    assert {path.name for path in set(built) - reached} == {"404.html"}


@pytest.mark.parametrize("path", FRONT, ids=lambda path: path.name)
def test_links_of_the_repository_lead_somewhere(path: Path) -> None:
    links = [urlsplit(link) for link in LINK.findall(without_code(path.read_text("utf-8")))]
    lost = [link.path for link in links if not link.scheme and link.path and not (path.parent / link.path).exists()]
    assert lost == []


def named() -> list[tuple[str, str, str]]:
    """Commands that stand in a line of text: page, command, what follows it."""
    texts = {name: (DOCS / name).read_text("utf-8") for name in pages()}
    texts |= {path.name: path.read_text("utf-8") for path in FRONT[:2]}
    lines = {page: without_code(text).replace("\n", " ") for page, text in texts.items()}
    return [(page, *found) for page, line in lines.items() for found in INLINE.findall(line)]


def test_commands_in_the_text_exist_with_their_options() -> None:
    context = click.Context(main)
    wrong = []
    for page, command, rest in named():
        found = main.get_command(context, command) if command in COMMANDS else None
        options = {name for each in found.params for name in each.opts} if found else set()
        if found is None or not set(OPTION.findall(rest)) - {"--help"} <= options:
            wrong.append(f"{page}: ftc {command}{rest}")
    assert wrong == []
    assert len(named()) > 40


def test_the_commands_of_the_readme_are_run_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most are what `docs/generate.py --check` runs, the rest what `make quickstart-real` does."""
    lines = re.findall(r"^\$ (.*)$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    monkeypatch.syspath_prepend(str(DOCS))
    generated = {line for found in runpy.run_path(str(DOCS / "generate.py"))["COMMANDS"].values() for line in found}
    real = (ROOT / "recipes" / "quickstart-real" / "run.py").read_text("utf-8")
    rest = [line for line in lines if line not in generated]
    assert generated <= set(lines)
    assert {line.split()[1] for line in rest} == {"eval", "merge", "chat"}
    assert all(f'"{line.split()[1]}", str(RUN)' in real for line in rest)
    for line in rest:
        assert set(OPTION.findall(line)) <= set(OPTION.findall(real)), line


def test_what_is_not_run_is_there_and_cannot_be_run(tmp_path: Path) -> None:
    """Each excused command stands on its page, and fails here, or fetches packages, which no test does."""
    for number, (page, excused) in enumerate(EXCUSED.items()):
        text = (ROOT / page if page == "README.md" else DOCS / page).read_text("utf-8")
        lines = [command.line for block in blocks(text) for command in commands(block)]
        reader = Reader(tmp_path / str(number))
        for line, why in excused.items():
            assert line in lines, f"{page} has no command {line!r}"
            if why == INSTALLS:
                assert re.search(r"\b(make install|pipx? install)\b", line), line
            else:
                assert reader.run(line)[0] != 0, f"{page}: {line!r} can be run, so it need not be excused"
