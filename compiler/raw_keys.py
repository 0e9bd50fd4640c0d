"""Raw keys, handed to a tool as they stand: checked against what ftc says itself and what the tool knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, cast

from msgspec import Struct

from backends import load, pinned
from backends.known import Known, is_closed, known, versions
from backends.raw_keys import TOOLS, RawKeys, Tool, raw_keys, raw_of, refusal
from backends.release import Release
from compiler.hints import closest
from schemas.diagnostic import Finding
from schemas.plan import Plan

OWNED: Final = "FTC410"
UNKNOWN: Final = "FTC411"
REFUSED: Final = "FTC412"
UNPLUGGED: Final = "FTC413"

PLUGIN: Final = re.compile(r"axolotl\.integrations(\.[a-z]\w*)+\.[A-Z]\w*")
NOT_OWN: Final = "it is none of Axolotl's own"


class _Inner(Struct, frozen=True):
    """A key within a raw key. `path`: in the recipe; `listed`: as lists of known keys have it."""

    path: str
    listed: str
    name: str


class _Checking(Struct, frozen=True):
    """What the raw keys of a tool are checked by."""

    tool: Tool
    title: str
    rules: RawKeys
    known: Known
    plugins: tuple[str, ...]

    @property
    def called(self) -> str:
        return f"{self.title} {self.known.version}"


def wrong_raw_keys(plan: Plan, release: Release | None) -> Iterator[Finding]:
    """What is wrong with raw keys, whatever the target. `release`: the version that is asked for of its tool."""
    for tool in TOOLS:
        raw = raw_of(tool, plan)
        if raw:
            asked = release.version if release and release.target == tool else None
            about = _checking(tool, asked, raw, plan)
            for key, value in raw.items():
                yield from _wrong(key, value, about)


def _checking(tool: Tool, version: str | None, raw: Mapping[str, object], plan: Plan) -> _Checking:
    backend = load(tool)
    listed = known(tool, version or pinned(tool))
    named = (*_texts(raw.get("plugins")), *_texts(backend.said(plan).keys.get("plugins")))
    return _Checking(tool, backend.TITLE, raw_keys(tool), listed, named)


def _wrong(key: str, value: object, about: _Checking) -> Iterator[Finding]:
    path = f"targets.{about.tool}.{key}"
    if key == "plugins" and about.rules.plugins is not None:
        yield from _wrong_plugins(value, path, about.rules.plugins)
        return
    found = _wrong_key(key, path, about)
    if found:
        yield found
        return
    for inner in _within(_Inner(path, key, key), value):
        why = refusal(about.tool, inner.name)
        if why:
            yield _refused(inner.path, inner.name, why)
        elif inner.listed not in about.known.keys and is_closed(inner.listed, about.known.keys):
            yield _unknown(inner.path, inner.listed, about)


def _wrong_key(key: str, path: str, about: _Checking) -> Finding | None:
    leaf, why = about.rules.owners.get(key), about.rules.fixed.get(key)
    if leaf:
        return Finding(OWNED, path, f'"{key}" is what ftc itself writes for {leaf}', f"write {leaf} instead", at="key")
    if why:
        return Finding(OWNED, path, f'"{key}" is set by ftc itself: {why}', "leave it out", at="key")
    why = refusal(about.tool, key)
    if why:
        return _refused(path, key, why)
    if key not in about.known.keys:
        return _unknown(path, key, about)
    plugin = about.known.brought_by.get(key)
    if plugin and not any(name.startswith(f"{plugin}.") for name in about.plugins):
        message = f'"{key}" comes with the plugin {plugin}: without it {about.title} drops it in silence'
        return Finding(UNPLUGGED, path, message, f"name a plugin of {plugin} under plugins", at="key")
    return None


def _refused(path: str, name: str, why: str) -> Finding:
    return Finding(REFUSED, path, f'"{name}" is refused as a raw key: {why}', "leave it out", at="key")


def _unknown(path: str, listed: str, about: _Checking) -> Finding:
    """A key that this version does not know: another one that does, or a key that was probably meant."""
    above, _, name = listed.rpartition(".")
    beside = [key.rpartition(".")[2] for key in about.known.keys if key.rpartition(".")[0] == above]
    others = [version for version in versions(about.tool) if listed in known(about.tool, version).keys]
    meant = closest(name, beside)
    hint = f'did you mean "{meant}"?' if meant else None
    if others:
        hint = f"{about.title} {others[-1]} knows it"
    where = f" in {above}" if above else ""
    return Finding(UNKNOWN, path, f'{about.called} knows no key "{name}"{where}', hint, at="key")


def _wrong_plugins(value: object, path: str, refused: Mapping[str, str]) -> Iterator[Finding]:
    """Only Axolotl's own, as a list: others are code that the recipe does not show."""
    hint = "write a list of axolotl.integrations.…, each a class"
    if not isinstance(value, list):
        yield Finding(REFUSED, path, "plugins are a list of names", hint, at="key")
        return
    for index, item in enumerate(cast("list[object]", value)):
        own = isinstance(item, str) and PLUGIN.fullmatch(item)
        why = next((why for module, why in refused.items() if str(item).startswith(f"{module}.")), None)
        if not own or why:
            message = f'"{item}" is refused as a plugin: {why or NOT_OWN}'
            yield Finding(REFUSED, f"{path}[{index}]", message, hint)


def _within(above: _Inner, value: object) -> Iterator[_Inner]:
    """The keys within a value, those in lists of sections too."""
    if isinstance(value, list):
        for index, item in enumerate(cast("list[object]", value)):
            yield from _within(_Inner(f"{above.path}[{index}]", f"{above.listed}[]", above.name), item)
    elif isinstance(value, dict):
        for name, item in cast("dict[str, object]", value).items():
            inner = _Inner(f"{above.path}.{name}", f"{above.listed}.{name}", str(name))
            yield inner
            yield from _within(inner, item)


def _texts(value: object) -> tuple[str, ...]:
    items = cast("list[object]", value) if isinstance(value, list) else []
    return tuple(item for item in items if isinstance(item, str))
