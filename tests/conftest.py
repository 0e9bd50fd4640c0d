"""Options of the test run, and of what hypothesis does in it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from backends import known

# Read when torch is imported, as some tests do before `train.py` is, which sets it too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
settings.register_profile("untimed", deadline=None)  # how long an example takes depends on what else the machine does
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-golden` makes the golden files anew; look at the difference before it is committed."""
    parser.addoption("--write-golden", action="store_true", help="write tests/golden/ anew")
    parser.addoption("--known-keys", metavar="FOLDER", help="read the lists of known keys from this folder")


def pytest_configure(config: pytest.Config) -> None:
    """Ctrl-C as on a terminal: a shell starts what runs in its background deaf to it, and so would be what tests start.
    Lists of known keys from elsewhere: tests/test_known_keys.py proves with them that it sees a key that is gone."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = config.getoption("--known-keys")
    if folder:
        known.FOLDER = Path(folder)
