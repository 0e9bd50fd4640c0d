"""Values of a shape that a key cannot have: a list where a number belongs, a word where a section does.

The tools stop at them. They are taken out before a config is read, so that what reads it knows what it holds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final, cast

QUOTED: Final = re.compile(r'"[^"]*"')
"""A word among the values that a key can have."""
SCALAR: Final = re.compile(r"\b(str|int|float|bool)\b|\"")


def sound(
    config: Mapping[str, object], kinds: Mapping[str, str], lists: Collection[str] = ()
) -> tuple[dict[str, object], tuple[str, ...]]:
    """The config without such values, and their paths. `kinds`: key → its types, as lists of known keys spell them;
    `lists`: keys that may be lists all the same."""
    odd: list[str] = []
    found = _section(config, "", "", _Kinds(kinds, lists, odd))
    return found, tuple(odd)


class _Kinds:
    def __init__(self, kinds: Mapping[str, str], lists: Collection[str], odd: list[str]) -> None:
        self.kinds, self.lists, self.odd = kinds, lists, odd
        self.sections = {key.rpartition(".")[0] for key in kinds if "." in key}


def _section(section: Mapping[str, object], path: str, listed: str, kinds: _Kinds) -> dict[str, object]:
    kept: dict[str, object] = {}
    for name, value in section.items():
        here, key = (f"{path}.{name}", f"{listed}.{name}") if path else (name, name)
        if _fits(value, key, kinds):
            kept[name] = _inside(value, here, key, kinds)
        else:
            kinds.odd.append(here)
    return kept


def _inside(value: object, path: str, listed: str, kinds: _Kinds) -> object:
    if isinstance(value, dict):
        return _section(cast("dict[str, object]", value), path, listed, kinds)
    if not isinstance(value, list):
        return value
    kept: list[object] = []
    for index, item in enumerate(cast("list[object]", value)):
        sections = f"{listed}[]" in kinds.sections
        if isinstance(item, dict) and sections:
            kept.append(_section(cast("dict[str, object]", item), f"{path}[{index}]", f"{listed}[]", kinds))
        elif sections or (isinstance(item, dict | list) and "section" not in kinds.kinds.get(listed, "any")):
            kinds.odd.append(f"{path}[{index}]")
        elif item is not None:
            kept.append(cast(object, item))
    return kept


def _fits(value: object, key: str, kinds: _Kinds) -> bool:
    kind = kinds.kinds.get(key)
    kind = None if kind is None else QUOTED.sub('"', kind)
    if value is None or (kind is None and key not in kinds.sections) or kind == "any":
        return True
    kind = kind or ""
    if isinstance(value, dict):
        return key in kinds.sections or "section" in re.sub(r"list\[section\]", "", kind) or "any" in kind
    if isinstance(value, list):
        return "list" in kind or key in kinds.lists or "any" in kind
    return bool(SCALAR.search(re.sub(r"list\[[^][]*\]", "", kind))) or "any" in kind
