"""The keys that a version of a tool knows, from lists that were read out of the installed package.

`tests/conformance/keys_<tool>.py` writes a list: names and types, no values. Nothing of a tool is installed or imported
to check a key against it.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final, cast

from msgspec import Struct, json

from schemas.artifact import Target

FOLDER: Final = Path(__file__).parent / "known_keys"


class Known(Struct, frozen=True):
    """A version's keys. A section within a section has dots: `datasets[].path`; a keyword stands behind its call.

    `ran_with`: versions of the packages that the list was read beside. `brought_by`: keys that only a plugin brings.
    `export`: the keys of LLaMA-Factory's export.
    """

    tool: str
    version: str
    source: str
    ran_with: dict[str, str]
    keys: dict[str, str]
    brought_by: dict[str, str] = {}
    export: dict[str, str] = {}


@cache
def versions(target: Target) -> tuple[str, ...]:
    """The versions with a list, the oldest first."""
    found = (path.stem.removeprefix(f"{target}-") for path in FOLDER.glob(f"{target}-*.json"))
    return tuple(sorted(found, key=_numbers))


@cache
def known(target: Target, version: str) -> Known:
    """The list of this version."""
    return json.decode((FOLDER / f"{target}-{version}.json").read_bytes(), type=Known)


def spread(keys: dict[str, object]) -> tuple[str, ...]:
    """The names of all keys, those in sections and in lists of sections too, as a list of known keys has them."""
    return tuple(dict.fromkeys(name for key, value in keys.items() for name in (key, *_inner(key, value))))


def unknown(keys: dict[str, object], listed: dict[str, str]) -> tuple[str, ...]:
    """The keys that are not listed, nor sections of listed ones; inside of a section only where the list says what is
    in it."""
    return tuple(
        name for name in spread(keys) if name not in listed and not _above(name, listed) and is_closed(name, listed)
    )


def _above(name: str, listed: dict[str, str]) -> bool:
    return any(other.startswith(f"{name}.") for other in listed)


INSIDE: Final = re.compile(r"\[[^][]*\]")
"""What a list holds, as types are spelled."""

SCALARS: Final[dict[str, tuple[type, ...]]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "null": (type(None),),
    "section": (dict,),
    "list": (list, tuple),
}


def fits(value: object, kind: str) -> bool:
    """Whether the value is of one of the types of a key, as its list spells them: `int | null`, `"a" | "b"`.

    What lists hold is not looked at.
    """
    return any(_fits(value, part) for part in _parts(kind))


@cache
def _parts(kind: str) -> tuple[str, ...]:
    while (flat := INSIDE.sub("", kind)) != kind:
        kind = flat
    return tuple(kind.split(" | "))


def _fits(value: object, part: str) -> bool:
    if part == "any":
        return True
    if part not in SCALARS:
        wanted = json.decode(part)
        return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)
    return isinstance(value, SCALARS[part]) and (part == "bool" or not isinstance(value, bool))


def is_closed(name: str, listed: dict[str, str]) -> bool:
    """Whether the list says what stands in this key's section: sections without fields of their own are free."""
    above = name.rpartition(".")[0]
    return not above or _above(above, listed)


def _inner(key: str, value: object) -> tuple[str, ...]:
    if isinstance(value, list | tuple):
        return tuple(name for item in cast("list[object]", value) for name in _section(f"{key}[]", item))
    return _section(key, value)


def _section(key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, dict):
        return ()
    return tuple(f"{key}.{name}" for name in spread(cast("dict[str, object]", value)))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
