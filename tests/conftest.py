"""Options of the test run."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-golden` makes the golden files anew; look at the difference before it is committed."""
    parser.addoption("--write-golden", action="store_true", help="write tests/golden/ anew")
