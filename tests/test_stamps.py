"""What was seen of a file is remembered, and never for longer than the file is as it was."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from compiler.data import stamps
from compiler.data.stamps import seen_once

OLD = 1_000_000_000_000_000_000


@pytest.fixture
def looked() -> list[str]:
    return []


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written now was written long ago."""
    monkeypatch.setattr(stamps, "time_ns", lambda: time.time_ns() + 10 * stamps.YOUNG)


@pytest.mark.usefixtures("later")
def test_a_file_is_looked_at_once_for_each_question(tmp_path: Path, looked: list[str]) -> None:
    def look(path: Path, what: str) -> str:
        looked.append(what)
        return path.read_text() + what

    file = tmp_path / "rows"
    file.write_text("a")
    seen = seen_once(look)
    assert [seen(file, "1"), seen(file, "1"), seen(file, "2")] == ["a1", "a1", "a2"]
    assert looked == ["1", "2"]
    file.write_text("b")
    os.utime(file, ns=(OLD + 1, OLD + 1))
    assert seen(file, "1") == "b1"


@pytest.mark.usefixtures("later")
def test_a_file_whose_time_was_set_back_is_looked_at_again(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    file.write_text("a")
    os.utime(file, ns=(OLD, OLD))
    seen = seen_once(lambda path: path.read_text())
    assert seen(file) == "a"
    before = file.stat().st_ctime_ns
    while file.stat().st_ctime_ns == before:  # the clock of a file system is coarse
        file.write_text("b")
        os.utime(file, ns=(OLD, OLD))
    assert seen(file) == "b"


def test_a_young_file_may_change_and_look_the_same(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    seen = seen_once(lambda path: path.read_text())
    for text in ("a", "b", "c"):
        file.write_text(text)
        assert seen(file) == text


def test_a_file_that_is_not_there_is_looked_for_each_time(tmp_path: Path) -> None:
    seen = seen_once(lambda path: path.exists())
    assert seen(tmp_path / "rows") is False
    (tmp_path / "rows").write_text("a")
    assert seen(tmp_path / "rows") is True
