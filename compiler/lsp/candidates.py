"""What may stand at the cursor, from the recipe's folder, its base, the catalogs and, standing alone, the language."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final, Literal

from msgspec import Struct

from backends.base import pattern
from compiler.hardware import all_gpus
from compiler.lsp.analysis import Analysis
from compiler.lsp.cursor import Cursor
from compiler.lsp.file_names import Wanted, file_candidates
from compiler.lsp.language import key_candidates, word_candidates
from compiler.lsp.module_names import module_candidates
from compiler.memory import weigh
from compiler.memory.fixes.setting import with_leaves
from compiler.models import all_models
from compiler.report.memory_text import VERDICTS, size
from compiler.rules.files import template_names
from compiler.source import parse
from schemas.diagnostic import dotted
from schemas.facts import GIB, Gpu, ModelFacts

Sort = Literal["key", "word", "file", "folder", "module", "model", "gpu"]
_SOURCES: Final = re.compile(r"data\.(train|validation)(\[\])?")


class Candidate(Struct, frozen=True):
    """`text`: the value as YAML means it, without quotes. `snippet`: what is written instead, for keys."""

    text: str
    kind: Sort
    detail: str = ""
    about: str = ""
    snippet: str | None = None


def candidates(cursor: Cursor, known: Analysis | None, folder_of: Analysis) -> Iterator[Candidate]:
    """Best first. `known`: the last version that was readable; `folder_of`: the present one."""
    if cursor.kind in ("value", "item"):
        yield from _values(cursor, known, folder_of)
    if folder_of.settings.alone:
        data = _around(cursor, known, folder_of)
        yield from (Candidate(*item) for item in _alone(cursor, data))


def _around(cursor: Cursor, known: Analysis | None, here: Analysis) -> object:
    """The data around the cursor: a word without its colon makes them unreadable, and is left out then."""
    if here.readable or cursor.kind == "value":
        return known.source.data if known else {}
    text = here.text[: cursor.start] + here.text[cursor.end :]
    without = parse(text, "").data
    empty = not any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines())
    return without if without is not None else {} if empty or known is None else known.source.data


def _alone(cursor: Cursor, data: object) -> Iterator[tuple[str, Sort, str, str, str | None]]:
    if cursor.kind in ("key", "item"):
        yield from key_candidates(cursor, data)
    if cursor.kind in ("value", "item"):
        yield from word_candidates(cursor, data)


def _values(cursor: Cursor, known: Analysis | None, here: Analysis) -> Iterator[Candidate]:
    leaf = pattern(dotted(cursor.path))
    source = _SOURCES.match(leaf)
    if source and leaf[source.end() :] == ".path":
        yield from _files(cursor, here, "data")
    elif source and leaf[source.end() :].startswith(".fields."):
        yield from _columns(cursor, known)
    elif leaf in _LEAVES:
        yield from _LEAVES[leaf](cursor, known, here)
    elif leaf.startswith("method.") and known and known.facts:
        yield from (Candidate(*item) for item in module_candidates(leaf, cursor, known, known.facts))


def _files(cursor: Cursor, here: Analysis, wanted: Wanted) -> Iterator[Candidate]:
    for name, is_folder, detail in file_candidates(cursor.typed, here.file.parent, wanted):
        yield Candidate(name, "folder" if is_folder else "file", detail)


def _base(cursor: Cursor, known: Analysis | None, here: Analysis) -> Iterator[Candidate]:
    del known
    if not cursor.typed.startswith((".", "/", "~")):
        for facts in _catalog():
            detail = f"{facts.params / 1e9:.3g}B, {facts.context:,} tokens"
            yield Candidate(facts.name, "model", detail, facts.hub_id or "")
            if facts.hub_id:
                yield Candidate(facts.hub_id, "model", detail, f"{facts.name} in ftc's catalog")
    yield from _files(cursor, here, "base")


@cache
def _catalog() -> tuple[ModelFacts, ...]:
    return all_models()


def _tokenizer(cursor: Cursor, known: Analysis | None, here: Analysis) -> Iterator[Candidate]:
    del known
    yield from _files(cursor, here, "tokenizer")


def _template(cursor: Cursor, known: Analysis | None, here: Analysis) -> Iterator[Candidate]:
    del known
    if not cursor.typed.startswith((".", "/", "~")):
        yield from (Candidate(name, "word", "chat template") for name in ("auto", *template_names()))
    yield from _files(cursor, here, "template")


def _resume(cursor: Cursor, known: Analysis | None, here: Analysis) -> Iterator[Candidate]:
    del known
    yield from (Candidate(name, "word") for name in ("auto", "never"))
    yield from _files(cursor, here, "folder")


def _gpus(cursor: Cursor, known: Analysis | None, here: Analysis) -> Iterator[Candidate]:
    """Each with what this recipe needs on it, where that is known."""
    del cursor, here
    for gpu in all_gpus():
        room = "main memory" if gpu.is_cpu else f"{gpu.memory / GIB:.1f} GiB"
        price = f", about {gpu.usd_per_hour:.2f} USD an hour" if gpu.usd_per_hour else ""
        yield Candidate(gpu.name, "gpu", f"{room}{_on(gpu, known)}", f"{gpu.title}: {room}{price}")


def _on(gpu: Gpu, known: Analysis | None) -> str:
    if known is None or known.solved is None or known.footprint is None or gpu.is_cpu:
        return ""
    moved = with_leaves(known.solved, {"hardware.gpu": gpu.name, "hardware.memory": None})
    needed = weigh(moved, known.footprint.stack)
    return f", {VERDICTS[needed.verdict][0]}: about {size(needed.device)}"


def _columns(cursor: Cursor, known: Analysis | None) -> Iterator[Candidate]:
    """Columns of the source's first row."""
    from compiler.lsp.columns import columns_of

    source = cursor.path[: cursor.path.index("fields")]
    for name in columns_of(known, source) if known else ():
        yield Candidate(name, "word", "a column of the first row")


_Values = Callable[[Cursor, Analysis | None, Analysis], Iterator[Candidate]]
_LEAVES: Final[dict[str, _Values]] = {
    "model.base": _base,
    "model.tokenizer": _tokenizer,
    "model.chat_template": _template,
    "checkpoint.resume": _resume,
    "hardware.gpu": _gpus,
}
