"""The editor's JSON Schema (draft 7), printed from `Recipe` and made fit for what editors do with one.

yaml-language-server completes wrongly from pydantic's own schema: it offers class names for the arms of a union, writes
`null` for leaves that may be null, and marks the wrong line where a leaf belongs to another method. So references are
written out, the arms of `method` become `if kind … then …`, alternatives that are words become one enum, and titles
are paths. Empty sections are allowed, as they are in a recipe.
"""

from __future__ import annotations

from typing import Final, cast

from schemas.recipe import Recipe

Node = dict[str, object]

DRAFT: Final = "http://json-schema.org/draft-07/schema#"


def recipe_schema() -> Node:
    """The schema of a recipe file."""
    raw = cast(Node, Recipe.model_json_schema())
    definitions = cast("dict[str, Node]", raw.pop("$defs"))
    return {"$schema": DRAFT, **_Writer(definitions).section(raw, ""), "title": "recipe", "type": "object"}


class _Writer:
    """Writes nodes of pydantic's schema anew; `definitions`: the sections that references name."""

    def __init__(self, definitions: dict[str, Node]) -> None:
        self.definitions = definitions

    def node(self, raw: Node, path: str) -> Node:
        """One leaf or section."""
        raw = self._whole(raw)
        if "discriminator" in raw:
            body = self._arms(raw, path)
        elif "anyOf" in raw:
            body = self._alternatives(raw, path)
        elif raw.get("type") == "array":
            body = self._list(raw, path)
        elif "properties" in raw:
            body = self.section(raw, path)
        else:
            body = {key: value for key, value in raw.items() if key not in ("title", "description", "default")}
        return {"title": path, **body, **_words(raw)}

    def section(self, raw: Node, path: str) -> Node:
        """A mapping with known keys; one that needs none of them may be empty."""
        properties = cast("dict[str, Node]", raw["properties"])
        written = {key: self.node(inner, f"{path}.{key}".lstrip(".")) for key, inner in properties.items()}
        required = raw.get("required")
        types: Node = {"required": required, "type": "object"} if required else {"type": ["object", "null"]}
        return {"additionalProperties": False, "properties": written, **types}

    def _whole(self, raw: Node) -> Node:
        """A node with what it refers to; its own description wins."""
        name = raw.get("$ref")
        if not isinstance(name, str):
            return raw
        return {**self.definitions[name.rpartition("/")[2]], **{key: raw[key] for key in raw if key != "$ref"}}

    def _arms(self, raw: Node, path: str) -> Node:
        """`kind` chooses the section: each kind's leaves are allowed beside it alone."""
        arms = [self._whole(arm) for arm in cast("list[Node]", raw["oneOf"])]
        rules: list[Node] = []
        kinds: list[object] = []
        for arm in arms:
            section = self.section(arm, path)
            properties = cast("dict[str, Node]", section["properties"])
            own = _enumerated(properties["kind"])
            kinds += own
            condition: Node = {"required": ["kind"], "properties": {"kind": {"enum": own}}}
            rules.append({"if": condition, "then": {"additionalProperties": False, "properties": properties}})
        kind: Node = {"title": f"{path}.kind", "enum": kinds, **_words({"description": "How the base is adapted."})}
        return {"type": "object", "required": ["kind"], "properties": {"kind": kind}, "allOf": rules}

    def _alternatives(self, raw: Node, path: str) -> Node:
        """Words and truth values become one enum; what else can stand there remains beside it."""
        branches = [self._whole(branch) for branch in cast("list[Node]", raw["anyOf"])]
        nullable = any(branch.get("type") == "null" for branch in branches)
        words = [word for branch in branches for word in _enumerated(branch)]
        others = [
            self.node(branch, path) for branch in branches if not _enumerated(branch) and branch.get("type") != "null"
        ]
        others = [{key: value for key, value in other.items() if key != "title"} for other in others]
        if words:
            others.insert(0, {"enum": words})
        if nullable:
            others.append({"type": "null"})
        body: Node = others[0] if len(others) == 1 else {"anyOf": others}
        return {**body, **({"examples": raw["examples"]} if "examples" in raw else {})}

    def _list(self, raw: Node, path: str) -> Node:
        """A list of one kind of items, or of a fixed number of them (written as draft 7 has it)."""
        kept = {key: raw[key] for key in ("type", "minItems", "maxItems", "examples") if key in raw}
        fixed = cast("list[Node] | None", raw.get("prefixItems"))
        if fixed:
            return {**kept, "items": [self.node(item, path) for item in fixed], "additionalItems": False}
        return {**kept, "items": self.node(cast(Node, raw["items"]), path)}


def _enumerated(branch: Node) -> list[object]:
    """The values of a branch that lists them."""
    if branch.get("type") == "boolean":
        return [True, False]
    return [branch["const"]] if "const" in branch else cast("list[object]", branch.get("enum", []))


def _words(raw: Node) -> Node:
    """What an editor shows, and the default where it is a value."""
    default = raw.get("default")
    text = str(raw.get("description", ""))
    said = "" if default is None else f"\n\nDefault: `{_yaml(default)}`"
    words: Node = {"description": text, "markdownDescription": text + said} if text else {}
    return words if default is None else {**words, "default": default}


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
