"""The support matrix, printed from the tables of the targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast, get_args

from msgspec import Struct

from backends import TARGETS, load
from backends.base import refused
from backends.release import others
from compiler.report.machine import FORMAT_VERSION, as_data
from schemas.artifact import Target
from schemas.recipe import DataFormat, Objective, Optimizer, Strategy
from schemas.support import Answer, Folded, Key, Never, NotImpl, NotYet, Ours, Refusal, Table

WORDS: Final = {
    "yes": "the target does the same",
    "ftc": "ftc itself does it, before the target starts",
    "later": "the target can, ftc has not written it yet",
    "no": "the target cannot in the tested version",
    "never": "the target will not",
}
METHODS: Final = (
    "full",
    "lora",
    "qlora",
    "dora",
    "qdora",
    "ia3",
    "prefix_tuning",
    "prompt_tuning",
    "p_tuning",
    "adapter",
)
VALUES: Final[tuple[tuple[str, str, Sequence[object]], ...]] = (
    ("method", "method.kind", METHODS),
    ("quantized base, bits", "method.quantization.bits", (4, 8)),
    ("objective", "training.objective", get_args(Objective)),
    ("data format", "data.train[].format", get_args(DataFormat)),
    ("packing", "data.packing", (True,)),
    ("optimizer", "training.optimizer", get_args(Optimizer)),
    ("several GPUs", "hardware.strategy", get_args(Strategy)),
)


class Column(Struct, frozen=True):
    """A target: its name, its tool, its table. `others`: versions that can be asked for beside the tested one."""

    target: Target
    title: str
    version: str
    table: Table
    others: tuple[str, ...] = ()

    @property
    def asked(self) -> tuple[str, ...]:
        """How to ask for the others."""
        return tuple(f"{self.target}@{version}" for version in self.others)


def columns() -> tuple[Column, ...]:
    """All targets."""
    return tuple(_column(target) for target in TARGETS)


def _column(target: Target) -> Column:
    backend = load(target)
    return Column(target, backend.TITLE, backend.VERSION, backend.TABLE, others(target))


def value_rows(across: Sequence[Column]) -> list[list[str]]:
    """One row for each value that people ask for: what, value, and a word for each target."""
    return [
        ["" if number else what, _word(value), *(_verdict(refused(column.table[path], value)) for column in across)]
        for what, path, values in VALUES
        for number, value in enumerate(values)
    ]


def leaf_rows(across: Sequence[Column]) -> list[list[str]]:
    """One row for each leaf of the plan: its path, and each target's answer in words."""
    return [[path, *(said(column.table[path]) for column in across)] for path in _paths(across)]


def as_text(across: Sequence[Column]) -> str:
    """Columns of words for a terminal."""
    rows = [["", "", *(column.target for column in across)], *value_rows(across)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    tools = "".join(f"{one.target}: {one.title} ({'; also '.join([one.version, *one.asked])})\n" for one in across)
    legend = "".join(f"{word}: {meaning}\n" for word, meaning in WORDS.items())
    return "\n".join(lines) + f"\n\n{tools}\n{legend}"


def as_markdown(across: Sequence[Column]) -> str:
    """Both tables, the values first."""
    return f"{markdown_values(across)}\n{markdown_leaves(across)}"


def words_text() -> str:
    """What the words in a table mean, one a line."""
    return "".join(f"- {word}: {meaning}\n" for word, meaning in WORDS.items())


def markdown_values(across: Sequence[Column]) -> str:
    """The table of values."""
    return markdown(["", "value", *(column.title for column in across)], value_rows(across))


def markdown_leaves(across: Sequence[Column]) -> str:
    """The table of leaves."""
    return markdown(["leaf", *(column.title for column in across)], leaf_rows(across))


def as_matrix_data(across: Sequence[Column]) -> dict[str, object]:
    """Everything that the tables say, for programs."""
    return {
        "format_version": FORMAT_VERSION,
        "targets": [
            {"name": one.target, "title": one.title, "version": one.version, "others": list(one.others)}
            for one in across
        ],
        "leaves": [
            {"path": path, "answers": {one.target: _answer_data(one.table[path]) for one in across}}
            for path in _paths(across)
        ],
    }


def _paths(across: Sequence[Column]) -> list[str]:
    return list(across[0].table)


def _verdict(why: Refusal | None) -> str:
    words: Mapping[type[Refusal], str] = {NotImpl: "later", NotYet: "no", Never: "never"}
    return "yes" if why is None else words[type(why)]


def said(answer: Answer) -> str:
    """An answer in words."""
    if isinstance(answer, Ours):
        return "ftc"
    if isinstance(answer, Key | Folded):
        key = answer.key if isinstance(answer, Key) else answer.into
        return f"`{key}`" + "".join(f"; {', '.join(values)}: {why}" for why, values in _reasons(answer.refused).items())
    only = " or ".join(f"`{_word(value)}`" for value in answer.neutral)
    return f"only {only}; else {_because(answer)}" if only else _because(answer)


def _reasons(refused: Mapping[object, Refusal]) -> dict[str, list[str]]:
    """Each reason once, with the values that are refused for it."""
    found: dict[str, list[str]] = {}
    for value, why in refused.items():
        found.setdefault(_because(why), []).append(_word(value))
    return found


def _because(why: Refusal) -> str:
    return f"{_verdict(why)}: {why.why}"


def _word(value: object) -> str:
    """A value as a recipe spells it."""
    if isinstance(value, tuple):
        return f"[{', '.join(_word(item) for item in cast(tuple[object, ...], value))}]"
    names = {True: "true", False: "false", None: "null"}
    return names[value] if value is None or isinstance(value, bool) else str(value)


def _answer_data(answer: Answer) -> dict[str, object]:
    kind = type(answer).__name__.lower()
    if isinstance(answer, Key | Folded):
        key = answer.key if isinstance(answer, Key) else answer.into
        refusals = [{"value": as_data(value), **_answer_data(why)} for value, why in answer.refused.items()]
        return {"answer": kind, "key": key, "refused": refusals}
    if isinstance(answer, Ours):
        return {"answer": kind, "why": answer.why}
    return {"answer": kind, "why": answer.why, "neutral": as_data(answer.neutral)}


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
