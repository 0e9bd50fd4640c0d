# ruff: noqa: S311 (chance that repeats)
"""Rows prepared once: whatever is killed, interrupted or done twice at a time, a cache is whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
from forked import Step, before
from native_base import chats, write_rows
from prepared_ground import Ground, damage, ground, other_bytes, overwritten, rows_of

from backends.native import prepared
from backends.native.examine import Examined, Examiner
from backends.native.findings import DataError
from backends.native.prepared import Prepared, complete, load
from backends.native.rows import Stretch

__all__ = ["ground"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")

HERE = os.getpid()
KILLS = 50
ENOUGH = 10_000
"""Permits for every step that there may be."""


def test_killed_at_any_moment_leaves_the_old_or_the_new(ground: Ground) -> None:
    other = replace(ground, job=replace(ground.job, seed=8))
    expected = {found.folder.name: rows_of(found) for found in (ground.prepare(), other.prepare())}
    elder = {path: path.stat() for path in other.place.iterdir()}
    shutil.rmtree(ground.place)
    damage(ground.place)
    steps = len(ground.forked(ENOUGH).end()[0])
    shutil.rmtree(ground.place)
    assert steps > 100
    chance = random.Random(0)
    # Every step of the end, where one folder takes another's place, and a choice of those before.
    moments = [*range(steps - 20, steps), *chance.sample(range(steps - 20), KILLS - 20)]
    stood = 0
    for moment in chance.sample(moments, KILLS):
        if chance.random() < 0.5:
            damage(ground.place)
        still = chance.random() < 0.5  # exactly there, or shortly after
        child = ground.forked(moment if still else ENOUGH)
        stood += len(child.steps(moment + 1)) == moment + 1
        child.kill()
        child.end()  # its workers are gone too
        whole = [path for path in ground.folders() if complete(path)]
        assert other.place in whole
        for path in whole:
            assert rows_of(load(path)) == expected[path.name.partition(".")[0]]
            if path != other.place:
                shutil.rmtree(path)
    assert stood > KILLS * 0.6, "most were killed before they were done"
    assert rows_of(ground.prepare()) == expected[ground.place.name]
    assert ground.folders() == {ground.place, other.place}, "drafts are left over"
    assert {path: path.stat() for path in other.place.iterdir()} == elder


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.95, 0.99])
def test_interruption_leaves_nothing_by_halves(ground: Ground, part: float) -> None:
    """Ctrl-C reaches the workers as well."""
    steps = len(ground.forked(ENOUGH).end()[0])
    shutil.rmtree(ground.home)
    child = ground.forked(int(part * steps))
    child.steps(int(part * steps) + 1)
    os.killpg(child.pid, signal.SIGINT)
    assert child.end()[1] == 130
    assert all(complete(path) for path in ground.folders())
    assert ground.folders() == set() or part == 0.99
    assert ground.errors() == ""


def test_killed_worker_is_told_and_leaves_nothing(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    examine = Examiner.examine

    def deadly(self: Examiner, stretch: Stretch) -> list[Examined]:
        if stretch.first > 150 and os.getpid() != HERE:
            os.kill(os.getpid(), signal.SIGKILL)
        return examine(self, stretch)

    monkeypatch.setattr(Examiner, "examine", deadly)
    with pytest.raises(DataError, match="was killed"):
        ground.prepare()
    assert ground.folders() == set()
    assert not active_children()


def test_error_in_a_worker_is_told_and_leaves_nothing(ground: Ground) -> None:
    bad = Path(ground.job.train[0]["path"])
    bad.write_text(bad.read_text("utf-8").replace("car 200?", 'car"200?'), "utf-8")
    with pytest.raises(DataError, match=r"1 row cannot be trained on:\n.*rows.jsonl:201: not JSON"):
        ground.prepare()
    assert ground.folders() == set()
    assert not active_children()


@pytest.mark.parametrize("part", [0.0, 0.5, 0.999])
def test_full_disk_is_told_and_leaves_nothing(ground: Ground, part: float) -> None:
    size = (ground.prepare().folder / "train.arrow").stat().st_size
    shutil.rmtree(ground.home)

    def limited(step: Step) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(part * size), resource.RLIM_INFINITY))
        prepare = prepared.prepared

        def telling(*arguments: Any, **options: Any) -> None:
            try:
                prepare(*arguments, **options)
            except DataError as error:
                assert "home" in str(error)
                assert "free space there, or set output.dir elsewhere" in str(error)
                step(b"E")

        prepared.prepared = telling  # type: ignore[assignment] (in the child alone)

    told, code = ground.forked(ENOUGH, limited).end()
    assert (told[-1:], code) == (b"E", 0)
    assert ground.folders() == set()


# --- at the same time


def test_several_that_want_the_same_have_it_prepared_once(ground: Ground) -> None:
    def waiting(step: Step) -> None:
        """Tells when it wants to prepare, when it does, and what it has at last."""
        alone, load_rows = prepared._alone, prepared.load

        def wanting(place: Path) -> Any:
            step(b"a")
            return alone(place)

        def loaded(place: Path) -> Prepared:
            found = load_rows(place)
            step(hashlib.sha256(json.dumps(rows_of(found)).encode()).hexdigest().encode())
            return found

        prepared._alone, prepared.load = wanting, loaded
        before(b"w", step, prepared, "_write")

    children = [ground.forked(1, waiting) for _ in range(4)]
    assert [child.steps(1) for child in children] == [b"a"] * 4
    # The one that has the lock stands still at its work until all have asked for it.
    for child in children:
        os.write(child.gate, bytes(ENOUGH))
    told = [child.end() for child in children]
    assert [code for _, code in told] == [0] * 4
    assert sorted(b"w" in found for found, _ in told) == [False, False, False, True]
    assert len({found[-64:] for found, _ in told}) == 1
    assert ground.folders() == {ground.place}


def unwatched(_: Step) -> None:
    """Only what was read is a step: at the first, its files are begun."""


def test_draft_goes_once_nobody_writes_it(ground: Ground) -> None:
    """Whoever prepares other rows removes it."""
    others = [replace(ground, job=replace(ground.job, seed=seed)) for seed in (8, 9)]
    living, killed = children = [other.forked(0, unwatched) for other in others]
    assert [child.steps(1) for child in children] == [b"."] * 2
    killed.kill()
    killed.end()
    drafts = {
        other.place.with_name(f"{other.place.name}.{child.pid}") for other, child in zip(others, children, strict=True)
    }
    assert ground.folders() == drafts
    ground.prepare()
    assert ground.folders() == {ground.place, *(path for path in drafts if path.suffix == f".{living.pid}")}
    os.write(living.gate, bytes(ENOUGH))
    assert living.end()[1] == 0
    assert complete(others[0].place)
    assert ground.folders() == {ground.place, others[0].place}


# --- changed while it is read


def replaced(path: Path) -> None:
    """By another file, of the same size and time."""
    other, told = path.with_name("other"), path.stat()
    other.write_bytes(path.read_bytes().replace(b"car 290?", b"car 209?"))
    os.utime(other, ns=(told.st_atime_ns, told.st_mtime_ns))
    other.replace(path)


def one_more(path: Path) -> None:
    """That the same glob finds."""
    write_rows(path.with_name("rows2.jsonl"), chats(300, 1))


SAVES: dict[str, Callable[[Path], object]] = {
    "other bytes": other_bytes,
    "another file": replaced,
    "a file more": one_more,
    "a file less": Path.unlink,
}


@pytest.mark.parametrize("waiting", [False, True], ids=["while it is read", "while the lock is waited for"])
@pytest.mark.parametrize("save", SAVES)
def test_file_that_changes_meanwhile_is_told_and_leaves_nothing(
    save: str, waiting: bool, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(ground.job.train[0]["path"])
    ground = ground.reading(path.with_name("rows*.jsonl"))
    original, alone = path.read_bytes(), prepared._alone
    expected = rows_of(ground.prepare())
    shutil.rmtree(ground.home)
    changes = iter([SAVES[save]])

    def change(*_: object) -> None:
        for each in changes:
            each(path)

    def late(place: Path) -> Any:
        change()
        return alone(place)

    monkeypatch.setattr(prepared, "_alone", late if waiting else alone)
    name = "rows2.jsonl" if save == "a file more" else "rows"
    with pytest.raises(DataError, match=rf'{name}.*" changed while it was read; start again|^no file matches "'):
        ground.prepare(advance=change)
    assert next(changes, None) is None
    assert ground.folders() == set()
    path.with_name("rows2.jsonl").unlink(missing_ok=True)
    path.write_bytes(original)
    assert rows_of(ground.prepare()) == expected


# --- in the way


def placed(path: Path) -> None:
    """A file, of whatever name."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("x", "utf-8")


def dangling(place: Path) -> None:
    place.parent.mkdir(exist_ok=True)
    place.symlink_to("nowhere")


IN_THE_WAY: dict[str, Callable[[Path], object]] = {
    "a file": placed,
    "a link": dangling,
    "a file beside it": lambda place: placed(place.with_name(f"{place.name}.x")),
    "a damaged file": lambda place: (placed(place), placed(place.with_name(f"{place.name}.damaged"))),
    "a draft": lambda place: damage(place.with_name(f"{place.name}.{os.getpid()}")),
    "others' draft": lambda place: damage(place.with_name(f"{'0' * 24}.4711")),
    "others' damaged rows": lambda place: damage(place.with_name(f"{'0' * 24}.damaged")),
    "others' damaged file": lambda place: placed(place.with_name(f"{'0' * 24}.damaged")),
}


@pytest.mark.parametrize("what", IN_THE_WAY)
def test_what_is_in_the_way_goes(what: str, ground: Ground) -> None:
    IN_THE_WAY[what](ground.place)
    first = rows_of(ground.prepare())
    assert ground.shown() == {ground.place}
    overwritten(ground.place)
    assert rows_of(ground.prepare()) == first
    assert ground.shown() == {ground.place}


def test_what_is_not_ours_stays(ground: Ground) -> None:
    own = {ground.home / name for name in ("notes.txt", f"{'0' * 24}", f"{'0' * 24}.old", f"{'g' * 24}.1", "0.1")}
    for path in own:
        placed(path)
    ground.prepare()
    assert ground.shown() == {ground.place, *own}


def test_home_that_cannot_be_is_told(ground: Ground) -> None:
    placed(ground.home)
    with pytest.raises(DataError, match=r'cannot be kept in ".*home": File exists; set output.dir elsewhere'):
        ground.prepare()
