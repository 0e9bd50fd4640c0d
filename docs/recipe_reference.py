"""The recipe language as pages: every leaf, from what stands beside it in the schema and in the targets' tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from compiler.report.matrix import Column, leaf_rows, markdown
from schemas.leaves import Leaf, nodes

PAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("model",),
    "method": ("method",),
    "data": ("data",),
    "training": ("training",),
    "around": ("evaluation", "checkpoint", "logging", "output"),
    "hardware": ("hardware",),
    "targets": ("targets",),
}
"""Page → the sections on it."""
HEAD: Final = """\
# The recipe, leaf by leaf

A recipe is a YAML file (`NAME.ftc.yaml`). Five leaves are required; every other one has a default. `auto` means that
the compiler decides, and `ftc plan` shows what and why. An unknown key is an error. YAML is read as version 1.2 has it:
`2e-4` is a number, `no` is text. An empty section stands for its defaults.

`ftc config RECIPE` prints a recipe with all of this written out.

## At the top
"""
TITLES: Final = {"around": "evaluation, checkpoint, logging, output"}
ABOUT: Final[Mapping[str, str]] = {
    "model": "The model that is trained, and how its text is written.",
    "method": "What of the model is trained. `kind` decides which other keys there are.",
    "data": (
        "What is learnt from, and what is not. Sources under `data.validation` have the leaves of those under "
        "`data.train`. [Prepare data](../../how-to/data.md) shows them at work."
    ),
    "training": "The training itself. `auto` is decided from the model, the card and the memory that is needed.",
    "around": "What happens beside the training: evaluation, checkpoints, logs, and where it is all written.",
    "hardware": "The machine that trains. It need not be the one that `ftc` runs on.",
    "targets": (
        "Raw keys of a trainer, for what the language leaves out. [Other versions, raw keys]"
        "(../../how-to/versions.md) shows how they are used and what is refused."
    ),
}
TABLED: Final = ".fields"
"""A section of this name is one table: its leaves are alike."""
AGAIN: Final = "data.validation[]"
"""What has the leaves of `data.train[]` once more."""


def recipe_pages(across: Sequence[Column]) -> Iterator[tuple[str, str]]:
    """File name below docs/reference/recipe → text."""
    theirs = {path: answers for path, *answers in leaf_rows(across)}
    yield "index.md", _overview()
    for name, sections in PAGES.items():
        title = TITLES.get(name, name)
        body = "".join(_section(section, across, theirs) for section in sections)
        yield f"{name}.md", f"# {title}\n\n{ABOUT[name]}\n{body}"


def _overview() -> str:
    """The leaves at the top, and a line for every other."""
    top = [leaf for leaf in nodes() if "." not in leaf.path and not leaf.keys]
    lines: list[str] = []
    for page, sections in PAGES.items():
        inside = [leaf for leaf in _once() if leaf.path.partition(".")[0] in sections and not leaf.keys]
        rows = [
            [
                f"[`{leaf.path}`]({page}.md#{_anchor(leaf)})",
                "required" if leaf.required else _default(leaf),
                _first(leaf),
            ]
            for leaf in inside
        ]
        lines.append(f"\n## {TITLES.get(page, page)}\n\n{markdown(['leaf', 'default', ''], rows)}")
    return HEAD + "".join(_leaf(leaf, (), {}) for leaf in top) + "".join(lines)


def _section(name: str, across: Sequence[Column], theirs: Mapping[str, Sequence[str]]) -> str:
    inside = [leaf for leaf in _once() if leaf.path.startswith(f"{name}.") or leaf.path == name]
    groups: dict[tuple[tuple[str, ...], str], list[Leaf]] = {}
    for leaf in inside:
        groups.setdefault((leaf.kinds, _parent(leaf, name)), []).append(leaf)
    parts: list[str] = []
    for (kinds, path), found in groups.items():
        leaves = [leaf for leaf in found if not leaf.keys]
        if not leaves:
            continue
        heading = f"method of kind {', '.join(kinds)}" if kinds and path == "method" else path
        body = _table(leaves) if path.endswith(TABLED) else "".join(_leaf(leaf, across, theirs) for leaf in leaves)
        note = _said_of(path, leaves) if "[]" in path or "." in path else ""
        parts.append(f"\n## {heading}\n{note}{body}")
    return "".join(parts)


def _said_of(path: str, leaves: Sequence[Leaf]) -> str:
    """The description of a section, under its heading."""
    found = next((leaf for leaf in nodes() if leaf.path == path and leaf.keys and leaf.kinds == leaves[0].kinds), None)
    return f"\n{found.description}\n" if found else ""


def _parent(leaf: Leaf, section: str) -> str:
    """The section that a leaf stands in; `data.train` itself stands in `data`."""
    return leaf.path.rpartition(".")[0] if "." in leaf.path else section


def _table(leaves: Sequence[Leaf]) -> str:
    rows = [
        [f'<a id="{_anchor(leaf)}"></a>`{leaf.path.rpartition(".")[2]}`', _text(leaf, " "), _examples(leaf)]
        for leaf in leaves
    ]
    return "\n" + markdown(["key", "", "example"], rows)


def _once() -> list[Leaf]:
    """Every leaf and section, those of a source once."""
    return [leaf for leaf in nodes() if not leaf.path.startswith(AGAIN)]


def _text(leaf: Leaf, between: str) -> str:
    """What it is, and what to do with it."""
    return between.join(part for part in (leaf.description, leaf.advice) if part)


def _leaf(leaf: Leaf, across: Sequence[Column], theirs: Mapping[str, Sequence[str]]) -> str:
    facts = [
        ("takes", leaf.allowed.replace(">=", "≥").replace("<=", "≤")),
        ("unit", leaf.unit or ""),
        ("default", _default(leaf)),
        ("examples" if len(leaf.examples) > 1 else "example", _examples(leaf)),
        ("suggested", f"the names of [the {leaf.catalog}](../{leaf.catalog}.md)" if leaf.catalog else ""),
    ]
    known = " · ".join(f"**{name}** {said}" for name, said in facts if said)
    return (
        f"\n### `{leaf.path}` {{#{_anchor(leaf)}}}\n\n{_text(leaf, chr(10) * 2)}\n{_values(leaf)}\n{known}\n"
        f"{_targets(leaf, across, theirs.get(leaf.path, ()))}"
    )


def _targets(leaf: Leaf, across: Sequence[Column], answers: Sequence[str]) -> str:
    """What each target calls it; what needs no telling (ours, or the same word) is left out."""
    said = [(one.title, text) for one, text in zip(across, answers, strict=False) if text != f"`{leaf.path}`"]
    return "".join(f"\n- {title}: {text}" for title, text in said) + ("\n" if said else "")


def _values(leaf: Leaf) -> str:
    """A list of the words that it takes, where something is said of them."""
    said = [value for value in leaf.values if value.description]
    return "".join(f"\n- `{_yaml(value.value)}`: {value.description}" for value in said) + ("\n" if said else "")


def _examples(leaf: Leaf) -> str:
    return ", ".join(f"`{_yaml(example)}`" for example in leaf.examples)


def _default(leaf: Leaf) -> str:
    if leaf.required:
        return "none, it is required"
    return f"`{_yaml(leaf.default)}`" if leaf.default is not None else "`null`" if "null" in leaf.allowed else ""


def _first(leaf: Leaf) -> str:
    """The first sentence of what it is."""
    return leaf.description.partition(". ")[0]


def _yaml(value: object) -> str:
    """As a recipe spells it."""
    names = {True: "true", False: "false", None: "null"}
    if value is None or isinstance(value, bool):
        return names[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(inner)}" for key, inner in value.items()) + "}"
    return str(value)


def _anchor(leaf: Leaf) -> str:
    """Where it is linked to; leaves of several methods with one name are told apart by the first kind."""
    alike = [other for other in nodes() if other.path == leaf.path and not other.keys]
    place = leaf.path.replace("[]", "").replace("$", "")
    return place if leaf is alike[0] else f"{place}-{leaf.kinds[0]}"
