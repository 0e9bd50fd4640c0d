"""Looks a GPU up by name in the bundled catalog; asks this machine for its own only where a run needs it."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Final, TypedDict, cast

from msgspec import Struct
from msgspec.structs import replace

import schemas
from schemas.facts import Gpu

FILE: Final = Path(schemas.__file__).parent / "catalog" / "gpus.json"
MIB: Final = 1 << 20
QUERY: Final = ("nvidia-smi", "--query-gpu=name,memory.total,compute_cap", "--format=csv,noheader,nounits")
QUERY_SECONDS: Final = 10.0
MAKERS: Final = ("nvidia-", "geforce-", "tesla-", "amd-", "instinct-")
OTHER_CARDS: Final = frozenset({"ti", "super", "laptop", "max", "d", "mobile", "pro"})
"""Words after a model number that make it another card."""
SAME_MEMORY: Final = 0.12
"""How far nominal memory may stand above the usable memory of the same card."""


class GpuProblem(Struct, frozen=True):
    """Why a name is not one card. `choices`: the names it may mean, or the one that is spelled alike."""

    name: str
    choices: tuple[str, ...]
    ambiguous: bool

    @property
    def message(self) -> str:
        """What is wrong, in one line."""
        if self.ambiguous:
            return f'"{self.name}" is more than one card: {" or ".join(self.choices)}'
        return f'unknown GPU "{self.name}"'

    @property
    def hint(self) -> str | None:
        """What to do, or None where nothing alike is known."""
        if self.ambiguous:
            return f"write {' or '.join(self.choices)}"
        return f'did you mean "{self.choices[0]}"?' if self.choices else None


class _Card(TypedDict):
    title: str
    aliases: list[str]
    memory_mib: int
    compute_capability: float | None
    bf16_tflops: float | None
    fp16_tflops: float | None
    bandwidth_gb_s: float | None
    usd_per_hour: float | None
    price_date: str | None
    sources: dict[str, str]


class _Catalog(TypedDict):
    ambiguous: dict[str, list[str]]
    gpus: dict[str, _Card]


def find_gpu(name: str) -> Gpu | GpuProblem:
    """A card by catalog name or alias, in any letter case, with or without its maker's name."""
    wanted = _plain(name)
    known = _index().get(wanted)
    if known:
        return _gpu(known)
    choices = _catalog()["ambiguous"].get(wanted)
    if choices:
        return GpuProblem(name, tuple(choices), ambiguous=True)
    from difflib import get_close_matches  # only where something is misspelled

    said_more = [known for known in _index() if wanted.startswith(f"{known}-")]  # as its memory: t4-16gb
    alike = [max(said_more, key=len)] if said_more else get_close_matches(wanted, _index(), n=1, cutoff=0.6)
    return GpuProblem(name, tuple(_index()[each] for each in alike), ambiguous=False)


def all_gpus() -> tuple[Gpu, ...]:
    """Every card of the catalog, in its order, `cpu` last."""
    return tuple(_gpu(name) for name in _catalog()["gpus"])


def this_machine() -> Gpu | None:
    """The first NVIDIA card of this machine, None where there is none or its driver does not answer.

    A card of the catalog comes with its rates; another one with what the driver says, its rates unknown.
    """
    import shutil
    import subprocess

    if shutil.which(QUERY[0]) is None:
        return None
    try:
        answer = subprocess.run(QUERY, capture_output=True, text=True, timeout=QUERY_SECONDS, check=True)  # noqa: S603 - constant
    except (OSError, subprocess.SubprocessError):
        return None
    lines = answer.stdout.splitlines()
    return _seen(lines[0]) if lines else None


def this_cpu() -> Gpu:
    """`cpu` with this machine's main memory; 0, unknown, where /proc/meminfo does not say it."""
    return replace(_gpu("cpu"), memory=_main_memory())


def _seen(line: str) -> Gpu | None:
    """A card from one line of nvidia-smi: name, MiB in all, compute capability."""
    fields = [field.strip() for field in line.split(",")]
    if len(fields) != 3 or not fields[1].isdigit():
        return None
    title, total = fields[0], int(fields[1]) * MIB
    listed = of_driver(title, total)
    if listed:
        return listed
    capability = float(fields[2]) if fields[2].replace(".", "", 1).isdigit() else None
    return Gpu(_plain(title), title, total, capability, None, None, None, None, None, "nvidia-smi")


def of_driver(title: str, total: int) -> Gpu | None:
    """The card of the catalog that a driver's title and nominal memory (bytes) stand for.

    Its usable memory is the catalog's: nvidia-smi counts what the driver keeps as well.
    """
    words = _plain(title)
    fits = [card for card in all_gpus() if _begins(words, _model(card.name)) and _same_memory(card, total)]
    return max(fits, key=lambda card: len(_model(card.name)), default=None)


def _model(name: str) -> str:
    """A catalog name without its memory size."""
    head, _, tail = name.rpartition("-")
    return head if tail.endswith("gb") else name


def _begins(words: str, model: str) -> bool:
    """Whether a driver's title is that model, and not a card whose longer name begins alike."""
    if not f"{words}-".startswith(f"{model}-"):
        return False
    return words.removeprefix(model).lstrip("-").partition("-")[0] not in OTHER_CARDS


def _same_memory(card: Gpu, total: int) -> bool:
    return 0 < card.memory <= total * 1.001 and total - card.memory < SAME_MEMORY * total


def _plain(name: str) -> str:
    """A name as the catalog spells names."""
    plain = "-".join(name.strip().lower().replace("_", " ").split())
    for maker in MAKERS:
        plain = plain.removeprefix(maker)
    return plain.replace("rtx", "rtx-", 1).replace("--", "-")


@lru_cache(maxsize=1)
def _catalog() -> _Catalog:
    return cast("_Catalog", json.loads(FILE.read_text(encoding="utf-8")))


@lru_cache(maxsize=1)
def _index() -> dict[str, str]:
    """Every name and alias → catalog name."""
    cards = _catalog()["gpus"]
    return {alias: name for name, card in cards.items() for alias in (name, *card["aliases"])}


def _gpu(name: str) -> Gpu:
    card = _catalog()["gpus"][name]
    return Gpu(
        name=name,
        title=card["title"],
        memory=card["memory_mib"] * MIB,
        compute_capability=card["compute_capability"],
        bf16_tflops=card["bf16_tflops"],
        fp16_tflops=card["fp16_tflops"],
        bandwidth=card["bandwidth_gb_s"],
        usd_per_hour=card["usd_per_hour"],
        price_date=card["price_date"],
        source="; ".join(f"{fact}: {source}" for fact, source in card["sources"].items()),
    )


def _main_memory() -> int:
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return 0
    totals = (line.split() for line in text.splitlines() if line.startswith("MemTotal:"))
    return next((int(fields[1]) * 1024 for fields in totals), 0)
