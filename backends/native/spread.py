# pyright: basic
# Strict typing stops at accelerate, whose arguments are untyped.
"""How a run is spread over devices: whole copies (DDP), or weights, gradients and optimizer parted among them (FSDP2 by
torch, ZeRO by DeepSpeed), on one machine or several.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import os
from typing import Any

from accelerate import PartialState

Plan = dict[str, Any]
STATE = "FULL_STATE_DICT"
"""What a checkpoint holds: whole weights, which as many processes read as there are then."""
ZERO = {"zero2": 2, "zero3": 3}
BY_WEIGHTS = ("pissa", "olora", "loftq")
"""Starts of adapters that are computed from the base's weights."""


class SpreadError(Exception):
    """Why these processes cannot share the run, in words for its owner."""


def devices(plan: Plan) -> int:
    """Processes in all, one a device."""
    return plan["hardware"]["count"] * plan["hardware"]["nodes"]


def require_all(plan: Plan) -> None:
    """`SpreadError` where other processes were started than the plan is for."""
    world, here = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    hardware, wanted = plan["hardware"], devices(plan)
    if (world, here) == (wanted, hardware["count"]):
        return
    machines = f" on each of {hardware['nodes']} machines" if hardware["nodes"] > 1 else ""
    raise SpreadError(
        f"the plan is for {hardware['count']} devices{machines} ({hardware['strategy']}), and {world} processes were "
        f"started, {here} of them here; start it with: {launch(plan)}"
    )


def launch(plan: Plan) -> str:
    """The command that starts the run; on several machines the same on each."""
    hardware = plan["hardware"]
    if devices(plan) == 1 and hardware["strategy"] == "single":
        return "python train.py"
    if hardware["nodes"] == 1:
        return f"torchrun --standalone --nproc-per-node {hardware['count']} train.py"
    return (
        f"torchrun --nnodes {hardware['nodes']} --nproc-per-node {hardware['count']} --rdzv-backend c10d "
        "--rdzv-endpoint HOST:29500 train.py"
    )


def begin(plan: Plan, device: str) -> None:
    """Meet the other processes. Where weights are parted, only the first process of a machine loads them from now on,
    and the others get theirs from it; but for adapters that begin with what is computed from the weights."""
    if plan["hardware"]["strategy"] == "single":
        return
    if plan["hardware"]["strategy"] == "fsdp":
        # accelerate reads these as it meets the others: whole weights are gathered in main memory, by gloo beside nccl.
        os.environ |= {"ACCELERATE_USE_FSDP": "true", "FSDP_STATE_DICT_TYPE": STATE}
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = str(loads_alone(plan)).lower()
    PartialState(cpu=device == "cpu")


def loads_alone(plan: Plan) -> bool:
    """Whether only one process of a machine reads the weights. bitsandbytes' must be there to be parted."""
    method = plan["method"]
    quantised = method.get("quantization") is not None
    return plan["hardware"]["strategy"] == "fsdp" and not quantised and method.get("init") not in BY_WEIGHTS


def place(plan: Plan, device: str) -> str:
    """Where the base is loaded. Weights that are parted by FSDP2 lie in main memory before, where whole ones fit;
    quantised ones are made on the card."""
    quantised = plan["method"].get("quantization") is not None
    return "cpu" if plan["hardware"]["strategy"] == "fsdp" and not quantised else device


def sharding(plan: Plan) -> dict[str, Any]:
    """The arguments of TRL's configurations that say how it is spread."""
    hardware = plan["hardware"]
    if hardware["strategy"] == "fsdp":
        return {
            "fsdp": True,
            "fsdp_config": {
                "version": 2,
                "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
                "reshard_after_forward": True,
                "cpu_offload": hardware["offload"] == "all",
                "cpu_ram_efficient_loading": loads_alone(plan),
                "state_dict_type": STATE,
            },
        }
    return {}


def require_parted(plan: Plan, trainer: Any) -> None:
    """`SpreadError` where whole copies would be trained instead: accelerate parts nothing on a CPU, and is silent."""
    if plan["hardware"]["strategy"] == "fsdp" and not trainer.accelerator.is_fsdp2:
        raise SpreadError("hardware.strategy = fsdp needs GPUs: here every process would train a whole copy")


def whole_state(trainer: Any) -> dict[str, Any] | None:
    """All weights of a model that is parted, gathered in main memory, to be saved: every process must ask. None where
    the model is whole already."""
    if not trainer.is_fsdp_enabled:
        return None
    return trainer.accelerator.get_state_dict(trainer.model)
