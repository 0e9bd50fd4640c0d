"""What the checks of all pages share: how a page is made, and what is asked of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chromium import Tab

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "build" / "browser"
LOOK = Path(__file__).with_name("look.js").read_text("utf-8")
WIDTHS = (360, 768, 1280)
SCHEMES = ("light", "dark")
VIEWS = [pytest.param(width, scheme, id=f"{width}-{scheme}") for width in WIDTHS for scheme in SCHEMES]


def ftc(*arguments: str, folder: Path) -> str:
    """What the command prints, without the network."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "compiler.cli", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.stdout


def look(tab: Tab, question: str) -> Any:
    """What one of look.js's functions answers."""
    return tab.ask(f"({LOOK.strip()}).{question}")


def texts(tab: Tab, selector: str) -> list[str]:
    return tab.ask(f"[...document.querySelectorAll({json.dumps(selector)})].map(found => found.textContent)")
