"""Runs a check in a process of its own for each artifact: tools patch the libraries that they use, and never undo it.

The tool is imported once, in the parent; children inherit it. Runs in the tools' own Pythons.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

Report = dict[str, object]
"""`wrong`: why the tool does not take the artifact. `effective`: values by field."""

REPORT = "conformance.json"
LOG = "conformance.log"
TOLD = "told.json"
"""What a check is told beside the artifact: how many steps, the base that stands for the recipe's, the command."""

LIMIT = 240
"""Seconds for one artifact."""


def serve(check: Callable[[dict[str, object]], Report]) -> None:
    """Check every folder on the command line, two at a time or as many as `FTC_JOBS` says."""
    jobs = int(os.environ.get("FTC_JOBS", "2"))
    running = 0
    for folder in sys.argv[1:]:
        if running == jobs:
            os.wait()
            running -= 1
        if os.fork() == 0:
            _child(check, Path(folder))
        running += 1
    for _ in range(running):
        os.wait()
    os._exit(0)  # threads of the tool would wait for the network


def _child(check: Callable[[dict[str, object]], Report], folder: Path) -> None:
    os.chdir(folder)
    with Path(LOG).open("w", encoding="utf-8") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    signal.alarm(LIMIT)
    try:
        report = check(json.loads(Path(TOLD).read_text(encoding="utf-8")))
    except BaseException as error:  # whatever ends the tool is what the report says
        traceback.print_exc()
        report = {"wrong": [f"{type(error).__name__}: {_short(str(error))}"]}
    Path(REPORT).write_text(json.dumps(report, indent=1, default=str), encoding="utf-8")
    os._exit(0)


def _short(text: str) -> str:
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    return " / ".join(lines)[:400]
