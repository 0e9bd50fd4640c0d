"""Runs one after the other on a card, each in a process of its own, started early: imports take longer than runs.

    python bench/gpu/measure_all.py SCRIPTS RUNS OUT.jsonl --seconds 240 "memory 8b-lora" "speed 8b-lora native full"

Runs that would begin after so many seconds are left out, and named.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

WORKER = Path(__file__).with_name("worker.py")
AHEAD = 4
"""Processes that are started before their turn."""
LONGEST = 90
"""Seconds of one run."""


def start(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(fromfile_prefix_chars="@")
    parser.add_argument("scripts")
    parser.add_argument("runs")
    parser.add_argument("out", type=Path)
    parser.add_argument("cases", nargs="+")
    parser.add_argument("--seconds", type=float, default=240)
    asked = parser.parse_args()
    begun = time.monotonic()
    cases, waiting = deque(asked.cases), deque[subprocess.Popen[str]]()
    while cases:
        while len(waiting) < min(AHEAD, len(cases)):
            waiting.append(start([asked.scripts, asked.runs, str(asked.out)]))
        case, worker = cases.popleft(), waiting.popleft()
        if time.monotonic() - begun > asked.seconds:
            print(f"left out: {case}", flush=True)
            worker.kill()
            continue
        if worker.stdout:
            worker.stdout.readline()
        try:
            worker.communicate(case + "\n", timeout=LONGEST)
        except subprocess.TimeoutExpired:
            worker.kill()
            print(f"too long: {case}", flush=True)
            continue
        print(round(time.monotonic() - begun), told(asked.out, case), flush=True)


def told(out: Path, case: str) -> str:
    """The last line, in short."""
    line = json.loads(out.read_text("utf-8").splitlines()[-1]) if out.exists() else {}
    if "calibration" in line:
        found = line["calibration"]
        most = max(each["allocated"] for each in found["phases"].values() if each) / 2**30
        device = max(each["device"] for each in found["phases"].values() if each) / 2**30
        predicted = found["predicted"]
        return (
            f"{case}: {most:.2f} of {predicted['allocated'] / 2**30:.2f} GiB allocated, "
            f"{device:.2f} of {predicted['device'] / 2**30:.2f} on the device, {line['seconds']} s"
        )
    return f"{case}: " + json.dumps({key: value for key, value in line.items() if key not in ("losses", "story")})


if __name__ == "__main__":
    main()
