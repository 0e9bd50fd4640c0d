"""docs/conformance.md: what was compared, what is not the same and told of, what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from cases import ROOT
from judging import UNSHOWN, Judged
from msgspec import Struct
from pairwise import Array

from backends import load, pinned
from compiler.report.matrix import markdown
from schemas.artifact import Target

PAGE: Final = ROOT / "docs" / "conformance.md"
HEAD: Final = """\
<!-- Written by `make conformance`. -->
# What the tools make of what is built

`make conformance` compiles recipes for each tool and gives each artifact to the tool's own parser and then to its own
code, which loads a small model, prepares the rows and builds the trainer, up to where training begins. Values are read
out of the trainer's own objects (optimizer and schedule, adapters and types of weights, quantisation, token ids and
labels of every row, samplers, cadence, checkpoints, sharding) and compared with the plan. What differs must be warned
of in the artifact (FTC405), or be refused at the recipe's line; anything else ends the command with 1.

The recipes are those of the project and generated ones, in which every two settings that go together stand somewhere
together. Models of the hub are stood for by small ones of the same architecture; their rows are not compared, as they
have another tokenizer. Of compared answers (preference, KTO) the tokens are compared and not what is trained of them.
Which rows are held out and how often a row comes is decided by ftc's own code on both sides, and tested elsewhere.
A warning excuses the fields that it is about and no others (`EXCUSED` in tests/conformance/judging.py). A machine
without a GPU answers as one with an H100 would, where the tools only ask; no kernel of a GPU runs here.

"""


class Result(Struct, frozen=True):
    """What came of one tool. `recipes`: how many of the project's are among the artifacts; `refused`: those
    that are not built, with the codes. `unseen`: artifacts that are wrong on purpose, and were not noticed.
    `needless`: excuses that no artifact needs."""

    target: Target
    recipes: int
    judged: Sequence[Judged]
    array: Array
    refused: Mapping[str, str]
    unseen: Sequence[str]
    needless: Sequence[str]

    @property
    def wrong(self) -> bool:
        return bool(self.unseen or self.needless or any(item.wrong for item in self.judged))


def write_page(results: Iterable[Result], templates: str) -> None:
    """The page, from a run of all tools. `templates`: its part about chat templates."""
    found = list(results)
    parts = [HEAD, _table(found), "\n", *map(_section, found), templates]
    PAGE.write_text("".join(parts).rstrip() + "\n", encoding="utf-8")


def write_section(templates: str) -> None:
    """The page's last part anew."""
    before = PAGE.read_text(encoding="utf-8").partition(templates.partition("\n")[0])[0]
    PAGE.write_text(before.rstrip() + "\n\n" + templates.rstrip() + "\n", encoding="utf-8")


def _table(results: Iterable[Result]) -> str:
    head = ["tool", "version", "recipes", "generated", "fields compared", "pairs of settings", "refused together"]
    return markdown(head, map(_row, results))


def _row(result: Result) -> list[str]:
    fields = sum(item.fields for item in result.judged)
    generated = len(result.judged) - result.recipes
    array = result.array
    return [
        load(result.target).TITLE,
        pinned(result.target),
        *map(str, (result.recipes, generated, fields, array.covered, len(array.refused_pairs))),
    ]


def _section(result: Result) -> str:
    told = Counter(path for item in result.judged for path in set(item.known))
    lines = [f"- `{path}`: in {count} of {len(result.judged)} artifacts\n" for path, count in sorted(told.items())]
    alone = [f"- {name}: {value}: {why}\n" for (name, value), why in sorted(result.array.refused_values.items())]
    unshown = [f"- `{field}`: {why}\n" for field, why in UNSHOWN[result.target].items()]
    return (
        f"## {load(result.target).TITLE}\n\n"
        + _listed("Differs, and the artifact says so:", lines)
        + _listed("Not shown by its objects:", unshown)
        + _listed("Settings that it refuses beside the base recipe and what they are tried with:", alone)
        + _listed(
            "Recipes of the project that it refuses:", [f"- {name}: {why}\n" for name, why in result.refused.items()]
        )
    )


def _listed(title: str, lines: Sequence[str]) -> str:
    return f"{title}\n\n{''.join(lines)}\n" if lines else ""
