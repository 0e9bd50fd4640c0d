"""Rows to prepare, small but in many blocks and windows, and what a run has of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from forked import Forked, Step, around, before
from native_base import chats, make_tokenizer, write_rows

from backends.native import prepared, readers, shards
from backends.native.data import Rules
from backends.native.examine import Examiner, Job
from backends.native.prepared import DONE, Packing, Prepared, key
from schemas.recipe import Fields

PACKED = Packing(64, None)


@dataclass(frozen=True)
class Ground:
    """What is prepared, and where."""

    job: Job
    tokenizer: Any
    home: Path

    def prepare(self, packing: Packing = PACKED, **options: Any) -> Prepared:
        return prepared.prepared(self.job, packing, self.tokenizer, self.home, **options)

    @property
    def place(self) -> Path:
        return self.home / key(self.job, PACKED, self.tokenizer)

    def folders(self) -> set[Path]:
        return {path for path in self.home.glob("*") if path.is_dir()}

    def reading(self, path: Path) -> Ground:
        """The same of other files."""
        return replace(self, job=replace(self.job, train=({**self.job.train[0], "path": str(path)},)))

    def shown(self) -> set[Path]:
        """All that lies there, but for the locks."""
        return {path for path in self.home.glob("*") if not path.name.startswith(".")}

    def forked(self, permits: int, work: Callable[[Step], object] | None = None) -> Forked:
        """A process that prepares the rows, and stands still after as many steps."""

        def live(step: Step) -> None:
            (work or watched)(step)
            self.prepare(advance=lambda _: step(b"."))

        return Forked(live, permits, self.home.with_name("errors.txt"))

    def errors(self) -> str:
        """What such processes wrote to standard error."""
        return self.home.with_name("errors.txt").read_text("utf-8")


def watched(step: Step) -> None:
    """Every kind of thing that is done on the way is a step, in the workers too."""
    before(b"w", step, Examiner, "examine")
    before(b"p", step, shards.Writer, "add")
    around(b"b", step, shards.Writer, "_write")
    around(b"f", step, os, "fsync")
    around(b"d", step, Path, "mkdir")
    around(b"r", step, Path, "rename")
    around(b"t", step, shutil, "rmtree")


TOKENIZER = make_tokenizer()


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    """Three hundred rows, in some thirty blocks and a dozen windows."""
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.setattr(prepared, "workers", lambda _: 3)
    monkeypatch.setattr(readers, "SIZE", 1200)
    monkeypatch.setattr(shards, "WINDOW", 500)
    source = {
        "path": str(write_rows(tmp_path / "rows.jsonl", chats(0, 300))),
        "local": True,
        "format": "messages",
        "split": "train",
        "subset": None,
        "revision": None,
        "weight": 1.0,
        "limit": None,
        "fields": Fields().model_dump(),
    }
    job = Job((source,), 0.1, None, True, Rules("assistant", 64, "drop"), False, 7)
    return Ground(job, TOKENIZER, tmp_path / "home")


def rows_of(found: Prepared) -> dict[str, Any]:
    """All that a run has of what was prepared."""
    parts = {name: part and part.to_list() for name, part in (("train", found.train), ("validation", found.validation))}
    return {**parts, "counts": found.counts, "met": found.met}


def damage(place: Path) -> None:
    """A folder as a disk that was full, or lost power, would leave it."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "train.arrow").write_bytes(b"half")
    (place / DONE).write_text('{"bytes": {"train.arrow": 1000, "validation.arrow": 1000}}', "utf-8")


def other_bytes(path: Path) -> None:
    """As many as before."""
    path.write_bytes(path.read_bytes().replace(b"car 17?", b"car 71?").replace(b"car 290?", b"car 209?"))
    os.utime(path, (1, 1))  # a clock that ticks slowly would show no other time


def overwritten(place: Path) -> None:
    with (place / "train.arrow").open("r+b") as file:
        file.seek((place / "train.arrow").stat().st_size // 2)
        file.write(b"\x01\x00\x00\x00" * 10)
