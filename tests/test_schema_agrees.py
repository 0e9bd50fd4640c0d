"""The editor's schema and the loader say yes and no to the same recipes; where they cannot, it is written here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from leaf_values import recipe_leaves, values

from compiler.check import check
from compiler.source import parse
from schemas.json_schema import recipe_schema
from schemas.leaves import Leaf, leaves, nodes
from schemas.snippets import SNIPPETS

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "recipes").rglob("*.ftc.yaml"), *(ROOT / "tests" / "bad").glob("*.yaml")])
SCHEMA: dict[str, Any] = recipe_schema()
VALIDATOR = Draft7Validator(SCHEMA)
SHAPE = "FTC1"
"""How the codes of mistakes begin that a schema can see."""

DIFFERENT = {
    "JSON Schema takes 3.0 for an integer, and YAML's 3.0 is a float: a share, or a mistake": (
        lambda _, value, allowed: allowed and _any(value, lambda item: isinstance(item, float) and item % 1 == 0)
    ),
    "Python takes true for 1, and an editor may say that it is no version": (
        lambda path, value, allowed: not allowed and path == "version" and value is True
    ),
}
"""Why the two differ, and where: the path, the value, and whether the schema allows it."""

WRONG: tuple[Any, ...] = (
    *(None, True, False, "", "no-such-word", "auto", "null", "5", "22GiB", "22G", "epoch"),
    *(0, 1, -1, 3, 4, 10**6, 1 << 32, 0.0, 0.5, -0.5, 1.0, 1.5, 3.0, 1e-9),
    *([], [1], ["x"], [""], [0.5, 0.9], [0.5, 1.0], [0.1, 0.2, 0.3], [None], [[]], ["tensorboard"], [{"path": "x"}]),
    *({}, {"path": "x"}, {"unknown": 1}, {"bits": 4}, {"beta": 0.1}, {"path": 3}, {"path": None}),
)


def _any(value: Any, test: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return test(value) or any(_any(item, test) for item in inner)


@cache
def base(kind: str = "qlora", *, validation: bool = False) -> dict[str, Any]:
    source = {"path": "data/train.jsonl"}
    data: dict[str, Any] = {"train": [source], **({"validation": [source]} if validation else {})}
    return {"version": 1, "name": "x", "model": {"base": "x"}, "method": {"kind": kind}, "data": data}


def with_value(leaf: Leaf, value: Any) -> dict[str, Any]:
    recipe = deepcopy(base(leaf.kinds[0] if leaf.kinds else "qlora", validation="validation[]" in leaf.path))
    *parents, key = leaf.path.split(".")
    place = recipe
    for parent in parents:
        name = parent.removesuffix("[]")
        place = place.setdefault(name, {}) if name == parent else place[name][0]
    place[key] = value
    return recipe


def loads(data: object) -> bool:
    """Whether the loader finds nothing wrong with the shape."""
    source = parse(json.dumps(data, ensure_ascii=False), "x.yaml")
    assert source.data is not None
    return not any(item.code.startswith(SHAPE) for item in (*source.diagnostics, *check(source).findings))


def differs(data: object, value: object, path: str = "") -> Iterator[str]:
    """Why the two differ; an unknown difference is an error."""
    by_schema, by_loader = VALIDATOR.is_valid(data), loads(data)
    if by_schema != by_loader:
        why = [reason for reason, holds in DIFFERENT.items() if holds(path, value, by_schema)]
        assert why, f"the schema says {by_schema}, the loader {by_loader}: {json.dumps(data)}"
        yield from why


def test_shipped_and_broken_recipes() -> None:
    wrong = 0
    for file in FILES:
        source = parse(file.read_text(encoding="utf-8"), str(file))
        if source.data is None or source.diagnostics:
            continue  # no recipe that a schema could be asked about
        by_loader = not any(item.code.startswith(SHAPE) for item in check(source).findings)
        assert VALIDATOR.is_valid(source.data) == by_loader, file.name
        wrong += not by_loader
    assert len(FILES) > 80
    assert wrong >= 5


def test_every_leaf_with_every_value() -> None:
    """Wrong types, values out of range, words of other leaves, null: each leaf, each value."""
    reasons: set[str] = set()
    refused = taken = 0
    for leaf in leaves():
        for value in (*WRONG, *leaf.examples, *(item.value for item in leaf.values)):
            data = with_value(leaf, value)
            reasons.update(differs(data, value, leaf.path))
            refused, taken = refused + (not VALIDATOR.is_valid(data)), taken + VALIDATOR.is_valid(data)
    assert reasons == set(DIFFERENT), "a difference that is listed and not there"
    assert refused > 2000
    assert taken > 500


def test_examples_are_valid() -> None:
    for leaf in nodes():
        for example in leaf.examples:
            recipe = with_value(leaf, example)
            assert loads(recipe), (leaf.path, example)
            assert VALIDATOR.is_valid(recipe), (leaf.path, example)


def test_every_section_with_every_value() -> None:
    for node in nodes():
        for value in WRONG if node.keys else ():
            assert list(differs(with_value(node, value), value)) == []


def test_unknown_and_missing_keys() -> None:
    for node in nodes():
        inside = with_value(node, {"no_such_key": 1}) if node.keys else with_value(node, None)
        list(differs(inside, None))
    for key in base():
        assert list(differs({name: value for name, value in base().items() if name != key}, None)) == []


def test_leaves_of_other_kinds() -> None:
    """Each leaf of `method` under each kind."""
    method = [leaf for leaf in leaves() if leaf.path.startswith("method.") and leaf.kinds]
    kinds = [str(item.value) for leaf in leaves() if leaf.path == "method.kind" for item in leaf.values]
    assert len(kinds) == 11
    for leaf in method:
        for kind in kinds:
            data = with_value(leaf, leaf.examples[0])
            data["method"]["kind"] = kind
            assert list(differs(data, None)) == []
            others = {other for item in leaves() if item.path == leaf.path and item != leaf for other in item.kinds}
            assert VALIDATOR.is_valid(data) == (kind in leaf.kinds) or kind in others


@pytest.mark.parametrize("leaf", recipe_leaves(), ids=lambda leaf: f"{leaf.arm or ''} {leaf.path}".strip())
@given(data=st.data())
@settings(max_examples=10)
def test_whatever_a_leaf_takes(leaf: Any, data: st.DataObject) -> None:
    """Values made of pydantic's own types."""
    value = data.draw(values(leaf))
    found = next(item for item in leaves() if item.path == leaf.path.replace("[0]", "[]"))
    recipe = with_value(found, value)
    if leaf.arm:
        recipe["method"]["kind"] = leaf.arm
    list(differs(recipe, value))


NAMES = sorted({leaf.path.rpartition(".")[2] for leaf in nodes()} | {"no_such_key"})
SCALARS = st.one_of(
    st.sampled_from([None, True, False, 0, 1, 4, 0.5, 1.5, 1e300, "", "auto", "x", "22GiB", "qlora", "epoch"]),
    st.integers(-5, 1 << 40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text("abz 059-_./:#é", max_size=5),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)


@given(leaf=st.sampled_from(nodes()), value=ANYTHING, kind=st.sampled_from(["lora", "full", "ia3", "adapter"]))
@settings(max_examples=400)
def test_anything_anywhere(leaf: Leaf, value: Any, kind: str) -> None:
    """Whatever JSON there is, under keys of the language, at every place."""
    recipe = with_value(leaf, value)
    if isinstance(recipe["method"], dict) and recipe["method"].get("kind") == "qlora" and not leaf.kinds:
        recipe["method"]["kind"] = kind
    list(differs(recipe, value, leaf.path))


@pytest.mark.parametrize("place", SNIPPETS)
def test_snippets_are_valid_when_nothing_is_filled_in(place: str) -> None:
    for snippet in SNIPPETS[place]:
        body = _filled(snippet.body)
        recipe = deepcopy(base(snippet.kinds[0] if snippet.kinds else "qlora"))
        target = recipe.setdefault(place, {}) if place else recipe
        target.update(body)
        assert loads(recipe), snippet.label
        assert VALIDATOR.is_valid(recipe), snippet.label


def _filled(value: Any) -> Any:
    """With what stands in the places at first, read as YAML would read it."""
    if isinstance(value, dict):
        return {key: _filled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner) for inner in value]
    if not isinstance(value, str) or not value.startswith("${"):
        return value
    source = parse(f"value: {value.partition(':')[2].removesuffix('}')}", "x")
    assert source.data
    return source.data["value"]
