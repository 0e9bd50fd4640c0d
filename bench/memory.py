"""Compare predicted memory with published measurements.

    PYTHONPATH=. python bench/memory.py bench/data/vram_published.jsonl

Each line of the file is one measurement with its source. Live tensors are compared with `max_memory_allocated`,
reserved memory with `max_memory_reserved`, the device total with nvidia-smi. Rows that the recipe language cannot
express are listed with the reason, not left out in silence.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from plans import a_plan, card, facts, full, lora

from compiler.memory import weigh
from schemas.facts import GIB
from schemas.footprint import Footprint, Stack
from schemas.method_plan import QuantizationPlan
from schemas.plan import Plan

KINDS = {
    "torch_max_allocated": "allocated",
    "torch_max_reserved": "reserved",
    "nvidia_smi": "device",
    "nvidia-smi": "device",
}
OPTIMIZERS = {"paged_adamw_8bit": "paged_adamw_8bit", "adamw_8bit": "adamw_8bit", "paged_adamw_32bit": "paged_adamw"}
GRADIENTS_ALIVE = "vramcalc"
"""A harness that zeroes gradients in place: they are alive throughout, as they are under accumulation."""


@dataclass(frozen=True, slots=True)
class Reading:
    row: str
    kind: str
    predicted: float
    measured: float
    high: float

    @property
    def error(self) -> float:
        """Relative error of the prediction."""
        return self.predicted / self.measured - 1


class InexpressibleError(Exception):
    """The row describes a run that no recipe can say."""


def main(path: str, stack: Stack = "peft") -> None:
    """Print the table and the summary."""
    readings: list[Reading] = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        try:
            readings += _readings(row, weigh(_plan(row), stack))
        except InexpressibleError as why:
            print(f"{row['id'][:72]:72s} left out: {why}")
    for reading in readings:
        under = "  under" if reading.high < reading.measured else ""
        print(
            f"{reading.row[:72]:72s} {reading.kind:9s} {reading.predicted:7.2f} {reading.measured:7.2f}"
            f" {reading.error:+7.1%}{under}"
        )
    for kind in sorted({reading.kind for reading in readings}):
        _summary(kind, [reading for reading in readings if reading.kind == kind])


def _summary(kind: str, readings: list[Reading]) -> None:
    errors = [reading.error for reading in readings]
    below = sum(error < 0 for error in errors) / len(errors)
    escaped = sum(reading.measured > reading.high for reading in readings) / len(readings)
    print(
        f"\n{kind}: {len(readings)} readings, median |error| {median(map(abs, errors)):.1%}, "
        f"worst under {min(errors):+.1%}, worst over {max(errors):+.1%}, "
        f"point below reading {below:.0%}, interval's end below reading {escaped:.0%}"
    )


def _readings(row: dict[str, Any], weighed: Footprint) -> Iterator[Reading]:
    kind = KINDS.get(row["measured_kind"])
    if kind is None:
        raise InexpressibleError(f"reading of kind {row['measured_kind']}")
    ends = {"allocated": weighed.high, "reserved": weighed.high, "device": weighed.high}
    yield Reading(row["id"], kind, getattr(weighed, kind) / GIB, row["measured_gib"], ends[kind] / GIB)
    extra = (row["measured_extra"] or {}).get("max_allocated_gib")
    if extra:
        yield Reading(row["id"], "allocated", weighed.allocated / GIB, extra, weighed.high / GIB)


def _plan(row: dict[str, Any]) -> Plan:
    if row["n_gpus"] != 1:
        raise InexpressibleError("several cards")
    if row["kernels"] or row["torch_compile"]:
        raise InexpressibleError("other kernels")
    model = _model(row)
    fused_precision = "autocast" in row["base_dtype"]
    if fused_precision and row["method"] != "full":
        raise InexpressibleError("a frozen base in float32 under autocast")
    accumulation = row["grad_accum"] or 1
    return a_plan(
        model,
        _method(row, model, fused_precision),
        micro=row["micro_batch"],
        accumulation=max(accumulation, 2) if row["cluster"].startswith(GRADIENTS_ALIVE) else accumulation,
        length=row["seq_len"],
        packing=False,
        checkpointing=bool(row["grad_ckpt"]),
        optimizer=OPTIMIZERS.get(row["optimizer"], "adamw"),
        attention={"fa2": "flash_attention_2", "flash_attention_2": "flash_attention_2", "eager": "eager"}.get(
            row["attn_impl"] or "sdpa", "sdpa"
        ),
        gpu=card(1000, name=row["gpu"]),
    )


def _model(row: dict[str, Any]) -> str:
    name: str = row["model_hf"] or row["model"]
    for candidate in (name, f"meta-llama/{name}", f"Qwen/{name}", f"mistralai/{name}"):
        try:
            facts(candidate)
        except AssertionError:
            continue
        return candidate
    raise InexpressibleError(f"{name} is not in the catalog")


def _method(row: dict[str, Any], model: str, fused_precision: bool) -> Any:
    if row["method"] == "full":
        return full(weights_dtype="float32" if fused_precision else "bfloat16")
    known = facts(model)
    names = row["target_modules"]
    targets = tuple(linear.name for linear in known.linears) if names in (None, ["all-linear"]) else tuple(names)
    double = "dq" in (row["quant"] or "")
    quantization = QuantizationPlan(4, "nf4", double, "bfloat16") if row["method"] == "qlora" else None
    return lora(
        known,
        row["lora_r"],
        row["method"],
        target_modules=targets,
        dropout=row["lora_dropout"] or 0.0,
        adapter_dtype="bfloat16" if row["adapter_dtype"] in ("bf16", "bfloat16") else "float32",
        quantization=quantization,
    )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python bench/memory.py MEASUREMENTS.jsonl [stack]")
    main(*sys.argv[1:3])  # type: ignore[arg-type]
