"""How much memory a process and all that it started held at most, at one time."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

EVERY = 0.05
"""Seconds between looks."""
PROC = Path("/proc")
HIGHEST = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)
OWN = re.compile(r"^Pss_(?:Anon|Shmem):\s+(\d+) kB", re.MULTILINE)


@dataclass
class Peak:
    """Bytes. `resident`: the sum of each living process's own highest mark: never too low, for a mark does not sink,
    but memory that forked processes share is counted in each. `own`: the highest sum at one look of what belongs to no
    file, where shared memory is divided among those that share it. Libraries and mapped data are left out there, which
    the system drops and reads again as it likes, and which it divides among whoever else has them open."""

    resident: int = 0
    own: int = 0

    def look(self, session: int) -> None:
        """Look at every process of a session."""
        found = [_memory(pid) for pid in _members(session)]
        self.resident = max(self.resident, sum(resident for resident, _ in found))
        self.own = max(self.own, sum(own for _, own in found))


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
    resident = own = 0
    with suppress(OSError):
        resident = _bytes(HIGHEST, (PROC / str(pid) / "status").read_text())
        own = _bytes(OWN, (PROC / str(pid) / "smaps_rollup").read_text())
    return resident, own


def _bytes(pattern: re.Pattern[str], text: str) -> int:
    return sum(int(found) for found in pattern.findall(text)) * 1024
