"""Versions of a tool other than the tested one: what they call the keys that ftc writes, and what they cannot do.

Each stands in `releases/<tool>-<version>.json` beside its list of known keys, found by comparing the lists and by
reading both versions' sources. Nothing of a tool is installed to compile for another version of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final, cast

from msgspec import Struct, json

from backends.base import CANNOT
from backends.known import fits, known, unknown, versions
from backends.yaml_text import Chapter
from schemas.artifact import Target
from schemas.diagnostic import Finding
from schemas.plan import Plan, leaves

FOLDER: Final = Path(__file__).parent / "releases"


class Rename(Struct, frozen=True):
    """The key is called `to` there, for all values or for those of the type `of`: `int`, `float`, `str`, `bool`."""

    to: str
    of: str | None = None


class Limit(Struct, frozen=True):
    """What a version cannot do, or does otherwise. `where`: leaves of the plan and keys of the config with the values
    that meet it, all at once."""

    leaf: str
    where: dict[str, list[object]]
    why: str
    hint: str | None = None


class Release(Struct, frozen=True):
    """A version of a tool. `values`: key → our value, spelled as in JSON → the value there."""

    target: Target
    version: str
    renames: dict[str, Rename] = {}
    values: dict[str, dict[str, object]] = {}
    refused: tuple[Limit, ...] = ()
    differs: tuple[Limit, ...] = ()

    def refuses(self, leaf: str, value: object) -> bool:
        """Whether this value is refused, whatever stands beside it."""
        return any(set(item.where) == {leaf} and value in item.where[leaf] for item in self.refused)


class Spoken(Struct, frozen=True):
    """`keys`: as that version reads them, without those that it does not know. `findings`: what was left out."""

    keys: dict[str, object]
    findings: tuple[Finding, ...] = ()


def others(target: Target) -> tuple[str, ...]:
    """The versions that can be asked for beside the tested one, the oldest first: with key list and renames."""
    return tuple(version for version in versions(target) if (FOLDER / f"{target}-{version}.json").exists())


@cache
def release(target: Target, version: str) -> Release:
    """What is known of this version."""
    return json.decode((FOLDER / f"{target}-{version}.json").read_bytes(), type=Release)


def matching(wanted: str, listed: tuple[str, ...]) -> str | None:
    """The newest of these versions (the oldest first) that begins with the numbers of the wanted one."""
    numbers = wanted.split(".")
    return next((version for version in reversed(listed) if version.split(".")[: len(numbers)] == numbers), None)


def spoken(keys: Mapping[str, object], version: Release | None, plan: Plan, owners: Mapping[str, str]) -> Spoken:
    """The keys in that version's words. None: the tested version, whose words they are in already.

    `owners`: key → the leaf that it comes from; sections in dots as in key lists.
    """
    if version is None:
        return Spoken(dict(keys))
    listed = known(version.target, version.version).keys
    told = dict(_there(name, value, version) for name, value in keys.items())
    lost = {name: f"it does not know {name}" for name in unknown(told, listed)}
    lost |= {name: f"it takes no {name}: {json.encode(value).decode()}" for name, value in _unfit(told, listed).items()}
    back = {new.to: name for name, new in version.renames.items()}
    found = [
        Finding(CANNOT, _leaf(back.get(name, name), owners), f"{version.version}: {why}") for name, why in lost.items()
    ]
    kept = {name: _without(name, value, lost) for name, value in told.items() if name not in lost}
    return Spoken(kept, (*found, *_limits(version, {**leaves(plan), **keys})))


def renamed(chapters: Sequence[Chapter], version: Release | None) -> list[Chapter]:
    """The chapters of a config with room for the words of that version."""
    names = version.renames if version else {}
    return [
        (title, tuple(word for key in keys for word in (key, *((names[key].to,) if key in names else ()))))
        for title, keys in chapters
    ]


def _limits(version: Release, facts: Mapping[str, object]) -> tuple[Finding, ...]:
    """What that version cannot do, or does otherwise, where these are the leaves and keys."""
    refused = [_limit(item, CANNOT, version.version) for item in version.refused if _met(item, facts)]
    differs = [_limit(item, "FTC405", version.version) for item in version.differs if _met(item, facts)]
    return (*refused, *differs)


def _limit(item: Limit, code: str, called: str) -> Finding:
    level = "error" if code == CANNOT else "warning"
    return Finding(code, item.leaf, f"{called}: {item.why}", item.hint, level)


def _met(item: Limit, facts: Mapping[str, object]) -> bool:
    return all(name in facts and facts[name] in values for name, values in item.where.items())


def _there(name: str, value: object, version: Release) -> tuple[str, object]:
    """Name and value as that version has them."""
    there: object = value
    if name in version.values:
        there = version.values[name].get(json.encode(value).decode(), value)
    called = version.renames.get(name)
    return (called.to, there) if called and called.of in (None, type(there).__name__) else (name, there)


def _unfit(told: Mapping[str, object], listed: Mapping[str, str]) -> dict[str, object]:
    """Keys whose value is none of the types and words that the list has for them."""
    return {name: value for name, value in told.items() if name in listed and not fits(value, listed[name])}


def _leaf(name: str, owners: Mapping[str, str]) -> str:
    """The leaf that a key comes from, by the section that it stands in where it has none of its own."""
    while name not in owners:
        name = name.rpartition(".")[0].removesuffix("[]")
    return owners[name]


def _without(name: str, value: object, lost: Mapping[str, object]) -> object:
    """A section without the keys that are lost."""
    if isinstance(value, list | tuple):
        return [_without(f"{name}[]", item, lost) for item in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    inner = {f"{name}.{key}": (key, item) for key, item in cast("dict[str, object]", value).items()}
    return {key: _without(path, item, lost) for path, (key, item) in inner.items() if path not in lost}
