"""The schema that editors read: every leaf, in words that an editor can use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from compiler.shape import arms, fields_of
from schemas.json_schema import recipe_schema
from schemas.recipe import Data, Recipe, Source, Training

SCHEMA: dict[str, Any] = recipe_schema()
METHOD = SCHEMA["properties"]["method"]


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(inner)


def test_it_is_plain_json_of_draft_7() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert not any({"$ref", "discriminator", "prefixItems"} & set(node) for node in nodes(SCHEMA))


def test_every_key_of_the_language_is_there() -> None:
    properties = SCHEMA["properties"]
    assert list(properties) == list(fields_of(Recipe))
    assert list(properties["training"]["properties"]) == list(fields_of(Training))
    assert list(properties["data"]["properties"]) == list(fields_of(Data))
    assert list(properties["data"]["properties"]["train"]["anyOf"][0]["properties"]) == list(fields_of(Source))


def test_each_kind_allows_its_own_leaves() -> None:
    known = arms(fields_of(Recipe)["method"])
    allowed = {kind: rule["then"] for rule in METHOD["allOf"] for kind in rule["if"]["properties"]["kind"]["enum"]}
    assert METHOD["properties"]["kind"]["enum"] == list(known) == list(allowed)
    for kind, section in known.items():
        assert list(allowed[kind]["properties"]) == list(fields_of(section))
        assert allowed[kind]["additionalProperties"] is False


def test_sections_may_be_empty_unless_they_need_something() -> None:
    properties = SCHEMA["properties"]
    assert properties["training"]["type"] == ["object", "null"]
    assert properties["model"]["type"] == "object"
    assert properties["model"]["required"] == ["base"]


def test_alternatives_that_are_words_are_one_list() -> None:
    leaf = SCHEMA["properties"]["training"]["properties"]["gradient_checkpointing"]
    assert leaf["enum"] == ["auto", "selective", "offload", True, False]


def test_every_leaf_has_its_path_its_meaning_and_its_default() -> None:
    leaf = SCHEMA["properties"]["data"]["properties"]["max_length"]
    assert leaf["title"] == "data.max_length"
    assert leaf["default"] == 2048
    assert leaf["markdownDescription"] == f"{leaf['description']}\n\nDefault: `2048`"
    assert all("null" not in str(node.get("default", "")) for node in nodes(SCHEMA))
