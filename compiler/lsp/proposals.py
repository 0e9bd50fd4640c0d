"""What a finding's hint proposes, as changes of the text.

A finding says what to do in words, for people; here the words are read. Each change is tried out: only one after which
the finding is gone is proposed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, cast

from msgspec import Struct

from compiler.lsp.analysis import Analysis, analyse
from compiler.overrides import path_of
from compiler.shape import at
from compiler.yaml_edit import SECTIONS, move, remove, rename, set_leaves
from compiler.yaml_edit.spelling import spell
from compiler.yaml_reader import scalar
from schemas.diagnostic import Diagnostic, Path, dotted

KEYS: Final = ("FTC102", "FTC411")
"""Codes of findings whose suggestion is another name of the key, not another value."""
_MEANT: Final = re.compile(r'did you mean "(.+)"\?')
_CALLED: Final = re.compile(r"this is called ([\w.]+) here")
_NAMED: Final = re.compile(r'this is called "(.+)" here')
_PLACED: Final = re.compile(r"\S+ belongs (?:under (\S+)|at the top of the recipe)")
_BELOW: Final = re.compile(r"write `(.+)` on a line of its own below, indented")
_LEAF: Final = re.compile(r"\b(?:write|set|or) `?([a-z_][\w.]*): ([^\s,`;]+)`?")
_TOGETHER: Final = re.compile(r"write ((?:[a-z_]+: (?:\{[^{}]*\}|[^\s,(]+)(?:, | and |$)){2,})$")
"""Several leaves at once."""
_WORDS: Final = re.compile(r"(?:^|[:;,] (?:or )?)write ([^;]+)")
_REMOVE: Final = re.compile(r"\b(remove (it|one of them)|leave it out|keep one of the(m|se)|keep one of the two)\b")
_INSTEAD: Final = re.compile(r"write ([\w.]+) instead")
_MOST: Final = 4
"""Changes that are proposed for one finding."""


class Proposal(Struct, frozen=True):
    """`text`: the whole recipe after it. `sure`: the finding names one thing that was meant."""

    title: str
    text: str
    sure: bool


def proposals(analysis: Analysis, item: Diagnostic) -> Iterator[Proposal]:
    """Changes after which this finding is gone."""
    path = path_of(item.path)
    if path is None or item.hint is None or item.file != str(analysis.file):
        return
    seen, count = {analysis.text}, 0
    for title, text, sure in _changes(analysis, item, path, item.hint):
        if text is None or text in seen:
            continue
        seen.add(text)
        if _helps(analysis, item, text):
            yield Proposal(title, text, sure)
            count += 1
        if count >= _MOST:
            return


def _helps(analysis: Analysis, item: Diagnostic, text: str) -> bool:
    after = analyse(analysis.file, text, analysis.settings, analysis.places.encoding)
    told = {(found.code, found.path) for found in analysis.findings if found.level == "error"}
    worse = any((found.code, found.path) not in told for found in after.findings if found.code in ("FTC001", "FTC002"))
    moved = _moved_wrong(analysis, after)
    return after.readable and not worse and not moved and not any(_same(found, item) for found in after.findings)


def _same(found: Diagnostic, item: Diagnostic) -> bool:
    return found.code == item.code and found.path == item.path


def _moved_wrong(before: Analysis, after: Analysis) -> bool:
    """Whether something that was no error of shape is one now: a value that does not suit its new leaf."""
    shapes = ("FTC101", "FTC102", "FTC103", "FTC104")
    old = {(item.code, item.path) for item in before.findings}
    fresh = [item for item in after.findings if item.code in shapes and (item.code, item.path) not in old]
    return bool(fresh)


_Change = tuple[str, "str | None", bool]


def _changes(analysis: Analysis, item: Diagnostic, path: Path, hint: str) -> Iterator[_Change]:
    text, data = analysis.text, analysis.source.data
    meant = _MEANT.search(hint)
    if meant and item.code in KEYS:
        yield f"Rename {path[-1]} to {meant[1]}", rename(text, path, meant[1]), True
    elif meant:
        yield f"Change to {meant[1]}", set_leaves(text, {path: meant[1]}, SECTIONS), True
    yield from _elsewhere(text, path, hint)
    yield from _of_value(text, data, path, hint)
    yield from _written(text, path, hint)
    if _REMOVE.search(hint) or item.code in ("FTC102", "FTC104"):
        named = path[-1] if isinstance(path[-1], str) else spell(at(data, path))
        yield f"Remove {named}", remove(text, path), False


def _elsewhere(text: str, path: Path, hint: str) -> Iterator[_Change]:
    """To the leaf that is meant, with its value."""
    called, placed, instead = _CALLED.search(hint), _PLACED.search(hint), _INSTEAD.search(hint)
    name = called[1] if called else instead[1] if instead else None
    if placed:
        name = f"{placed[1]}.{path[-1]}" if placed[1] else str(path[-1])
    for spelled in (name, name.replace("[]", "[0]")) if name and "[]" in name else (name,) if name else ():
        to = path_of(spelled.replace("[]", ""))
        if to and to[:-1] == path[:-1] and isinstance(to[-1], str):
            yield f"Rename {path[-1]} to {to[-1]}", rename(text, path, to[-1]), True
        elif to:
            yield f"Move to {dotted(to)}", move(text, path, to, SECTIONS), True


def _of_value(text: str, data: object, path: Path, hint: str) -> Iterator[_Change]:
    """The same value, spelled as it must be."""
    value = at(data, path)
    named, below = _NAMED.search(hint), _BELOW.search(hint)
    found: list[object] = []
    if named:
        found.append(scalar(named[1]))
    if below:
        key, _, inner = below[1].partition(": ")
        found.append({key: _plain(inner)})
    if "write it as a list" in hint:
        found.append([value])
    if "without brackets" in hint and isinstance(value, list):
        found.append(cast("list[object]", value)[0])
    if "number without quotes" in hint and isinstance(value, str):
        found.append(scalar(value))
    for item in found:
        yield f"Change to {spell(item)}", set_leaves(text, {path: item}, SECTIONS), True


def _plain(text: str) -> object:
    """What a hint shows as YAML: `{path: x}`, `[a]` or a word."""
    from compiler.source import parse

    read = parse(f"value: {text}", "")
    return (read.data or {}).get("value", text)


def _written(text: str, path: Path, hint: str) -> Iterator[_Change]:
    """What the hint says to write, for this leaf or for another."""
    together = _TOGETHER.search(hint)
    said = _plain(f"{{{together[1].replace(' and ', ', ')}}}") if together else None
    if isinstance(said, dict):
        leaves = {(*path[:-1], key): value for key, value in cast("dict[str, object]", said).items()}
        yield f"Set {spell(cast('object', said))[1:-1]}", set_leaves(text, leaves, SECTIONS), True
        return
    for found in _LEAF.finditer(hint):
        leaf = path_of(found[1]) or ()
        to = leaf if len(leaf) > 1 else (*path[:-1], *leaf) if leaf != (path[-1],) else path
        yield f"Set {dotted(to)}: {found[2]}", set_leaves(text, {to: scalar(found[2])}, SECTIONS), False
    words = _WORDS.search(hint)
    if not words or _LEAF.match(hint):
        return
    for word in re.split(r", or | or |, ", words[1]):
        bare = re.sub(r" to .*", "", word).strip('"')
        if re.fullmatch(r"[\w.+/*-]+", bare):
            yield f"Change to {bare}", set_leaves(text, {path: scalar(bare)}, SECTIONS), False
