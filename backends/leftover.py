"""What no function of a reading has taken: keys without effect, raw keys of the recipe, and what is lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from backends import load, pinned
from backends.base import spelled
from backends.known import fits, known
from backends.raw_keys import Tool, raw_keys, refusal
from backends.reading import Kind, Reader, covered, numbered, occurrences


def account(reader: Reader, tool: Tool, idle: Mapping[str, str]) -> None:
    """The keys that nothing was said of: without effect, raw keys of the recipe, or lost."""
    listed, rules = known(tool, pinned(tool)), raw_keys(tool)
    called = f"{load(tool).TITLE} {listed.version}"
    taken = reader.taken()
    for key in [key for key in reader.config if not covered(key, taken)]:
        value = reader.get(key)
        if key in idle:
            _rest(reader, key, "idle", idle[key])
        elif any(item.startswith((f"{key}.", f"{key}[")) for item in taken):
            _rest(reader, key, "lost", "no leaf of a recipe says this")
        elif value in (False, [], {}, "") and key not in rules.fixed:
            _rest(reader, key, "idle", "it is off")
        elif key not in listed.keys:
            _rest(reader, key, *_unknown(tool, called))
        elif why := refusal(tool, key):
            _rest(reader, key, "lost", f"{why}; a recipe may not say it")
        elif key in rules.owners or key in rules.fixed:
            leaf = rules.owners.get(key)
            _rest(reader, key, "lost", f"{leaf} cannot say this" if leaf else rules.fixed[key])
        elif not fits(numbered(value), listed.keys[key]):
            _rest(reader, key, "lost", f"{called} takes no {spelled(value)} there")
        elif _unplugged(reader, listed.brought_by.get(key)):
            _rest(reader, key, "idle", f"it belongs to {listed.brought_by[key]}, which is not among plugins")
        else:
            reader.put(f"targets.{tool}.{key}", value, key)


def _unplugged(reader: Reader, module: str | None) -> bool:
    """Whether a key belongs to a plugin that is not there."""
    leaf = reader.leaves.get("targets.axolotl.plugins")
    named = cast("list[str]", leaf.value) if leaf else []
    return module is not None and not any(item.startswith(f"{module}.") for item in named)


def _rest(reader: Reader, key: str, kind: Kind, why: str) -> None:
    """Of a key, or of what is left in its section."""
    taken = reader.taken()
    for path in occurrences({key: reader.config[key]}):
        if not covered(path, taken):
            reader.note(kind, path, why)


def _unknown(tool: Tool, called: str) -> tuple[Kind, str]:
    if tool == "axolotl":
        return "idle", f"{called} knows no such key, and drops it in silence"
    return "lost", f"{called} knows no such key, and stops at it"
