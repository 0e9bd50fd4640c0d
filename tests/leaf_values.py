"""Every leaf of the recipe language, with valid values for it: read off the schema, so that no leaf is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from schemas.method import Method
from schemas.recipe import Recipe, Source

ARMS: tuple[type[BaseModel], ...] = get_args(get_args(Method)[0])


@dataclass(frozen=True)
class Leaf:
    """`arm` is the method kind that the leaf belongs to, None outside `method`."""

    path: str
    field: FieldInfo
    arm: str | None


def recipe_leaves() -> list[Leaf]:
    """Every leaf, `data.train` and `data.validation` as lists of one source."""
    return [leaf for name, field in Recipe.model_fields.items() if name != "schema_" for leaf in _walk(name, field)]


def _walk(path: str, field: FieldInfo, arm: str | None = None) -> Iterator[Leaf]:
    if path == "method":
        for model in ARMS:
            kinds = get_args(model.model_fields["kind"].annotation)
            for name, inner in model.model_fields.items():
                yield from _walk(f"method.{name}", inner, "qlora" if "qlora" in kinds else kinds[0])
        return
    section = _section(field.annotation)
    if section is None:
        yield Leaf(path, field, arm)
    elif section is Source:
        for name, inner in Source.model_fields.items():
            yield from _walk(f"{path}[0].{name}", inner, arm)
        if path == "data.validation":
            yield Leaf(path, field, arm)
    else:
        for name, inner in section.model_fields.items():
            yield from _walk(f"{path}.{name}", inner, arm)


def _section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section(part))), None)


def values(leaf: Leaf) -> st.SearchStrategy[Any]:
    """Valid values of a leaf, as YAML would give them."""
    schema = TypeAdapter(leaf.field.rebuild_annotation()).json_schema()
    if leaf.path == "data.validation":
        return st.one_of(st.none(), st.integers(1, 50), st.floats(0.1, 0.9))
    return _from_schema(schema)


def _from_schema(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "anyOf" in schema:
        return st.one_of(*map(_from_schema, schema["anyOf"]))
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return _BY_TYPE[schema["type"]](schema)


def _integer(schema: dict[str, Any]) -> st.SearchStrategy[int]:
    return st.integers(schema.get("minimum", 1), min(schema.get("exclusiveMaximum", 99), 99))


def _number(schema: dict[str, Any]) -> st.SearchStrategy[float]:
    low = schema.get("exclusiveMinimum", schema.get("minimum", 0))
    high = schema.get("exclusiveMaximum", schema.get("maximum", 50))
    return st.floats(low, high, width=16, exclude_min="exclusiveMinimum" in schema, exclude_max=high < 50)


def _string(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    if "pattern" in schema:
        return st.from_regex(schema["pattern"].replace("$", r"\Z"), alphabet=st.characters(codec="ascii"))
    return st.text(st.sampled_from("abcxyz_019"), min_size=1, max_size=8)


def _array(schema: dict[str, Any]) -> st.SearchStrategy[list[Any]]:
    if "prefixItems" in schema:
        return st.tuples(*map(_from_schema, schema["prefixItems"])).map(list)
    return st.lists(_from_schema(schema["items"]), min_size=1, max_size=2, unique=True)


_BY_TYPE = {
    "boolean": lambda _: st.booleans(),
    "integer": _integer,
    "number": _number,
    "string": _string,
    "array": _array,
    "null": lambda _: st.none(),
    "object": lambda _: st.dictionaries(st.text("abc", min_size=1), st.integers(), min_size=1, max_size=2),
}
