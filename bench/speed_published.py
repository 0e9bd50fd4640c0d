# pyright: basic
"""The throughput model against published speeds.

    python bench/speed_published.py [--rows] [--page]

Each row of `bench/data/speed_published.jsonl` is a measured fine-tuning run with its source. What a source does not
say is taken as usual: rank 16 on all linear layers, AdamW, rows that are full. Runs that no recipe can say are counted,
not compared. `--page` writes docs/speed-accuracy.md.
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bench.memory_plans import a_plan, full, lora
from compiler.hardware import find_gpu
from compiler.models import find_model
from compiler.throughput import Interval, speed
from schemas.facts import Gpu, ModelFacts
from schemas.footprint import Stack
from schemas.plan import Plan

FILE = Path(__file__).parent / "data" / "speed_published.jsonl"
APART = ("ulmt",)
"""A source whose runs are two to seven times slower than all others of their shape: what its loop does is not known."""
LATER = ("fmsacc",)
"""Sources that were found when the constants stood."""
STACKS: dict[str, Stack] = {
    "unsloth": "unsloth",
    "axolotl": "axolotl",
    "llamafactory": "llamafactory",
    "transformers-peft": "peft",
    "trl": "axolotl",
}
"""Whose training code a row ran. Others cast and mask as little as ftc's own, and are taken for it."""


class Row(Struct, frozen=True):
    """A published run. `measured`: positions a second of all cards; `found`: what the model says; None with `why` where
    it cannot."""

    name: str
    gpu: str
    stack: str
    method: str
    gpus: int
    apart: bool
    measured: float
    found: Interval | None
    why: str | None

    @property
    def error(self) -> float:
        """Predicted over measured, less one."""
        return self.found.middle / self.measured - 1 if self.found else float("nan")


class InexpressibleError(Exception):
    """The row lacks a fact, or describes what no recipe can say."""


def rows(path: Path = FILE) -> Iterator[Row]:
    """The file's rows, in its order."""
    for line in path.read_text(encoding="utf-8").splitlines():
        row = defaultdict(lambda: None, json.loads(line))
        measured = _measured(row)
        about = (row["id"], row["gpu"], row["stack"], row["method"], row["gpus"], row["id"].startswith(APART))
        if not measured:
            yield Row(*about, 0, None, "no speed")
            continue
        try:
            plan = plan_of(row)
        except InexpressibleError as error:
            yield Row(*about, measured, None, str(error))
            continue
        found = speed(plan, STACKS.get(row["stack"], "native"))
        yield Row(*about, measured, found and found.tokens_per_second, None if found else "no rate")


def _measured(row: dict[str, Any]) -> float | None:
    if row["tokens_per_second_per_gpu"]:
        return row["tokens_per_second_per_gpu"] * row["gpus"]
    if row["seconds_per_step"] and row["sequence"] and row["micro_batch_size"]:
        tokens = row["sequence"] * row["micro_batch_size"] * (row["accumulation"] or 1) * row["gpus"]
        return tokens / row["seconds_per_step"]
    return None


def plan_of(row: dict[str, Any]) -> Plan:
    """The row as a plan."""
    for name in ("micro_batch_size", "sequence"):
        if not row[name]:
            raise InexpressibleError(f"{name} is not said")
    facts, gpu = find_model(row["model"], Path(), online=False), find_gpu(row["gpu"])
    if not isinstance(facts, ModelFacts):
        raise InexpressibleError(f"{row['model']} is not in the catalog")
    if not isinstance(gpu, Gpu):
        raise InexpressibleError(f"{row['gpu']} is not in the catalog")
    if row["bits"] == 8 or row["checkpointing"] is None:
        raise InexpressibleError("8 bit" if row["bits"] == 8 else "checkpointing is not said")
    return _compiled(row, _started(row, facts, gpu))


def _started(row: dict[str, Any], facts: ModelFacts, gpu: Gpu) -> Plan:
    count = row["gpus"]
    strategy = row["strategy"] or ("single" if count == 1 else "fsdp")
    return a_plan(
        facts.name,
        full() if row["method"] == "full" else _adapters(row, facts),
        micro=row["micro_batch_size"],
        accumulation=row["accumulation"] or 1,
        length=row["sequence"],
        packing=True,  # rows are full: nothing is masked
        checkpointing=row["checkpointing"],
        loss=row["loss"] or ("chunked" if row["stack"] == "unsloth" else "full"),
        attention="flash_attention_2" if row["attention"] != "eager" else "eager",
        dtype=row["dtype"] if row["dtype"] != "float32" else "bfloat16",
        kernels="liger" if row["kernels"] == "liger" else "none",
        gpu=gpu,
        count=count,
        strategy=strategy,
    )


def _adapters(row: dict[str, Any], facts: ModelFacts) -> Any:
    targets = row["targets"]
    made = lora(facts, rank=row["rank"] or 16, kind=row["method"])
    if targets in (None, "all-linear"):
        return made
    rooms = {linear.name: linear.room for linear in facts.linears}
    names = [name for name in rooms if rooms[name] == "attention"] if targets == "attention" else targets
    return replace(made, target_modules=tuple(name for name in names if name in rooms))


def _compiled(row: dict[str, Any], plan: Plan) -> Plan:
    return replace(plan, training=replace(plan.training, compile=bool(row["compile"])))


def held_out(row: Row) -> bool:
    """Whether nothing was fitted to it: what was found afterwards, and half of the rest, by a hash of their names."""
    return row.name.startswith(LATER) or sha256(f"{row.name.partition('-')[0]}{row.name}".encode()).digest()[0] % 2 == 1


def compared(found: Iterable[Row]) -> list[tuple[Row, Interval]]:
    """Rows of which the model says something, those of odd sources left out."""
    return [(row, row.found) for row in found if row.found and not row.apart]


def table(found: list[tuple[Row, Interval]]) -> str:
    """Median error, its median without sign, and how many lie within the interval, by what rows have in common."""
    groups: dict[str, list[tuple[Row, Interval]]] = defaultdict(list)
    for row, interval in found:
        for name in (
            f"card {row.gpu}",
            f"stack {row.stack}",
            f"method {row.method}",
            "one card" if row.gpus == 1 else "several cards",
        ):
            groups[name].append((row, interval))
        groups["all, nothing fitted to them" if held_out(row) else "all that was fitted to"].append((row, interval))
    lines = [
        "| rows | how many | median error | median without its sign | within the interval |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, group in sorted(groups.items()):
        errors = [row.error for row, _ in group]
        inside = sum(interval.low <= row.measured <= interval.high for row, interval in group) / len(group)
        lines.append(
            f"| {name} | {len(group)} | {median(errors):+.0%} | {median(map(abs, errors)):.0%} | {inside:.0%} |"
        )
    return "\n".join(lines)


def page(found: list[Row]) -> str:
    """docs/speed-accuracy.md."""
    missing = Counter(row.why for row in found if row.why)
    apart = [row.error for row in found if row.apart and row.found]
    left = "".join(f"- {count} rows: {why}.\n" for why, count in missing.most_common())
    fresh = [(row, row.found) for row in found if row.found and held_out(row)]
    return PAGE.format(
        table=table(compared(found)),
        left=left,
        apart=len(apart),
        far=median(apart),
        rows=len(found),
        whole=len(fresh),
        off=median(abs(row.error) for row, _ in fresh),
        inside=sum(interval.low <= row.measured <= interval.high for row, interval in fresh) / len(fresh),
    )


PAGE = """\
# How far speeds are off

Written by `bench/speed_published.py --page`: the throughput model against {rows} published runs, each with its source
in `bench/data/speed_published.jsonl`. **error**: predicted over measured, less one. **within the interval**: how
many were measured between the bounds that `ftc plan` prints.

{table}

The constants (`compiler/throughput/efficiency.json`) were set by ftc's own readings on an H100 (`docs/speed.md`) and
fitted to half of the rows that were known then; the other half, and all of a source that was found afterwards, are
"nothing fitted to them". The published runs are of other versions and other scripts than ftc's: what they read of
torchtune, torchtitan and single scripts is compared with the native stack, which casts and masks as little.

{apart} rows of one source are set apart, as its runs are far slower than all others of their shape (median
{far:+.0%}): what its loop does is not known. That was decided after seeing them. With them, of the {whole} rows that
nothing was fitted to, the error is {off:.0%} in the median without its sign, and {inside:.0%} lie within the interval;
the width of the interval was chosen by looking at these rows too.

What the comparison takes for granted: rows that are full; fused attention wherever it is not eager; kernels of
Unsloth's kind in other scripts count as none, so that those rows are faster than the model says.

Not compared:

{left}
No published speed with a complete configuration was found of a T4, V100, L4, A10G, A40 or MI300X, nor of whole runs of
Axolotl. What the model says of them is marked "low confidence".
"""


def main() -> None:
    found = list(rows())
    if "--page" in sys.argv:
        (Path(__file__).parents[1] / "docs" / "speed-accuracy.md").write_text(page(found), encoding="utf-8")
    if "--rows" in sys.argv:
        for row, interval in sorted(compared(found), key=lambda item: item[0].error):
            about = f"{row.gpu:12} {row.gpus} {row.stack:18} {row.name}"
            print(f"{row.error:+7.0%} {row.measured:9,.0f} {interval.middle:9,.0f} {about}")
    print(table(compared(found)))


if __name__ == "__main__":
    main()
