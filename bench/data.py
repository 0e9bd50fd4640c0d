"""How fast conversations become packed rows with labels, and in how much memory: ours, TRL's own way, `datasets.map`.

    python bench/data.py                                     # all three, in turns
    python bench/data.py --rows 100000 1000000 --ours-only   # whether memory grows with the rows
    python bench/data.py --write                             # into bench/results/data.json

Each run is a process of its own. What is compared makes the same tokens of the same file with as many processes; ours
also checks each row, and `datasets.map` does not pack. Ends 1 where ours is slower than the faster of the others,
where packed rows are less full or where memory grows more than the limits say.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.data_memory import Peak, watched
from bench.data_rows import write
from bench.data_work import CONTENDERS, MAX_LENGTH, WORKERS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results" / "data.json"
ROWS, RUNS = 10_000, 3
GROWTH = 1.2
"""Of memory, from the fewest rows to the most: at most this."""
FULL = 0.99
"""Of the tokens that packed rows have room for: at least this."""
PACKAGES = ("datasets", "numpy", "pyarrow", "tokenizers", "torch", "transformers", "trl")
MIB = 1 << 20
Run = dict[str, Any]


def main() -> int:
    asked = _arguments()
    names = ["ours"] if asked.ours_only else list(CONTENDERS)
    with TemporaryDirectory(dir=asked.folder) as folder:
        sizes = [_size(write(Path(folder, "rows.jsonl"), rows), names, asked.runs) for rows in asked.rows]
    for size in sizes:
        _say(size)
    slow = any(size["ratio"]["median"] < 1 for size in sizes if "ratio" in size)
    loose = any(size["packing"]["ours"] < FULL for size in sizes)
    growth = sizes[-1]["memory"]["ours"]["resident"] / sizes[0]["memory"]["ours"]["resident"]
    if len(sizes) > 1:
        print(f"memory of ours, {sizes[-1]['rows']:,} rows to {sizes[0]['rows']:,}: {growth:.2f}, limit {GROWTH}")
    if asked.write:
        _keep(sizes)
    return slow or loose or growth > GROWTH


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[ROWS])
    parser.add_argument("--runs", type=int, default=RUNS, help="timed runs of each")
    parser.add_argument("--ours-only", action="store_true")
    parser.add_argument("--folder", type=Path, help="where there is room; a temporary one")
    parser.add_argument("--write", action="store_true", help=f"into {RESULTS.relative_to(ROOT)}")
    return parser.parse_args()


def _size(path: Path, names: Sequence[str], runs: int) -> dict[str, Any]:
    """All about one number of rows. What is timed is not watched, which costs time."""
    rounds = [{name: _run(name, path)[0] for name in names} for _ in range(runs)]
    peaks = {name: _run(name, path, watch=True) for name in names}
    told = {name: [each[name] for each in rounds] + [peaks[name][0]] for name in names}
    _same(told)
    found = {
        "rows": told["ours"][0]["rows"],
        "tokens": told["ours"][0]["tokens"],
        "mib_read": round(path.stat().st_size / MIB, 1),
        "rows_per_second": {
            name: _spread([each["rows"] / each["seconds"] for each in told[name][:-1]]) for name in names
        },
        "cpu_seconds": {name: _spread([each["cpu"] for each in told[name][:-1]]) for name in names},
        "check_rows_per_second": _spread([each["rows"] / each["check"] for each in told["ours"][:-1]]),
        "packing": {name: _efficiency(told[name][0]) for name in names if name != "datasets.map"},
        "memory": {name: asdict(peak) | {"resting": run["resting"]} for name, (run, peak) in peaks.items()},
    }
    return found | (_ratio(found["rows_per_second"], rounds) if len(names) > 1 else {})


def _ratio(speeds: Mapping[str, Any], rounds: Sequence[Mapping[str, Run]]) -> dict[str, Any]:
    """Ours over the faster of the others, round by round."""
    baseline = max((name for name in speeds if name != "ours"), key=lambda name: speeds[name]["median"])
    ratios = [each[baseline]["seconds"] / each["ours"]["seconds"] for each in rounds]
    return {"baseline": baseline, "ratio": _spread(ratios)}


def _run(name: str, path: Path, *, watch: bool = False) -> tuple[Run, Peak]:
    """One process, with nothing that an earlier one kept."""
    with TemporaryDirectory(dir=path.parent) as folder:
        command = [sys.executable, str(ROOT / "bench" / "data_work.py"), name, str(path), folder]
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        environment = {**os.environ, "HF_DATASETS_CACHE": f"{folder}/datasets", "TOKENIZERS_PARALLELISM": "false"}
        with subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, **options) as process:
            peak = watched(process) if watch else Peak()
            out, errors = process.communicate()
        if process.returncode:
            sys.exit(f"{name} ended with {process.returncode}\n{errors[-2000:]}")
        return json.loads(out), peak


def _same(told: Mapping[str, Sequence[Run]]) -> None:
    """That all made the same of the file."""
    made = {
        name: {(each["rows"], each["tokens"], each["trained_tokens"]) for each in runs} for name, runs in told.items()
    }
    if len(set.union(*made.values())) > 1:
        sys.exit(f"not the same rows, tokens and trained tokens: {made}")


def _efficiency(run: Run) -> float:
    return round(run["tokens"] / (run["bins"] * MAX_LENGTH), 4)


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"min": round(min(values), 3), "median": round(median(values), 3), "max": round(max(values), 3)}


def _say(size: Mapping[str, Any]) -> None:
    print(f"{size['rows']:,} conversations, {size['tokens']:,} tokens, {size['mib_read']} MiB, {WORKERS} processes:")
    for name, speed in size["rows_per_second"].items():
        memory, packing = size["memory"][name], size["packing"].get(name)
        print(
            f"  {name:12} {speed['median']:8,.0f} rows/s ({speed['min']:,.0f} to {speed['max']:,.0f}), "
            f"{size['cpu_seconds'][name]['median']:.1f} s of CPU, "
            f"{memory['resident'] / MIB:,.0f} MiB ({memory['own'] / MIB:,.0f} of no file, "
            f"{memory['resting'] / MIB:,.0f} at rest)" + (f", packed {packing:.2%} full" if packing else ", not packed")
        )
    check = size["check_rows_per_second"]
    print(f"  reading and checking alone: {check['median']:,.0f} rows/s ({check['min']:,.0f} to {check['max']:,.0f})")
    if "ratio" in size:
        ratio = size["ratio"]
        print(
            f"  ours over {size['baseline']}: {ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}), limit 1"
        )


def _keep(sizes: Sequence[Mapping[str, Any]]) -> None:
    """In the place of what was kept of as many rows by as many contenders."""
    before = json.loads(RESULTS.read_text(encoding="utf-8"))["sizes"] if RESULTS.is_file() else []
    about = {"machine": _machine(), "versions": _versions(), "processes": WORKERS, "max_length": MAX_LENGTH}
    new = [{**size, **about} for size in sizes]
    known = {_kind(size) for size in new}
    kept = sorted([*new, *(size for size in before if _kind(size) not in known)], key=_kind)
    RESULTS.write_text(json.dumps({"sizes": kept}, indent=1) + "\n", encoding="utf-8")


def _kind(size: Mapping[str, Any]) -> tuple[int, int]:
    return size["rows"], len(size["memory"])


def _machine() -> dict[str, Any]:
    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": cpu.partition(":")[2].strip(), "cores": os.cpu_count(), "gib": round(total / (1 << 30), 1)}


def _versions() -> dict[str, str]:
    return {"python": python_version(), **{name: version(name) for name in PACKAGES}}


if __name__ == "__main__":
    sys.exit(main())
