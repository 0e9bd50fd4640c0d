"""Published measurements (`data/vram_published.jsonl`) as cases: each row's own stack, or why no recipe says it.

What a harness does that its row does not say is stated here with where it was read:

- vramcalc zeroes gradients in place (`zero_grad(set_to_none=False)` in its benchmark): they are alive throughout, as
  they are in the second pass of an accumulated step.
- canifinetune prepares a quantised base with `prepare_model_for_kbit_training` and trains without autocast. It does not
  prepare the one that is not quantised: after loading, its LoRA row reads 0.93 GiB, which is 2 bytes a parameter, and
  its QLoRA rows read embeddings of 4.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from bench.memory_cases import BENCH, Case
from compiler.model_catalog import look_up

FILE: Final = BENCH / "data" / "vram_published.jsonl"
KINDS: Final = {
    "torch_max_allocated": "allocated",
    "torch_max_reserved": "reserved",
    "nvidia_smi": "device",
    "nvidia-smi": "device",
}
"""A row's word for what was read → the field of a footprint that it is compared with."""
PAGED: Final = {"paged_adamw_8bit": "paged_adamw_8bit", "paged_adamw_32bit": "paged_adamw"}
CAPABILITY: Final = {"RTX A6000 48GB": 8.6, "RTX 4080 16GB": 8.9, "A100-80GB": 8.0, "T4": 7.5}
IN_PLACE: Final = "vramcalc"


class InexpressibleError(Exception):
    """The row describes a run that no recipe can say."""


class Published(Struct, frozen=True):
    """One row. `readings`: GiB by field of a footprint. `case` is None where `why` says that no recipe can say it.
    `varied`: whether its rows of data differed in length."""

    row: str
    cluster: str
    readings: dict[str, float]
    case: Case | None
    why: str | None
    varied: bool


def published(path: Path = FILE) -> Iterator[Published]:
    """The file's rows, in its order."""
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        try:
            case = _case(row)
            yield Published(row["id"], row["cluster"], _readings(row), case, None, _varied(row))
        except InexpressibleError as error:
            yield Published(row["id"], row["cluster"], _readings(row), None, str(error), _varied(row))


def _varied(row: dict[str, Any]) -> bool:
    mode: str = row["seq_mode"] or ""
    return not mode.startswith(("fixed", "packed"))


def _readings(row: dict[str, Any]) -> dict[str, float]:
    found = {KINDS[row["measured_kind"]]: row["measured_gib"]}
    beside: dict[str, float] = row["measured_extra"] or {}
    extra = beside.get("max_allocated_gib")
    return {**found, "allocated": extra} if extra else found


def _case(row: dict[str, Any]) -> Case:
    if row["n_gpus"] != 1:
        raise InexpressibleError("several cards")
    if row["kernels"] or row["torch_compile"]:
        raise InexpressibleError("replaced kernels")
    wide = "autocast" in row["base_dtype"]
    if wide and row["method"] != "full":
        raise InexpressibleError("a frozen base in float32 under autocast")
    accumulation = row["grad_accum"] or 1
    return Case(
        model=_model(row),
        family="published",
        layers=None,
        stack="peft",
        kind=row["method"],
        weights_dtype="float32" if wide else "bfloat16",
        rank=row["lora_r"] or 16,
        dropout=row["lora_dropout"] or 0.0,
        targets=_targets(row["target_modules"]),
        adapter_dtype="bfloat16" if row["adapter_dtype"] in ("bf16", "bfloat16") else "float32",
        double_quant="dq" in (row["quant"] or "dq"),
        length=row["seq_len"],
        micro=row["micro_batch"],
        checkpointing=bool(row["grad_ckpt"]),
        attention={"fa2": "flash_attention_2"}.get(row["attn_impl"], row["attn_impl"] or "sdpa"),
        optimizer=PAGED.get(row["optimizer"], "adamw"),
        accumulation=max(accumulation, 2) if row["cluster"].startswith(IN_PLACE) else accumulation,
        capability=CAPABILITY[row["gpu"]],
    )


def _model(row: dict[str, Any]) -> str:
    name: str = row["model_hf"] or row["model"]
    for candidate in (name, f"meta-llama/{name}", f"Qwen/{name}", f"mistralai/{name}"):
        if look_up(candidate):
            return candidate
    raise InexpressibleError(f"{name} is not in the catalog")


def _targets(names: list[str] | None) -> str:
    if names in (None, ["all-linear"]):
        return "all"
    known = {"attention": {"q_proj", "k_proj", "v_proj", "o_proj"}, "qv": {"q_proj", "v_proj"}}
    for name, modules in known.items():
        if set(names or ()) == modules:
            return name
    raise InexpressibleError(f"adapters on {names}, which no set of cases has")
