"""docs/imports.md, from a run over the tools' own examples."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from run import File, Result

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "imports.md"
TITLES: Final = {"axolotl": "Axolotl", "llamafactory": "LLaMA-Factory"}
MOST: Final = 25
"""Rows of a table that is cut."""

HEAD: Final = """# Imported: the example configs of Axolotl and LLaMA-Factory

Written by `make imports`, which takes every YAML file under `examples` of the tested versions' source packages through
`ftc import`. Each is imported or refused at a line; what is imported is built for its tool again, and both configs go
through the tool's own parser.

*Whole*: no key is lost or means another thing. *With losses*: each difference is named at its line (FTC421, FTC422).
*Carried* is a key that a leaf or a raw key of the recipe came from, of those with a value in files that are imported;
the others are named too. A key without a value (`wandb_name:`) says nothing to the tools: there is nothing to carry.
"""


def write_page(results: Sequence[Result]) -> None:
    """The page, anew."""
    PAGE.write_text("\n".join([HEAD, *_sums(results), *(part for item in results for part in _tool(item))]), "utf-8")


def _markdown(rows: Sequence[Sequence[object]]) -> str:
    head, *rest = [[str(cell) for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *rest]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _sums(results: Sequence[Result]) -> Iterator[str]:
    rows: list[list[object]] = [["", *(f"{TITLES[item.tool]} {item.version}" for item in results)]]
    rows.append(["files", *(len(item.files) for item in results)])
    for kind, title in (("whole", "imported whole"), ("losses", "imported with losses"), ("refused", "refused")):
        rows.append([title, *(len(item.of(kind)) for item in results)])
    rows.append(["keys with a value", *(item.keys[1] for item in results)])
    rows.append(["of these carried", *(f"{item.keys[0]} ({item.keys[0] / item.keys[1]:.1%})" for item in results)])
    rows.append(["left out without effect", *(_count(item, "idle") for item in results)])
    rows.append(["lost", *(_count(item, "lost") for item in results)])
    rows.append(["keys without a value", *(item.keys[2] for item in results)])
    for title, how in (("whole, and the same after a round trip", _same), ("whole, not tried", _untried)):
        rows.append([title, *(sum(map(how, item.of("whole"))) for item in results)])
    yield _markdown(rows)
    yield UNTRIED


UNTRIED: Final = """\
Not tried: files that the tool itself does not take any more, and files whose base is not known to ftc offline and has
layers of other names than the base that stands in for it.
"""


def _same(item: File) -> bool:
    return item.differs is not None and not item.differs


def _untried(item: File) -> bool:
    return item.differs is None


def _count(result: Result, kind: str) -> int:
    """Keys of imported files that were left so."""
    carried = [(item.made.reading.carried(), item.made.reading) for item in result.imported]
    return sum(
        key not in taken and any(_covers(left.key, key) for left in reading.left if left.kind == kind)
        for taken, reading in carried
        for key in reading.said
    )


def _covers(name: str, key: str) -> bool:
    return key == name or key.startswith((f"{name}.", f"{name}["))


def _tool(result: Result) -> Iterator[str]:
    title = TITLES[result.tool]
    yield f"## {title}: why files are refused\n"
    yield _ranked(["files", "key", "why"], _reasons(result.of("refused"), ("error",)))
    yield f"## {title}: what is lost or otherwise\n"
    yield _ranked(["files", "key", "why"], _reasons(result.imported, ("warning",)))
    yield f"## {title}: left out most often, without effect on what is learnt\n"
    yield _ranked(["times", "key", "why"], _reasons(result.imported, ("note",)))
    yield f"## {title}: file by file\n"
    yield _markdown([["file", "", "carried", "round trip"], *(_row(item) for item in result.files)])


def _row(item: File) -> list[object]:
    name, made = item.name.removeprefix("examples/"), item.made
    if made.text is None:
        why = next(one for one in made.remarks if one.level == "error")
        return [name, "refused", "", f"line {why.span.line}: {_plain(why.message)}"]
    said = f"{len(made.reading.carried())} of {len(made.reading.said)}"
    back = "not tried" if item.differs is None else ", ".join(item.differs) or "the same"
    return [
        name,
        "whole" if made.whole else "with losses",
        said,
        back if back in ("the same", "not tried") else f"other: {back}",
    ]


def _reasons(files: Iterable[File], levels: Sequence[str]) -> Counter[tuple[str, str]]:
    """Key and reason, each file once."""
    return Counter(
        pair
        for item in files
        for pair in {
            (re.sub(r"\[\d+\]", "[]", one.key) or one.code, _plain(one.message.removeprefix(f"{one.key}: ")))
            for one in item.made.remarks
            if one.level in levels
        }
    )


def _plain(text: str) -> str:
    """A reason with names of models and the like left out, and nothing that a table would stumble over."""
    text = re.sub(r"^base model \"[^\"]+\" was not found.*", "the base is not known to ftc offline", text)
    return re.sub(r"\s+", " ", text).replace("|", "\\|")[:160]


def _ranked(head: list[str], found: Counter[tuple[str, str]]) -> str:
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:MOST]
    rows = [[count, f"`{key}`", why] for (key, why), count in ranked]
    more = len(found) - len(rows)
    return _markdown([head, *rows]) + (f"\nand {more} more, of one or two files each\n" if more > 0 else "")
