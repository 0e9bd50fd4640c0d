"""Configs of other tools read as recipes: their tables backwards, and an account of every key.

`Reader` is filled topic by topic (`backends/<tool>/reading.py`); `backends/leftover.py` takes what is left.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final, Literal, cast

from msgspec import Struct

from backends.backwards import Back, annotation
from backends.base import spelled
from backends.shapes import sound

Config = Mapping[str, object]
Kind = Literal["idle", "differs", "lost", "refused"]
"""idle: left out, without effect on what is learnt. differs: carried, and not quite the same. lost: left out, and
something else is learnt. refused: nothing is imported."""


class Leaf(Struct, frozen=True):
    """What a leaf of the recipe becomes. `keys`: of the config, as dotted paths; none: it is the tool's default."""

    value: object
    keys: tuple[str, ...] = ()


class Left(Struct, frozen=True):
    """A key of the config that is worth a word."""

    key: str
    kind: Kind
    why: str
    hint: str | None = None


class Reading(Struct, frozen=True):
    """`leaves`: recipe path → what it becomes; `data.train` and `data.validation` may be lists of sources. `files`:
    what must stand beside the recipe. `said`: every key of the config that has a value. `empty`: those without."""

    leaves: dict[str, Leaf]
    left: tuple[Left, ...]
    said: tuple[str, ...]
    empty: tuple[str, ...]
    files: dict[str, str] = {}

    def carried(self) -> frozenset[str]:
        """The keys that a leaf came from, one by one."""
        taken = {key for leaf in self.leaves.values() for key in leaf.keys}
        lost = {item.key for item in self.left if item.kind != "differs"}
        return frozenset(key for key in self.said if covered(key, taken) and not covered(key, lost))


def covered(key: str, keys: set[str] | frozenset[str]) -> bool:
    """Whether the key or a section that it stands in is among these."""
    return any(key == item or key.startswith((f"{item}.", f"{item}[")) for item in keys)


class Reader:
    """A config that is taken apart. A key without a value says nothing: the tools take it for one that is not there."""

    def __init__(self, config: Config, kinds: Mapping[str, str], lists: Collection[str] = ()) -> None:
        """`kinds` and `lists`: what shape each key has, as `sound` takes them."""
        self.all = config
        kept, self.odd = sound(config, kinds, lists)
        self.config = cast("dict[str, object]", without_nulls(_switches(kept, kinds)))
        self.leaves: dict[str, Leaf] = {}
        self.left: dict[tuple[str, str], Left] = {}
        self.files: dict[str, str] = {}
        for key in self.odd:
            why = "a list or a section where none belongs, or the other way round"
            self.left[key, why] = Left(key, "lost", why)

    def get(self, key: str, default: object = None) -> object:
        """The value at a dotted path."""
        found = _at(self.config, key)
        return default if found is None else found

    def has(self, *keys: str) -> bool:
        """Whether one of them is set."""
        return any(self.get(key) is not None for key in keys)

    def number(self, key: str, default: float | None = None) -> float | None:
        """A number, as some write it as text; the default where it is none."""
        value = numbered(self.get(key, default))
        return value if isinstance(value, int | float) and not isinstance(value, bool) else default

    def true(self, key: str) -> bool:
        """Whether a switch is on."""
        return switched(self.get(key)) is True

    def put(self, leaf: str, value: object, *keys: str) -> None:
        """What this leaf becomes, by these keys; by the tool's default where none of them is set."""
        self.leaves[leaf] = Leaf(value, tuple(key for key in keys if _at(self.config, key) is not None))

    def also(self, leaf: str, *keys: str) -> None:
        """These keys are said by that leaf too."""
        known = self.leaves.get(leaf)
        if known:
            more = tuple(key for key in keys if _at(self.config, key) is not None)
            self.leaves[leaf] = Leaf(known.value, (*known.keys, *more))

    def note(self, kind: Kind, key: str, why: str, hint: str | None = None) -> None:
        """A word about a key, each once."""
        if _at(self.config, key) is not None or kind == "refused":
            self.left.setdefault((key, why), Left(key, kind, why, hint))

    def idle(self, why: str, *keys: str) -> None:
        """Keys without effect on what is learnt."""
        for key in keys:
            self.note("idle", key, why)

    def is_idle(self, key: str) -> bool:
        """Whether it was said to be without effect."""
        return any(item.key == key and item.kind == "idle" for item in self.left.values())

    def taken(self) -> set[str]:
        """Keys and sections that something was said of."""
        return {key for leaf in self.leaves.values() for key in leaf.keys} | {key for key, _ in self.left}

    def done(self) -> Reading:
        """The reading."""
        said = (*occurrences(self.config), *self.odd)
        empty = tuple(key for key in occurrences(self.all) if _at(self.all, key) in (None, [], {}))
        return Reading(self.leaves, tuple(self.left.values()), said, empty, self.files)


def occurrences(value: object, path: str = "") -> Iterator[str]:
    """The keys that have a value: dotted paths, lists numbered; a list of plain values belongs to its key."""
    if isinstance(value, dict) and value:
        for name, item in cast("dict[str, object]", value).items():
            yield from occurrences(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list) and any(isinstance(item, dict) for item in cast("list[object]", value)):
        for index, item in enumerate(cast("list[object]", value)):
            yield from occurrences(item, f"{path}[{index}]")
    elif path:
        yield path


def _at(config: object, key: str) -> object:
    for part in re.findall(r"[^.\[\]]+|\[\d+\]", key):
        if part.startswith("["):
            items = cast("list[object]", config) if isinstance(config, list) else []
            config = items[int(part[1:-1])] if int(part[1:-1]) < len(items) else None
        else:
            config = cast("dict[str, object]", config).get(part) if isinstance(config, dict) else None
    return config


def without_nulls(value: object) -> object:
    """Without keys that have no value, all the way down."""
    if isinstance(value, dict):
        inner = {str(key): without_nulls(item) for key, item in cast("dict[object, object]", value).items()}
        return {key: item for key, item in inner.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in cast("list[object]", value)]
    return value


def _switches(value: object, kinds: Mapping[str, str], path: str = "") -> object:
    """With 1, 0 and words where a key is a switch as what the tools take them for."""
    if isinstance(value, dict):
        inner = cast("dict[str, object]", value)
        return {name: _switches(item, kinds, f"{path}.{name}" if path else name) for name, item in inner.items()}
    if isinstance(value, list):
        return [_switches(item, kinds, f"{path}[]") for item in cast("list[object]", value)]
    kind = kinds.get(path, "")
    if "bool" not in kind:
        return value
    plain = isinstance(value, int | float) and value in (0, 1) and not re.search("int|float", kind)
    return bool(value) if plain else switched(value)


def read_table(reader: Reader, back: Mapping[str, Back], but: frozenset[str]) -> None:
    """Every key that stands for one leaf alone and that no function has taken (`but`)."""
    for key, answer in back.items():
        value = reader.get(key)
        if key in but or value is None or answer.leaf in reader.leaves or reader.is_idle(key):
            continue
        if answer.values is None:
            reader.put(answer.leaf, typed(answer.leaf, value), key)
            continue
        value = switched(value) if isinstance(next(iter(answer.values), None), bool) else value
        if isinstance(value, str | bool) and value in answer.values:
            reader.put(answer.leaf, answer.values[value], key)
        else:
            reader.note("lost", key, f"ftc has nothing that is {spelled(value)} there")


def typed(leaf: str, value: object) -> object:
    """A value as the recipe's strict types want it: tools turn texts into numbers and switches."""
    kinds = str(annotation(leaf))
    if "bool" in kinds and not isinstance(value, bool):
        return switched(value)
    return numbered(value) if "float" in kinds or "int" in kinds else value


NUMBER: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def numbered(value: object) -> object:
    """Texts that are numbers, as YAML 1.1 makes of 2e-4; whole numbers that are written with a point."""
    if isinstance(value, str) and NUMBER.fullmatch(value.replace("_", "")):
        text = value.replace("_", "")
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    return value


def whole(value: float) -> int | float:
    """3.0 as 3."""
    return int(value) if float(value).is_integer() else value


def switched(value: object) -> object:
    """Texts that YAML 1.1 takes for switches."""
    if isinstance(value, str) and value.lower() in ("true", "yes", "on"):
        return True
    return False if isinstance(value, str) and value.lower() in ("false", "no", "off") else value
