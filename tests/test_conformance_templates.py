"""What `make conformance` says of chat templates: differences are seen, and what is known of them is still so."""

from __future__ import annotations

from typing import Any

import pytest
from chat_corpus import CATALOGED, SHAPES, corpus
from summary import PAGE
from templates import TITLE, compare, differences, plan, section
from templates_known import KNOWN, OWN

WRITTEN: dict[str, Any] = {"text": "<a>yes<b>", "ids": [1, 2, 3], "trained": ["yes<b>"]}


@pytest.mark.parametrize(
    ("ours", "theirs", "seen"),
    [
        (WRITTEN, WRITTEN, []),
        (WRITTEN, {**WRITTEN, "text": "<a> yes<b>", "ids": [1, 4, 2, 3]}, ["text"]),
        (WRITTEN, {**WRITTEN, "ids": [1, 5, 6, 3]}, ["tokens"]),
        (WRITTEN, {**WRITTEN, "trained": ["yes"]}, ["trained"]),
        (WRITTEN, {"refused": "no"}, ["taken"]),
        ({"refused": "FTC523"}, WRITTEN, ["taken"]),
        ({"refused": "FTC523"}, {"refused": "no"}, []),
        ({**WRITTEN, "trained": None}, WRITTEN, ["trained"]),
        # Axolotl renders its own template, and trains in ours.
        (WRITTEN, {"text": "<a>yes<b>", "trained": ["yes<b>"]}, []),
        (WRITTEN, {"trained": ["yes<b>"]}, []),
        (WRITTEN, {"text": "<a>yes", "trained": None, "why": "it fell"}, ["text", "trained"]),
        (WRITTEN, {"refused": "no", "trained": ["yes<b>"]}, ["taken"]),
        ({"refused": "FTC523"}, {"text": "<a>yes<b>", "trained": ["yes<b>"]}, ["taken", "trained"]),
    ],
)
def test_what_differs_is_seen(ours: dict[str, Any], theirs: dict[str, Any], seen: list[str]) -> None:
    assert [aspect for aspect, _ in differences(ours, theirs)] == seen


def test_a_difference_that_is_not_known_and_one_that_is_gone_are_both_wrong() -> None:
    planned = {"phi4": plan(corpus()["phi4"])}
    same = {"phi4": {"added": 0, "shapes": planned["phi4"]}}
    alike = compare("llamafactory", planned, same)
    assert not alike.new
    assert "taken phi4 open: known to differ, and does not" in alike.gone
    shapes = {**planned["phi4"], "one": {**planned["phi4"]["one"], "text": "another"}}
    other = compare("llamafactory", planned, {"phi4": {"added": 1, "shapes": shapes}})
    assert [line.partition(":")[0] for line in other.new] == ["vocabulary phi4 *", "text phi4 one"]
    assert alike.wrong
    assert other.wrong


@pytest.mark.parametrize("tool", KNOWN)
def test_what_is_known_is_about_templates_and_conversations_that_there_are(tool: str) -> None:
    names = {*corpus(), *(f"catalog/{name}" for name in CATALOGED)}
    assert OWN[tool].keys() <= names
    for entry in KNOWN[tool]:
        assert set(entry.templates) <= names
        assert set(entry.shapes) <= SHAPES.keys()
        assert entry.why


def test_the_page_says_what_is_known_today() -> None:
    """It is written by the run that has checked it."""
    page = PAGE.read_text(encoding="utf-8")
    written = page[page.index(TITLE) :]
    for entries in KNOWN.values():
        assert all(entry.why in written for entry in entries)
    assert section([]).strip() in written
