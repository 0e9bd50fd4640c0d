"""The site's pages that train, followed one after the other in one folder: the tutorial, and what comes after it."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs_pages import EXCUSED, TRAINING, Reader, follow


def test_the_tutorial_and_what_comes_after_it_are_true(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    write = bool(request.config.getoption("--write-golden"))
    reader = Reader(tmp_path / "project")
    for page in TRAINING:
        assert follow(page, reader, EXCUSED.get(page, {}), write) == [], page
