"""Every code has a page, every page's bad example causes it, and its good example causes nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click import Command, Context, Option

from backends.launchers import LAUNCHERS
from compiler.build import compile_recipe
from compiler.codes import Page, explain, pages
from compiler.commands.providers import any_target, asking

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "bad"
SHOWN = [page for page in pages().values() if page.bad and page.code[:4] in ("FTC0", "FTC1", "FTC2", "FTC5")]
OF_TARGETS = [page for page in pages().values() if page.bad and page.code.startswith("FTC4")]

BASE = {
    "version": "version: 1\n",
    "name": "name: example\n",
    "model": "model: {base: meta-llama/Llama-3.1-8B-Instruct}\n",
    "method": "method: {kind: lora}\n",
    "data": "data: {train: {path: data/train.jsonl}}\n",
}
"""What stands around an example that shows only some sections."""


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def whole(example: str) -> str:
    """The recipe that an example is a part of."""
    if re.search(r"^(- )?version:", example, re.MULTILINE):
        return example
    shown = set(re.findall(r"^(\w+):", example, re.MULTILINE))
    return "".join(text for section, text in BASE.items() if section not in shown) + example


def codes_of(example: str) -> list[tuple[str, str]]:
    """What is said of it; a first line may name the target that it is for, and who starts it."""
    named = re.match(r"# --target (\S+)(?: --launcher (\S+))?\n", example)
    asked = any_target(Context(Command("")), Option(["--target"]), named[1]) if named else None
    by = next((name for name in LAUNCHERS if named and name == named[2]), None)
    said = compile_recipe("example", whole(example), FOLDER, asking(asked, launcher=by)).diagnostics
    return [(item.code, item.level) for item in said]


def test_every_code_in_the_source_has_a_page() -> None:
    files = [file for room in ("compiler", "backends", "schemas") for file in (ROOT / room).rglob("*.py")]
    used = {code for file in files for code in re.findall(r"\bFTC\d{3}\b", file.read_text(encoding="utf-8"))}
    assert used - set(pages()) == set()
    assert len(used) > 70


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.code)
def test_the_bad_example_causes_the_code_and_no_other(page: Page) -> None:
    assert page.bad
    assert codes_of(page.bad) == [(page.code, page.level)]


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.code)
def test_the_good_example_causes_nothing(page: Page) -> None:
    assert page.good
    assert codes_of(page.good) == []


@pytest.mark.parametrize("page", OF_TARGETS, ids=lambda page: page.code)
def test_the_bad_example_is_the_only_error_for_its_target(page: Page) -> None:
    assert page.bad
    assert page.good
    assert [code for code, level in codes_of(page.bad) if level == page.level] == [page.code]
    assert [code for code, level in codes_of(page.good) if level == page.level] == []


def test_a_page_reads_as_text() -> None:
    text = explain("ftc206")
    assert text
    assert text.startswith("FTC206 (error): A module that the model does not have")
    assert "    target_modules: [q_proj, v_porj]" in text.replace("      ", "    ")
    assert "```" not in text


def test_an_unknown_code_has_no_page() -> None:
    assert explain("FTC999") is None
