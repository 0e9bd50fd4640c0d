"""Rows prepared once: when later runs find them, when they are prepared again, and that they are the same however."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from native_base import UNMARKED, chats, write_rows
from prepared_ground import PACKED, Ground, damage, ground, other_bytes, overwritten, rows_of
from tokenizers import AddedToken

from backends.native import files, prepared, readers, shards
from backends.native.data import Rules
from backends.native.examine import total_bytes
from backends.native.prepared import DONE, Packing, complete, key

__all__ = ["ground"]


def refuse(*_: object) -> None:
    raise AssertionError("it is prepared again")


# --- found again


def test_prepared_once_and_found_again(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    first = ground.prepare(advance=seen.append)
    assert sum(seen) == total_bytes(ground.job) == Path(ground.job.train[0]["path"]).stat().st_size
    assert len(first.train) < first.counts["train"]["kept"]
    assert first.counts["train"]["read"] + first.counts["validation"]["read"] == 300
    monkeypatch.setattr(prepared, "_write", refuse)
    assert rows_of(ground.prepare()) == rows_of(first)


def touched(ground: Ground) -> None:
    os.utime(ground.job.train[0]["path"], (1, 1))


def written_again(ground: Ground) -> None:
    path = Path(ground.job.train[0]["path"])
    text = path.read_bytes()
    path.unlink()
    path.write_bytes(text)


@pytest.mark.parametrize("change", [touched, written_again])
def test_only_what_a_file_holds_counts(change: Callable[[Ground], None], ground: Ground) -> None:
    before = ground.place
    change(ground)
    assert ground.place == before


def with_tokenizer(ground: Ground, change: Callable[[Any], object]) -> Ground:
    tokenizer = copy.deepcopy(ground.tokenizer)
    change(tokenizer)
    return replace(ground, tokenizer=tokenizer)


def with_job(ground: Ground, **changes: Any) -> Ground:
    return replace(ground, job=replace(ground.job, **changes))


def with_rules(ground: Ground, **changes: Any) -> Ground:
    return with_job(ground, rules=replace(ground.job.rules, **changes))


def with_source(ground: Ground, **changes: Any) -> Ground:
    return with_job(ground, train=({**ground.job.train[0], **changes},))


def with_another_byte(ground: Ground) -> Ground:
    path = Path(ground.job.train[0]["path"])
    other_bytes(path)
    return ground


def with_another_name(ground: Ground) -> Ground:
    """The findings that are kept name the file."""
    path = Path(ground.job.train[0]["path"])
    return with_source(ground, path=str(path.rename(path.with_name("others.jsonl"))))


def with_another_file(ground: Ground) -> Ground:
    """That the same glob finds."""
    path = Path(ground.job.train[0]["path"])
    write_rows(path.with_name("rows2.jsonl"), chats(300, 1))
    return with_source(ground, path=str(path.with_name("rows*.jsonl")))


CHANGES: dict[str, Callable[[Ground], Ground]] = {
    "a byte": with_another_byte,
    "a name": with_another_name,
    "a file more": with_another_file,
    "weight": lambda ground: with_source(ground, weight=2.0),
    "limit": lambda ground: with_source(ground, limit=10),
    "fields": lambda ground: with_source(ground, fields={**ground.job.train[0]["fields"], "role": "from"}),
    "format": lambda ground: with_source(ground, format="sharegpt"),
    "order": lambda ground: with_job(ground, train=ground.job.train * 2),
    "validation": lambda ground: with_job(ground, validation=0.2),
    "a number for validation": lambda ground: with_job(ground, validation=30),
    "no validation": lambda ground: with_job(ground, validation=None),
    "rows for validation": lambda ground: with_job(ground, validation=ground.job.train),
    "system": lambda ground: with_job(ground, system="Be brief."),
    "templated": lambda ground: with_job(ground, templated=False),
    "bad rows": lambda ground: with_job(ground, drop_bad=True),
    "seed": lambda ground: with_job(ground, seed=8),
    "loss_on": lambda ground: with_rules(ground, loss_on="all"),
    "max_length": lambda ground: with_rules(ground, max_length=63),
    "overlong": lambda ground: with_rules(ground, overlong="truncate"),
    "template": lambda ground: with_tokenizer(ground, lambda it: setattr(it, "chat_template", UNMARKED)),
    "a token": lambda ground: with_tokenizer(ground, lambda it: it.add_tokens(["car"])),
    "a special token": lambda ground: with_tokenizer(ground, lambda it: it.add_tokens([AddedToken("?", special=True)])),
    "the end": lambda ground: with_tokenizer(ground, lambda it: setattr(it, "eos_token", "<|pad|>")),
}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_decides_rows_is_told_apart(what: str, ground: Ground) -> None:
    before = ground.place
    changed = CHANGES[what](ground)
    assert changed.place != before


def test_packings_are_told_apart(ground: Ground) -> None:
    packings = (PACKED, Packing(63, None), Packing(64, 0), Packing(64, 1), Packing(None, None))
    assert len({key(ground.job, packing, ground.tokenizer) for packing in packings}) == len(packings)


@pytest.mark.parametrize("library", prepared.LIBRARIES)
def test_versions_are_told_apart(library: str, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ground.place
    version = prepared.version
    monkeypatch.setattr(prepared, "version", lambda name: "0" if name == library else version(name))
    assert ground.place != before


class Later(date):
    @classmethod
    def today(cls) -> date:
        return date(2000, 2, 29)


@pytest.mark.parametrize("template", ["{{ strftime_now('%d %b') }}" + UNMARKED, UNMARKED])
def test_days_are_told_apart_where_rows_tell_the_day(
    template: str, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground = with_tokenizer(ground, lambda it: setattr(it, "chat_template", template))
    before = ground.place
    monkeypatch.setattr(prepared, "date", Later)
    assert (ground.place != before) == ("strftime_now" in template)


def test_code_that_makes_rows_is_told_apart() -> None:
    """Which is all that preparing needs, but for what only spreads the work or words what is wrong."""
    imported = {"prepared", *prepared.CODE}
    text = "".join(Path(prepared.__file__).with_name(f"{name}.py").read_text("utf-8") for name in imported)
    used = {line.split()[1].removeprefix("backends.native.") for line in text.splitlines() if "from backends." in line}
    assert used - imported == {"parallel", "findings"}


# --- damaged


def truncated(place: Path) -> None:
    with (place / "train.arrow").open("r+b") as file:
        file.truncate((place / "train.arrow").stat().st_size - 1)


def told_no_sums(place: Path) -> None:
    """As it was written before there were any."""
    list_of_files = json.loads((place / DONE).read_text("utf-8"))
    del list_of_files["crc32"]
    (place / DONE).write_text(json.dumps(list_of_files), "utf-8")


def told(text: str) -> Callable[[Path], object]:
    return lambda place: (place / DONE).write_text(text, "utf-8")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": truncated,
    "overwritten": overwritten,
    "no sums": told_no_sums,
    "emptied": lambda place: (place / "validation.arrow").write_bytes(b""),
    "a file less": lambda place: (place / "validation.arrow").unlink(),
    "no list": lambda place: (place / DONE).unlink(),
    "all gone": lambda place: [path.unlink() for path in place.iterdir()],
    "a draft": damage,
    "no JSON": told("\x00" * 100),
    "no UTF-8": lambda place: (place / DONE).write_bytes(b"\xff"),
    "an empty list": told(""),
    "another kind": told("[]"),
    "nothing": told("null"),
    "no sizes": told('{"bytes": {}}'),
    "a size": told('{"bytes": 1}'),
    "more": told('{"bytes": ["train.arrow"]}'),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_damaged_rows_are_prepared_again(what: str, ground: Ground) -> None:
    expected = rows_of(ground.prepare())
    DAMAGES[what](ground.place)
    assert not complete(ground.place)
    assert rows_of(ground.prepare()) == expected
    assert complete(ground.place)
    assert ground.folders() == {ground.place}


# --- the same, however


KINDS = {".jsonl": "SIZE", ".json": "ROWS", ".parquet": "ROWS"}


def as_kind(ground: Ground, kind: str) -> Ground:
    """The same rows in another kind of file."""
    from datasets import Dataset

    path = Path(ground.job.train[0]["path"]).with_suffix(kind)
    if kind == ".json":
        Dataset.from_list(chats(0, 300)).to_json(path, lines=False)
    elif kind == ".parquet":
        Dataset.from_list(chats(0, 300)).to_parquet(path)
    return with_source(ground, path=str(path))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "packing", [PACKED, Packing(64, 3), Packing(None, None)], ids=["packed", "filled", "not packed"]
)
def test_rows_do_not_depend_on_workers_or_blocks(
    kind: str, packing: Packing, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = rows_of(ground.prepare(packing))
    assert len(expected["train"]) > 20
    here = with_job(as_kind(ground, kind), rules=Rules("assistant", 64, "drop"))
    for workers, size in ((1, 1 << 20), (2, 17), (3, 90), (2, 5)):
        shutil.rmtree(ground.home)
        monkeypatch.setattr(prepared, "workers", lambda _, workers=workers: workers)
        monkeypatch.setattr(readers, KINDS[kind], size)
        if kind == ".parquet":
            monkeypatch.setattr(files, "ROWS", size)
        assert rows_of(here.prepare(packing)) == expected, (workers, size)


def test_weights_do_not_depend_on_workers_or_blocks(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    ground = with_job(ground, train=tuple({**ground.job.train[0], "weight": weight} for weight in (2.5, 0.5)))
    expected = rows_of(ground.prepare())
    shutil.rmtree(ground.home)
    monkeypatch.setattr(prepared, "workers", lambda _: 1)
    monkeypatch.setattr(readers, "SIZE", 300)
    assert rows_of(ground.prepare()) == expected
    monkeypatch.setattr(shards, "WINDOW", 1 << 21)
    shutil.rmtree(ground.home)
    assert len(ground.prepare().train) <= len(expected["train"]), "the larger the window, the fewer rows"
