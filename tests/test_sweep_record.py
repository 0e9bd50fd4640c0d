"""The record of a sweep: it may be cut at any moment, and what it says to do can be done."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.errors import FtcError
from compiler.sweep.record import Record

FILES = ("results.md", "results.html")


def keep(record: Record, text: str) -> None:
    record.write({"kind": record.kind}, dict.fromkeys(FILES, text))


def test_a_record_that_was_cut_between_two_files_is_still_ours(tmp_path: Path) -> None:
    record = Record(tmp_path, "results")
    keep(record, "first")
    (tmp_path / "results.html.part").mkdir()  # ends the writing after the first file, as a kill would
    for text in ("second", "third"):
        with pytest.raises(FtcError):
            keep(record, text)
        record.require_ours(FILES, force=False)
    (tmp_path / "results.html.part").rmdir()
    keep(record, "fourth")
    record.require_ours(FILES, force=False)
    assert {(tmp_path / name).read_text("utf-8") for name in FILES} == {"fourth"}
    (tmp_path / "results.html").write_text("mine", encoding="utf-8")
    with pytest.raises(FtcError, match="was changed after ftc wrote it") as told:
        record.require_ours(FILES, force=False)
    assert told.value.hint and "--force" not in told.value.hint, "a run has no such option, and a build leaves it alone"
