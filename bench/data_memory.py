"""How much memory a process and all that it started held at most, at one time."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

EVERY = 0.02
"""Seconds between looks."""
PROC = Path("/proc")
HIGHEST = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)
SHARE = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


@dataclass
class Peak:
    """Bytes. `resident`: the sum of each living process's own highest mark: never too low, for a mark does not sink,
    but memory that forked processes share is counted in each. `share`: the sum at one look, where shared memory is
    divided among those that share it: what the machine must have, but for what rises and falls between two looks."""

    resident: int = 0
    share: int = 0

    def look(self, session: int) -> None:
        """Look at every process of a session."""
        found = [_memory(pid) for pid in _members(session)]
        self.resident = max(self.resident, sum(resident for resident, _ in found))
        self.share = max(self.share, sum(share for _, share in found))


def watched(process: subprocess.Popen[str]) -> Peak:
    """Until the process ends, which must lead a session."""
    peak = Peak()
    while True:
        peak.look(process.pid)
        with suppress(subprocess.TimeoutExpired):
            process.wait(EVERY)
            return peak


def _members(session: int) -> Iterator[int]:
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it is gone
                # After the name, which may hold anything: state, parent, group, session.
                if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                    yield int(entry.name)


def _memory(pid: int) -> tuple[int, int]:
    resident = share = 0
    with suppress(OSError):
        resident = _bytes(HIGHEST, (PROC / str(pid) / "status").read_text())
        share = _bytes(SHARE, (PROC / str(pid) / "smaps_rollup").read_text())
    return resident, share


def _bytes(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.search(text)
    return int(found[1]) * 1024 if found else 0
