"""Every command that the site's pages show is run as it stands there, and prints what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs_pages import EXCUSED, TRAINING, Reader, follow, pages

PAGES = [name for name in pages() if name not in TRAINING]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_true(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    write = bool(request.config.getoption("--write-golden"))
    assert follow(page, Reader(tmp_path / "project"), EXCUSED.get(page, {}), write) == []
