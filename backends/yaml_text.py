"""YAML as a person would write it, that readers of YAML 1.1 and 1.2 read back with the same types."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from typing import Any, Final, cast

import yaml

LOOKS_LIKE_A_NUMBER: Final = re.compile(r"[-+.]?[0-9]|[-+]?\.(inf|nan)", re.IGNORECASE)
ODD_BREAKS: Final = frozenset("\x85\u2028\u2029")
"""Line breaks of YAML 1.1 that stay as they are only between double quotes."""
Chapter = tuple[str, Sequence[str]]
"""The title of a part of a config, and the keys that stand in it."""


class _Dumper(yaml.SafeDumper):
    """Writes what readers of YAML 1.1 and 1.2 read back with the same types."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def _text(_: yaml.SafeDumper, value: str) -> yaml.Node:
    """PyYAML quotes what YAML 1.1 takes for a number, and leaves `1e-4`, which others take for one."""
    odd = not ODD_BREAKS.isdisjoint(value)
    style = "|" if "\n" in value and not odd else '"' if odd or LOOKS_LIKE_A_NUMBER.match(value) else None
    return yaml.ScalarNode("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def yaml_document(head: str, chapters: Sequence[Chapter], keys: Mapping[str, object]) -> str:
    """The keys under the titles of their chapters; a key without a chapter is a `ValueError`, so that none is lost."""
    placed = {name for _, names in chapters for name in names}
    if lost := sorted(keys.keys() - placed):
        raise ValueError(f"no chapter for {', '.join(lost)}")
    parts = [head]
    for title, names in chapters:
        if here := {name: keys[name] for name in names if name in keys}:
            parts.append(f"# {title}\n{_dump(here)}")
    return "\n".join(parts)


def yaml_entry(name: str, value: object) -> str:
    """One key on a line of its own; lists and sections that hold only scalars stay on that line."""
    return _dump({name: value})


def _dump(values: Mapping[str, object]) -> str:
    """The keys one below the other, in one pass: a dumper for each would take most of a build's time."""
    stream = StringIO()
    dumper = _Dumper(stream, default_flow_style=None, sort_keys=False, allow_unicode=True, width=120)
    dumper.open()
    dumper.serialize(_below(dumper, values))
    dumper.close()
    return stream.getvalue()


def _below(dumper: _Dumper, values: Mapping[str, object]) -> yaml.MappingNode:
    represent = cast(Callable[[object], yaml.Node], cast(Any, dumper).represent_data)
    pairs = [(represent(name), represent(plain(value))) for name, value in values.items()]
    return yaml.MappingNode("tag:yaml.org,2002:map", pairs, flow_style=False)


def plain(value: object) -> object:
    """Tuples as lists, all the way down: YAML and JSON have no tuples."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in cast(dict[object, object], value).items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in cast(Sequence[object], value)]
    return value
