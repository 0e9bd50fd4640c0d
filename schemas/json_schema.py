"""The editor's JSON Schema (draft 7), made of `Recipe` and fit for what editors do with one.

yaml-language-server completes wrongly from pydantic's own schema: it offers class names for the arms of a union, writes
`null` for leaves that may be null, and marks the wrong line where a leaf belongs to another method. So references are
written out, the arms of `method` become `if kind … then …`, and titles are paths. Three more habits of it are met here:

- A section's keys and snippets stand under `allOf`: beside the title, every leaf with a default, or the only snippet,
  would be written where the section's name is accepted.
- `null` stands in an `if`, where it is valid and not offered, unless it means something else than the default.
- Alternatives exclude each other and are a `oneOf`: of an `anyOf` a hover shows each, where it takes them for one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, cast

from schemas.catalog_names import catalog_names
from schemas.leaves import Leaf, Value, leaf_at, nodes
from schemas.recipe import Recipe
from schemas.snippets import SNIPPETS

Node = dict[str, object]

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
HIDDEN: Final = ("$schema",)
"""Keys that are accepted and not offered."""


def recipe_schema() -> Node:
    """The schema of a recipe file."""
    raw = cast(Node, Recipe.model_json_schema())
    definitions = cast("dict[str, Node]", raw.pop("$defs"))
    keys, required = _Writer(definitions, None).keys(raw, "")
    about: Node = {"$schema": DRAFT, "title": "recipe", "description": "A recipe of ftc.", "type": "object"}
    return {**about, **keys, "allOf": required, **_snippets("", None)}


class _Writer:
    """Writes nodes of pydantic's schema anew. `definitions`: the sections that references name. `kind`: the method's,
    inside of an arm."""

    def __init__(self, definitions: dict[str, Node], kind: str | None) -> None:
        self.definitions = definitions
        self.kind = kind

    def node(self, raw: Node, path: str) -> Node:
        """One leaf or section, with what is said of it."""
        raw = self._whole(raw)
        leaf = _leaf_at(path, self.kind)
        if "discriminator" in raw:
            body = self._arms(raw, path)
        elif "properties" in raw:
            body = self.section(raw, path)
        else:
            body = self._leaf(raw, leaf)
        return {"title": path, **_said(leaf), **body}

    def section(self, raw: Node, path: str) -> Node:
        """A mapping with known keys; one that needs none of them may be empty."""
        keys, required = self.keys(raw, path)
        types = "object" if required else ["object", "null"]
        said = {"errorMessage": f"expected {_leaf_at(path, self.kind).allowed}"}
        return {"type": types, **said, "allOf": [{**keys, **_snippets(path, self.kind)}, *required]}

    def keys(self, raw: Node, path: str) -> tuple[Node, list[Node]]:
        """The keys of a section, and which of them must be there. Apart: beside its keys, yaml-language-server would
        offer those that must be there once more, as one item."""
        properties = cast("dict[str, Node]", raw["properties"])
        places = {key: f"{path}.{key}".lstrip(".") for key in properties}
        written = {key: self._key(inner, places[key]) for key, inner in properties.items()}
        for key in HIDDEN:
            if key in written:
                written[key] = {**written[key], "doNotSuggest": True}
        required = raw.get("required")
        return {"additionalProperties": False, "properties": written}, [{"required": required}] if required else []

    def _key(self, raw: Node, path: str) -> Node:
        """A key of a section. One of other kinds of an arm may be there, and say nothing."""
        leaf = _leaf_at(path, self.kind)
        if self.kind and path.endswith(".kind"):
            return {}
        if not leaf.kinds or self.kind in leaf.kinds:
            return self.node(raw, path)
        said = f"only {' and '.join(leaf.kinds)} have it"
        return {"title": path, **_said(leaf), "type": "null", "errorMessage": said, "doNotSuggest": True}

    def _whole(self, raw: Node) -> Node:
        """A node with what it refers to; its own description wins."""
        name = raw.get("$ref")
        if not isinstance(name, str):
            return raw
        return {**self.definitions[name.rpartition("/")[2]], **{key: raw[key] for key in raw if key != "$ref"}}

    def _arms(self, raw: Node, path: str) -> Node:
        """`kind` chooses the section: each kind's leaves are allowed beside it alone."""
        rules: list[Node] = []
        for arm in (self._whole(arm) for arm in cast("list[Node]", raw["oneOf"])):
            kinds = [str(kind) for kind in _choices(cast("dict[str, Node]", arm["properties"])["kind"])]
            for alike in _alike(kinds, path):
                keys, _ = _Writer(self.definitions, alike[0]).keys(arm, path)
                each: list[Node] = [{"const": kind} for kind in alike]
                condition: Node = {"required": ["kind"], "properties": {"kind": {"anyOf": each}}}
                rules.append({"if": condition, "then": {**keys, **_snippets(path, alike[0])}})
        leaf = _leaf_at(f"{path}.kind", None)
        kind: Node = {"title": leaf.path, **_said(leaf), **_words(leaf.values)}
        said = {"errorMessage": f"expected {_leaf_at(path, None).allowed}"}
        return {
            "type": "object",
            **said,
            "allOf": [{"properties": {"kind": kind}}, {"required": ["kind"]}, *rules],
        }

    def _leaf(self, raw: Node, leaf: Leaf) -> Node:
        """Words and what else can stand there; examples where it is not one of the words."""
        body = self._alternatives(raw, leaf)
        shown = [item for item in leaf.examples if _is_plain(item) and item not in _enumerated(body)]
        given = leaf.default not in (None, [], {})
        return {
            **body,
            **({"default": leaf.default} if given else {}),
            **({"examples": shown} if shown and "enum" not in body else {}),
            **_suggestions(leaf),
        }

    def _alternatives(self, raw: Node, leaf: Leaf) -> Node:
        """One enum of all words, then what else can stand there, each of which takes none of the words."""
        branches = [self._whole(branch) for branch in cast("list[Node]", raw.get("anyOf", [raw]))]
        choices = [choice for branch in branches for choice in _choices(branch)]
        rest = [branch for branch in branches if not _choices(branch) and branch.get("type") != "null"]
        text = any(branch.get("type") == "string" and "pattern" not in branch for branch in rest)
        words = [value for value in leaf.values if value.value in choices or (text and not _chosen(raw, value))]
        null = len(choices) + len(rest) < len(branches)
        if null and leaf.default is not None:
            words += [value for value in leaf.values if value.value is None]
            null = False
        others = [self._other(branch, leaf, words) for branch in rest]
        return _joined(words, others, null, leaf)

    def _other(self, raw: Node, leaf: Leaf, words: list[Value]) -> Node:
        """What can stand there beside words: numbers, text, lists, sections."""
        kept = {key: raw[key] for key in _CONSTRAINTS if key in raw}
        if kept.get("type") == "object":
            kept["type"] = ["object", "null"]  # as every mapping that needs nothing, it may be empty
        fixed = cast("list[Node] | None", raw.get("prefixItems"))
        if fixed:
            kept |= {"items": [self._alternatives(item, leaf) for item in fixed], "additionalItems": False}
        elif raw.get("type") == "array":
            item = self._whole(cast(Node, raw["items"]))
            kept["items"] = self._source(item, leaf) if "properties" in item else self._alternatives(item, leaf)
        elif "properties" in raw:
            return self.section(raw, _plain(leaf))
        elif raw.get("type") == "string" and "pattern" not in raw and words:
            kept["not"] = {"enum": [word.value for word in words]}
        return {**kept, "errorMessage": f"expected {leaf.allowed}"}

    def _source(self, item: Node, leaf: Leaf) -> Node:
        return {"title": _plain(leaf), **self.section(item, _plain(leaf))}


_CONSTRAINTS: Final = (
    *("type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("minLength", "pattern", "minItems", "maxItems", "additionalProperties"),
)
"""What pydantic's schema says of a value's range and shape, as draft 7 says it too."""


def _joined(words: list[Value], others: list[Node], null: bool, leaf: Leaf) -> Node:
    """The alternatives as one node; `null`: it is valid, and not offered."""
    found, expected = [*others], f"expected {leaf.allowed}"
    if null and "allOf" not in others[-1]:
        found[-1] = {"if": {"type": "null"}, "else": others[-1]}
    if words:
        found.insert(0, {**_words(words), **({"errorMessage": expected} if found else {})})
    if len(found) == 1:
        return found[0]
    if [item.get("type") for item in found] == ["object", "array"]:
        one, several = ({key: said for key, said in item.items() if key != "type"} for item in found)
        types: Node = {"type": ["object", "array"], "errorMessage": expected}
        return {**types, "if": {"type": "array"}, "then": several, "else": one}
    return {"oneOf": found}


def _words(values: Iterable[Value]) -> Node:
    said = tuple(values)
    return {"enum": [item.value for item in said], "enumDescriptions": [item.description for item in said]}


def _is_plain(example: object) -> bool:
    """Whether it can be offered as a value: of mappings a snippet makes more."""
    items = cast("list[object]", example) if isinstance(example, list) else [example]
    return not any(isinstance(item, dict) for item in items)


def _enumerated(body: Node) -> list[object]:
    """The words of a node, or of its first alternative."""
    first = cast("list[Node]", body.get("oneOf", [body]))[0]
    return cast("list[object]", first.get("enum", []))


def _choices(branch: Node) -> list[object]:
    """The values of a branch that lists them."""
    if branch.get("type") == "boolean":
        return [True, False]
    return [branch["const"]] if "const" in branch else cast("list[object]", branch.get("enum", []))


def _chosen(raw: Node, value: Value) -> bool:
    """Whether the word is one of the leaf's own type, and so no suggestion."""
    parts = cast("list[Node]", raw.get("anyOf", [raw]))
    return value.value is None or any(value.value in _choices(part) for part in parts)


def _alike(kinds: list[str], path: str) -> list[list[str]]:
    """The kinds of an arm, those together that have the same leaves."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for kind in kinds:
        has = tuple(leaf.path for leaf in nodes() if leaf.path.startswith(f"{path}.") and kind in leaf.kinds)
        groups.setdefault(has, []).append(kind)
    return list(groups.values())


def _plain(leaf: Leaf) -> str:
    """Its path for people, who know where lists are."""
    return leaf.path.replace("[]", "")


def _leaf_at(path: str, kind: str | None) -> Leaf:
    leaf = leaf_at(path, kind)
    if leaf is None:
        raise LookupError(path)
    return leaf


def _snippets(path: str, kind: str | None) -> Node:
    """What is offered among the keys of a section, in an arm of `method` what is for that arm alone."""
    offered = [item for item in SNIPPETS.get(path, ()) if (kind in item.kinds if item.kinds else kind is None)]
    said = [{"label": item.label, "markdownDescription": item.description, "body": item.body} for item in offered]
    return {"defaultSnippets": said} if said else {}


def _suggestions(leaf: Leaf) -> Node:
    """Names of a catalog, and a beginning of the leaf itself. Not as an enum: a hover would list each name."""
    names = catalog_names(leaf.catalog) if leaf.catalog else {}
    said = [{"label": name, "markdownDescription": text, "body": name} for name, text in names.items()]
    return {"defaultSnippets": said} if said else _snippets(_plain(leaf), None)


def _said(leaf: Leaf) -> Node:
    """What an editor shows."""
    return {"description": leaf.description, "markdownDescription": markdown(leaf)}


def markdown(leaf: Leaf) -> str:
    """Everything to know of a leaf: what it is; default, unit and range; advice."""
    if leaf.keys:
        return leaf.description
    default = "Required" if leaf.required else f"Default `{_yaml(leaf.default)}`"
    meaning = next((item.description for item in leaf.values if item.value == leaf.default), "")
    facts = [
        f"{default} ({meaning.rstrip('.')})" if meaning and not leaf.required else default,
        f"unit: {leaf.unit}" if leaf.unit else "",
        f"allowed: {leaf.allowed}",
    ]
    return "\n\n".join(part for part in (leaf.description, " · ".join(filter(None, facts)), leaf.advice) if part)


def _yaml(value: object) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
