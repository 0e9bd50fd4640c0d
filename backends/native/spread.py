# pyright: basic
# Strict typing stops at accelerate, whose arguments are untyped.
"""How a run is spread over devices: whole copies (DDP), or weights, gradients and optimizer parted among them (FSDP2 by
torch, ZeRO by DeepSpeed), on one machine or several.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from accelerate import PartialState
from peft import PeftModel

Plan = dict[str, Any]
STATE = "FULL_STATE_DICT"
"""What a checkpoint holds: whole weights, which as many processes read as there are then."""
ZERO = {"zero2": 2, "zero3": 3}
KEPT: list[Any] = []
"""What transformers keeps no hold of itself."""
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
    if plan["hardware"]["strategy"] in ZERO:
        _meet_by_deepspeed(plan, device)
    else:
        PartialState(cpu=device == "cpu")


def _meet_by_deepspeed(plan: Plan, device: str) -> None:
    """transformers loads a base in parts where it knows of a ZeRO-3 configuration by then."""
    try:
        from deepspeed import init_distributed  # pyright: ignore[reportMissingImports] (an extra)
    except ImportError as error:
        raise SpreadError(f"hardware.strategy = {plan['hardware']['strategy']} needs deepspeed: {error}") from error
    from transformers.integrations.deepspeed import HfDeepSpeedConfig

    if device != "cpu":
        torch.cuda.set_device(device)
    init_distributed(auto_mpi_discovery=False)
    KEPT.append(HfDeepSpeedConfig(zero(plan)))


def agree(plan: Plan, resume: str | None) -> None:
    """`SpreadError` where some processes would go on from a checkpoint that others do not see."""
    if devices(plan) == 1:
        return
    found: list[Any] = [None] * devices(plan)
    torch.distributed.all_gather_object(found, resume or "the start")
    if len(set(found)) > 1:
        raise SpreadError(
            f"the machines do not see the same files: some would go on from {min(found)}, others from {max(found)}; "
            "put output.dir on a disk that all of them share"
        )


def loads_alone(plan: Plan) -> bool:
    """Whether only one process of a machine reads the weights. bitsandbytes' must be there to be parted."""
    method = plan["method"]
    quantised = method.get("quantization") is not None
    return plan["hardware"]["strategy"] == "fsdp" and not quantised and method.get("init") not in BY_WEIGHTS


def place(plan: Plan, device: str) -> dict[str, str] | None:
    """Where the base is loaded; None: ZeRO-3 puts each part where it belongs. Weights that are parted by FSDP2 lie in
    main memory before, where whole ones fit; quantised ones are made on the card."""
    strategy = plan["hardware"]["strategy"]
    if strategy == "zero3":
        return None
    quantised = plan["method"].get("quantization") is not None
    return {"": "cpu" if strategy == "fsdp" and not quantised else device}


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
    return {"deepspeed": zero(plan)} if hardware["strategy"] in ZERO else {}


def zero(plan: Plan) -> dict[str, Any]:
    """What DeepSpeed is told. Sizes of buckets are left to it."""
    training, dtype = plan["training"], plan["model"]["dtype"]
    stage, away = ZERO[plan["hardware"]["strategy"]], plan["hardware"]["offload"]
    told: dict[str, Any] = {"stage": stage, "overlap_comm": True, "contiguous_gradients": True}
    aside = {"device": "cpu", "pin_memory": not plan["derived"]["cpu"]}
    if away != "none":
        told["offload_optimizer"] = aside
    if stage == 3:
        told["stage3_gather_16bit_weights_on_model_save"] = True
        if away == "all":
            told["offload_param"] = aside
    steps = training["global_batch_size"] // (training["micro_batch_size"] * devices(plan))
    return {
        "bf16": {"enabled": dtype == "bfloat16"},
        "fp16": {"enabled": dtype == "float16"},
        "gradient_clipping": training["max_grad_norm"],
        "gradient_accumulation_steps": steps,
        "train_batch_size": training["global_batch_size"],
        "train_micro_batch_size_per_gpu": training["micro_batch_size"],
        # Any optimizer of the plan may keep its state in main memory, not DeepSpeed's own alone.
        "zero_force_ds_cpu_optimizer": False,
        "zero_allow_untested_optimizer": True,
        "zero_optimization": told,
    }


def by_itself(plan: Plan) -> None:
    """From now on this process loads whole models, without the others: to merge into one."""
    if plan["hardware"]["strategy"] in ZERO:
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        KEPT.clear()
        unset_hf_deepspeed_config()


def require_parted(plan: Plan, trainer: Any) -> None:
    """`SpreadError` where whole copies would be trained instead: accelerate parts nothing on a CPU, and is silent."""
    strategy = plan["hardware"]["strategy"]
    parted = trainer.is_deepspeed_enabled if strategy in ZERO else trainer.accelerator.is_fsdp2
    if strategy not in ("single", "ddp") and not parted:
        raise SpreadError(f"hardware.strategy = {strategy} needs GPUs: here every process would train a whole copy")


def whole_state(trainer: Any) -> dict[str, Any] | None:
    """All weights of a model that is parted, gathered in main memory, to be saved: every process must ask. None where
    the model is whole already."""
    if trainer.is_fsdp_enabled:
        return trainer.accelerator.get_state_dict(trainer.model)
    if trainer.is_deepspeed_enabled and trainer.accelerator.state.deepspeed_plugin.zero_stage == 3:
        adapters = isinstance(trainer.model, PeftModel)
        return trainer.deepspeed._zero3_consolidated_16bit_state_dict(exclude_frozen_parameters=adapters)
    return None
