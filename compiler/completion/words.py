"""The words that may stand where the cursor is. Each function is given what was typed of the word so far.

An item's type is `plain`, `path`, or `open`: something follows it, and so no space.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from click.shell_completion import CompletionItem

from compiler.gathering import ENDINGS

Item = CompletionItem[str]


def recipes(typed: str) -> list[Item]:
    """Recipes and the folders on the way to them."""
    return _paths(typed, lambda entry: entry.name.lower().endswith(ENDINGS))


def every_file(typed: str) -> list[Item]:
    """Any file."""
    return _paths(typed, lambda _: True)


def every_folder(typed: str) -> list[Item]:
    """Folders alone."""
    return _paths(typed, lambda _: False)


def runs(typed: str) -> list[Item]:
    """Folders of runs that have ended, those near by at once; and the folders on the way to others."""
    near = () if typed else sorted({*Path().glob("outputs/*/summary.json"), *Path().glob("*/outputs/*/summary.json")})
    found = [Item(str(path.parent), "plain", help="a run that has ended") for path in near]
    return [*found, *every_folder(typed)]


def targets(typed: str, *, with_all: bool = False, with_providers: bool = False) -> list[Item]:
    """Targets, and the versions of their tools; providers that train models of their own."""
    from backends import TARGETS, pinned
    from backends.hosted import PROVIDERS
    from backends.release import others

    found = [Item(name, help=f"tested with {pinned(name)}") for name in TARGETS]
    found += [Item(f"{name}@{version}") for name in TARGETS for version in others(name)]
    found += [Item(name, help="a job for this provider") for name in PROVIDERS if with_providers]
    return _beginning(typed, [*found, *([Item("all")] if with_all else ())])


def gpus(typed: str, *, with_all: bool = False) -> list[Item]:
    """Cards of the catalog."""
    from compiler.hardware import all_gpus
    from schemas.facts import GIB

    cards = [(card, f", {card.memory / GIB:.1f} GiB" if card.memory else "") for card in all_gpus()]
    found = [Item(card.name, help=card.title + size) for card, size in cards]
    return _beginning(typed, [*found, *([Item("all", help="every card")] if with_all else ())])


def models(typed: str) -> list[Item]:
    """Bases of the catalog: by name, and by hub id once a slash was typed; and folders."""
    from compiler.model_catalog import look_up, names

    if typed.startswith((".", "~", "/")):
        return every_folder(typed)
    listed = {name: look_up(name) for name in names()}
    if "/" in typed:
        return _beginning(typed, [Item(one.hub_id, help=name) for name, one in listed.items() if one])
    owners = sorted({one.hub_id.partition("/")[0] + "/" for one in listed.values() if one})
    shown = [Item(name, help=one.hub_id if one else None) for name, one in listed.items()]
    return _beginning(typed, [*shown, *(Item(owner, "open") for owner in owners if typed)])


def codes(typed: str) -> list[Item]:
    """Codes, in the letter case in which one is typed."""
    from compiler.codes import pages

    lower = typed[:1].islower()
    return _beginning(typed, [Item(code.lower() if lower else code, help=page.title) for code, page in pages().items()])


def settings(typed: str) -> list[Item]:
    """Leaves of the recipe, a section at a time; after `=` the leaf's words."""
    removes = "~" if typed.startswith("~") else ""
    path, equals, value = typed.removeprefix("~").partition("=")
    return _values(path, value) if equals else _leaves(path, removes)


def axes(typed: str) -> list[Item]:
    """The same for `--matrix`: nothing is removed, and after a comma another value follows."""
    path, equals, values = typed.partition("=")
    before, comma, value = values.rpartition(",")
    if not equals:
        return [] if typed.startswith("~") else _leaves(path, "")
    given = before.split(",")
    found = ((item, item.value.partition("=")[2]) for item in _values(path, value))
    kept = [(item, word) for item, word in found if not comma or word not in given]
    return [Item(f"{path}={before}{comma}{word}", "open", help=item.help) for item, word in kept]


def _leaves(typed: str, removes: str) -> list[Item]:
    from schemas.leaves import leaf_at, nodes

    ends = "" if removes else "="
    found: dict[str, Item] = {}
    for path in (node.path.replace("[]", "") for node in nodes()):
        if not path.startswith(typed) or path in (typed, "$schema"):
            continue
        head, dot, _ = path[len(typed) :].partition(".")
        place = typed + head
        leaf = leaf_at(place)
        said = leaf.description if leaf else None
        if dot or (leaf and leaf.keys):
            found.setdefault(place, Item(f"{removes}{place}.", "open", help=said))
        else:
            found.setdefault(place, Item(f"{removes}{place}{ends}", "plain" if removes else "open", help=said))
    return list(found.values())


def _values(path: str, typed: str) -> list[Item]:
    from schemas.leaves import leaf_at

    leaf = leaf_at(path)
    if leaf is None:
        return []
    if leaf.catalog:
        found = models(typed) if leaf.catalog == "models" else gpus(typed)
    else:
        words = {_spelled(value.value): value.description for value in leaf.values}
        for example in leaf.examples:
            if not isinstance(example, list | dict):
                words.setdefault(_spelled(example), "")
        found = _beginning(typed, [Item(word, help=said or None) for word, said in words.items()])
    return [Item(f"{path}={item.value}", item.type, help=item.help) for item in found]


def _spelled(value: object) -> str:
    """A value as YAML has it."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else "null" if value is None else str(value)


def _paths(typed: str, wanted: Callable[[os.DirEntry[str]], bool]) -> list[Item]:
    """Folders and wanted files that begin as typed, hidden ones only where a dot was typed."""
    head, slash, name = typed.rpartition("/")
    try:
        with os.scandir(Path(head + slash or ".").expanduser()) as entries:
            seen = sorted((entry for entry in entries if _shown(entry.name, name)), key=lambda entry: entry.name)
            marks = [(entry, "/" if entry.is_dir() else "") for entry in seen]
            kept = [(entry.name, mark) for entry, mark in marks if mark or wanted(entry)]
    except (OSError, RuntimeError):
        return []
    return [Item(f"{head}{slash}{entry}{mark}", "path") for entry, mark in kept]


def _shown(entry: str, typed: str) -> bool:
    return entry.startswith(typed) and not (entry.startswith(".") and not typed.startswith(".")) and entry.isprintable()


def _beginning(typed: str, items: Iterable[Item]) -> list[Item]:
    return [item for item in items if item.value.startswith(typed)]
