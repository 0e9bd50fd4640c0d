"""The schema that editors read: every leaf, in words that an editor can use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft7Validator

import schemas
from compiler.cli import COMMANDS
from compiler.shape import arms, fields_of
from schemas.catalog_names import catalog_names
from schemas.json_schema import HIDDEN, recipe_schema
from schemas.leaves import Leaf, leaf_at, leaves, nodes
from schemas.recipe import Data, Optimizer, Recipe, Source, Training

SCHEMA: dict[str, Any] = recipe_schema()
METHOD = SCHEMA["properties"]["method"]
INSIDE = ("allOf", "oneOf", "items", "if", "then", "else")
"""Under which a node has further nodes of the same place."""


def everything(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from everything(inner)


def properties(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key of the schema with its node, from the top down."""
    for item in node if isinstance(node, list) else [node]:
        if isinstance(item, dict):
            for key, inner in item.get("properties", {}).items():
                yield key, inner
                yield from properties(inner)
            for place in INSIDE:
                yield from properties(item.get(place, []))


def keys(section: dict[str, Any]) -> dict[str, Any]:
    """The keys of a section."""
    return section["allOf"][0]["properties"]


FOUND = [node for key, node in properties(SCHEMA) if node.get("title")]


def test_it_is_plain_json_of_draft_7() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    foreign = {"$ref", "$defs", "discriminator", "prefixItems", "advice", "unit", "values", "catalog", "kinds"}
    constraints = [node for node in everything(SCHEMA) if "title" in node or "type" in node]
    assert not any(foreign & set(node) for node in constraints)


def test_every_key_of_the_language_is_there() -> None:
    top = SCHEMA["properties"]
    assert list(top) == list(fields_of(Recipe))
    assert list(keys(top["training"])) == list(fields_of(Training))
    assert list(keys(top["data"])) == list(fields_of(Data))
    assert list(keys(keys(top["data"])["train"]["else"])) == list(fields_of(Source))


def test_each_kind_allows_its_own_leaves() -> None:
    known = arms(fields_of(Recipe)["method"])
    kinds, _, *rules = METHOD["allOf"]
    allowed = {each["const"]: rule["then"] for rule in rules for each in rule["if"]["properties"]["kind"]["anyOf"]}
    assert kinds["properties"]["kind"]["enum"] == list(known)
    assert set(allowed) == set(known)
    for kind, section in known.items():
        assert list(allowed[kind]["properties"]) == list(fields_of(section))
        assert allowed[kind]["additionalProperties"] is False


def test_sections_may_be_empty_unless_they_need_something() -> None:
    top = SCHEMA["properties"]
    assert top["training"]["type"] == ["object", "null"]
    assert top["model"]["type"] == "object"
    assert top["model"]["allOf"][1] == {"required": ["base"]}


def test_alternatives_that_are_words_are_one_list() -> None:
    leaf = keys(SCHEMA["properties"]["training"])["gradient_checkpointing"]
    assert leaf["enum"] == ["auto", "selective", "offload", True, False]


def test_an_editor_is_told_everything_of_every_leaf() -> None:
    """`description`, unit, default, range, advice and an example, of arms, nested sections and list items too."""
    described = {node["title"] for node in FOUND}
    assert {leaf.path.replace("[]", "") for leaf in nodes()} == described
    for node in FOUND:
        mine = [leaf for leaf in nodes() if leaf.path.replace("[]", "") == node["title"]]
        assert any(told(leaf, node["markdownDescription"]) for leaf in mine), node["title"]
        plain = [leaf for leaf in mine if not leaf.keys and not isinstance(leaf.examples[0], dict)]
        if plain and node.get("type") != "null":
            assert node.get("examples") or "enum" in node or "oneOf" in node, node["title"]


def told(leaf: Leaf, text: str) -> bool:
    """Whether a text says all there is to say of the leaf."""
    if leaf.keys:
        return text == leaf.description
    said = (leaf.description, leaf.allowed, leaf.advice, leaf.unit or "")
    return all(part in text for part in said) and ("Required" if leaf.required else "Default `") in text


def test_every_word_is_explained() -> None:
    lists = [node for node in everything(SCHEMA) if "enum" in node and "enumDescriptions" in node]
    assert len(lists) > 50
    for node in lists:
        assert len(node["enum"]) == len(node["enumDescriptions"])
        assert all(node["enumDescriptions"]), node["enum"]
    bare = [node for node in everything(SCHEMA) if "enum" in node and "enumDescriptions" not in node]
    assert all(set(node) == {"enum"} for node in bare), "only what a text must not be"


def test_nothing_of_pydantic_shows() -> None:
    names = {leaf.__name__ for leaf in (Training, Data, Source)} | {"LoraMethod", "FullMethod", "Quantization"}
    texts = {str(value) for node in everything(SCHEMA) for value in node.values() if isinstance(value, str)}
    assert not any(name in text.split() for name in names for text in texts)
    assert all(node.get("default", "") is not None for node in everything(SCHEMA))
    assert [key for key, node in properties(SCHEMA) if key in HIDDEN and not node.get("doNotSuggest")] == []


def admits_number(leaf: Leaf) -> bool:
    return "an integer" in leaf.allowed or "a number" in leaf.allowed or "numbers" in leaf.allowed


@pytest.mark.parametrize("leaf", leaves(), ids=lambda leaf: f"{leaf.kinds[0] if leaf.kinds else ''} {leaf.path}")
def test_every_leaf_says_what_it_is(leaf: Leaf) -> None:
    assert leaf.description.endswith((".", "re:"))
    assert leaf.advice.endswith(".")
    assert "\n" not in leaf.advice
    assert leaf.advice != leaf.description
    assert leaf.examples
    # What takes a number has a unit, and a number of bits; words, truth values, names and texts have none.
    assert bool(leaf.unit) == (admits_number(leaf) or leaf.path.endswith(".bits"))
    off = [value.description for value in leaf.values if value.value is None]
    assert leaf.required or leaf.default is not None or all(off or [False]), "what it is when nothing is said"
    assert all(value.description.endswith(".") for value in leaf.values)
    assert len({value.description for value in leaf.values}) == len(leaf.values)


def test_what_texts_name_exists() -> None:
    """Commands, and leaves by their path."""
    for leaf in leaves():
        for text in (leaf.description, leaf.advice, *(value.description for value in leaf.values)):
            assert {name for name in re.findall(r"`ftc (\w+)", text) if name not in COMMANDS} == set()
            named = re.findall(r"\b([a-z_]+(?:\.[a-z_]+)+)\b(?! *\()", text)
            ours = [path for path in named if path.partition(".")[0] in Recipe.model_fields]
            assert [path for path in ours if leaf_at(path) is None] == []


def test_words_of_a_leaf_are_those_of_its_type() -> None:
    found = leaf_at("training.optimizer")
    assert found
    assert tuple(value.value for value in found.values) == ("auto", *get_args(Optimizer))
    closed = [leaf for leaf in leaves() if not leaf.open]
    for leaf in closed:
        assert all(str(value.value).lower() in f"{leaf.allowed.lower()} none" for value in leaf.values)


def test_chat_templates_are_those_of_the_catalog() -> None:
    folder = Path(schemas.__file__).parent / "catalog" / "chat_templates"
    found = leaf_at("model.chat_template")
    assert found
    assert {value.value for value in found.values} - {"auto", "tokenizer"} == {
        path.stem for path in folder.glob("*.jinja")
    }


def test_catalog_names_are_suggested_and_nothing_else_is_refused() -> None:
    for path, catalog in (("model", "models"), ("hardware", "gpus")):
        leaf = keys(SCHEMA["properties"][path])["base" if path == "model" else "gpu"]
        names = catalog_names(catalog)
        assert [item["body"] for item in leaf["defaultSnippets"]] == list(names)
        assert "enum" not in leaf
        assert len(names) > 40
    assert "parameters" in catalog_names("models")["Qwen/Qwen3-8B"]
    assert catalog_names("gpus")["t4"] == "NVIDIA T4, 14.6 GiB usable, no bfloat16."


def test_a_leaf_is_found_by_its_path() -> None:
    def description(path: str, kind: str | None = None) -> str | None:
        leaf = leaf_at(path, kind)
        return leaf.description if leaf else None

    assert description("data.train[0].path") == description("data.train.path") == description("data.train[].path")
    assert description("method.target_modules", "ia3") == "Modules that are scaled."
    assert description("method.target_modules[1]", "lora") != description("method.target_modules", "ia3")
    assert description("method.quantization.bits", "qlora")
    assert description("training") == "How it is trained."
    assert description("no.such.leaf") is None
    validation, raw, freeze = (leaf_at(path) for path in ("data.validation", "targets.axolotl", "method.freeze"))
    assert validation and raw and freeze
    assert (validation.default, raw.default, freeze.default) == (0.05, {}, [])
    assert len(leaves()) > 120
