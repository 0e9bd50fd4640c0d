"""Options of the test run, and of what hypothesis does in it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from native_base import Ground, chats, make_base, make_plan, source, write_rows

from backends import known
from schemas.plan import Plan

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


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """A tiny base and conversations about the colours of cars."""
    folder = tmp_path_factory.mktemp("ground")
    return Ground(make_base(folder / "base"), write_rows(folder / "train.jsonl", chats(0, 96)))


@pytest.fixture
def plan(ground: Ground, tmp_path: Path) -> Callable[..., Plan]:
    """Makes plans of them, with sections replaced."""

    def make(**sections: Any) -> Plan:
        return make_plan(ground.base, source(ground.rows), tmp_path / "out", **sections)

    return make
