"""How a list of a tool's keys is written: names and types only, sorted, a key a line."""

from __future__ import annotations

import enum
import json
import sys
import types
import typing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SCALARS = {bool: "bool", int: "int", float: "float", str: "str", type(None): "null", dict: "section", list: "list"}


def spelled(hint: object) -> str:
    """A type as a reader of YAML sees it: `int | null`, `list[str]`, `"a" | "b"`, `section`."""
    return " | ".join(dict.fromkeys(_parts(hint)))


def _parts(hint: object) -> list[str]:  # noqa: PLR0911 - one line a kind of type
    if isinstance(hint, typing.ForwardRef):
        return [hint.__forward_arg__]
    if isinstance(hint, type) and hint in SCALARS:
        return [SCALARS[hint]]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return [json.dumps(item.value, default=str) for item in hint]
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return [json.dumps(item, default=str) for item in inner]
    if origin is typing.Annotated:
        return _parts(inner[0])
    if origin in (typing.Union, types.UnionType):
        return [part for item in inner for part in _parts(item)]
    if origin in (list, tuple, set):
        return [f"list[{spelled(inner[0])}]"] if inner else ["list"]
    if origin is dict or hasattr(hint, "model_fields"):
        return ["section"]
    return ["any"]


def write(tool: str, source: str, beside: tuple[str, ...], keys: dict[str, str], **more: dict[str, str]) -> None:
    """Write the list into the file that the command line names. `beside`: packages that decide it too."""
    about = {"tool": tool, "version": version(tool), "source": source, "ran_with": _versions(beside)}
    text = json.dumps({**about, "keys": keys, **more}, indent=1, sort_keys=True, ensure_ascii=False)
    Path(sys.argv[1]).write_text(text + "\n", encoding="utf-8")


def _versions(names: tuple[str, ...]) -> dict[str, str]:
    return {name: found for name in names if (found := _version(name))}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
