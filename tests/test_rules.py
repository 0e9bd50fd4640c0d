"""Every mistake at its place: the recipes of tests/bad say in comments which codes belong to which line and column.

`# FTC206:28` behind a line means: that code, there. Nothing else may be reported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from compiler.build import Options, compile_recipe
from compiler.codes import pages
from schemas.diagnostic import dotted

BAD = Path(__file__).parent / "bad"
RECIPES = sorted(BAD.glob("*.yaml"))


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def expected(text: str) -> list[tuple[int, int, str]]:
    """Line, column and code of every mistake, from the comments."""
    found: list[tuple[int, int, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        _, _, comment = line.partition("  # ")
        found += [(number, int(column), code) for code, column in re.findall(r"(FTC\d{3}):(\d+)", comment)]
    return sorted(found)


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_every_mistake_at_its_place_and_no_others(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    said = compile_recipe(file.name, text, file.parent, Options()).diagnostics
    assert sorted((item.span.line, item.span.column, item.code) for item in said) == expected(text)


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_messages_say_what_is_wrong_and_spans_lie_in_the_text(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines()
    for item in compile_recipe(file.name, text, file.parent, Options()).diagnostics:
        assert item.message
        assert not item.message.endswith(".")
        assert item.span.line <= item.span.end_line <= len(lines)
        assert (item.span.line, item.span.column) < (item.span.end_line, item.span.end_column)
        assert item.level == pages()[item.code].level


def test_every_rule_is_planted_somewhere() -> None:
    planted = {code for file in RECIPES for _, _, code in expected(file.read_text(encoding="utf-8"))}
    # Codes from FTC510 on are about rows: tests/test_bad_rows.py.
    rules = {code for code in pages() if code[:4] in ("FTC1", "FTC2") or "FTC500" < code < "FTC510"}
    assert rules <= planted


def test_rules_are_silent_about_broken_leaves() -> None:
    """`objective` is misspelt, so that nothing is known about what belongs to it; `max_steps` is another matter."""
    text = """
version: 1
name: example
model: {base: meta-llama/Llama-3.1-8B-Instruct}
method: {kind: lora, rank: many}
data: {train: {path: data/pairs.jsonl}}
training:
  objective: dpoo
  preference: {beta: 0.2}
  epochs: 2
  max_steps: 10
"""
    said = compile_recipe("r", text, BAD, Options()).diagnostics
    assert [(item.code, item.path) for item in said] == [
        ("FTC103", "method.rank"),
        ("FTC103", "training.objective"),
        ("FTC251", "training.max_steps"),
    ]


def written_leaves(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Paths of all scalars in a recipe."""
    inside = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in inside:
        yield from written_leaves(value, (*path, key))
    if path and not isinstance(data, dict | list):
        yield path


def replaced(data: Any, path: tuple[str | int, ...], value: object) -> Any:
    if not path:
        return value
    copy = data.copy()
    copy[path[0]] = replaced(data[path[0]], path[1:], value)
    return copy


@pytest.mark.parametrize("file", [file for file in RECIPES if file.stem[:5] not in ("FTC00", "FTC01")], ids=str)
def test_breaking_a_leaf_adds_one_mistake_and_no_other(file: Path) -> None:
    """What its default would lead to is not the user's doing."""
    data = yaml.safe_load(file.read_text(encoding="utf-8"))
    before = {(item.code, item.path) for item in compile_recipe("r", yaml.safe_dump(data), BAD, Options()).diagnostics}
    for path in written_leaves(data):
        text = yaml.safe_dump(replaced(data, path, [[]]))
        said = compile_recipe("r", text, BAD, Options()).diagnostics
        added = [item for item in said if (item.code, item.path) not in before]
        assert len(added) <= 1, (path, added)
        assert all(item.path.startswith(dotted(path)) for item in added)


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("FTC250", "write 8 or 12"),
        ("FTC235", "write split: train and limit: 0.2"),
        ("FTC206", 'did you mean "v_proj"?'),
        ("FTC239", "chatml"),
        ("FTC277", "a100-40gb"),
        ("FTC501", 'did you mean "data/train.jsonl"?'),
        ("FTC104", "remove it, or choose another kind than ia3"),
        ("quantization_of_lora", "write `kind: qlora`"),
    ],
)
def test_hints_say_what_to_write(recipe: str, words: str) -> None:
    file = BAD / f"{recipe}.yaml"
    said = compile_recipe(file.name, file.read_text(encoding="utf-8"), BAD, Options()).diagnostics
    assert words in (said[0].hint or "")
