"""The browser, for the checks of all pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chromium import NAMES, Tab, browser, find

pytest.register_assert_rewrite("looking")


@pytest.fixture(scope="session", autouse=True)
def program() -> str:
    """The browser. Without one nothing else is tried."""
    found = find()
    if found is None:
        pytest.exit(f"no browser: none of {', '.join(NAMES)} is installed (Debian: apt-get install chromium)", 1)
    return found


@pytest.fixture(scope="session")
def tab(program: str) -> Iterator[Tab]:
    with browser(program) as started:
        yield Tab(started)
