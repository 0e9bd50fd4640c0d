"""Options of the test run, and of what hypothesis does in it."""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("untimed")  # how long an example takes depends on what else the machine does
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-golden` makes the golden files anew; look at the difference before it is committed."""
    parser.addoption("--write-golden", action="store_true", help="write tests/golden/ anew")
