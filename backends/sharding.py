"""How a run is spread over cards, in the words of DeepSpeed and of FSDP2, which the tools hand on."""

from __future__ import annotations

import json
from typing import Final

from backends.yaml_text import yaml_entry
from schemas.plan import Plan

DEEPSPEED: Final = "deepspeed.json"


def zero(plan: Plan) -> int | None:
    """The stage of ZeRO; None for other strategies."""
    return {"zero2": 2, "zero3": 3}.get(plan.hardware.strategy)


def deepspeed_files(plan: Plan) -> dict[str, str]:
    """DeepSpeed's JSON, where the strategy is one of its own."""
    return {DEEPSPEED: json.dumps(deepspeed(plan), indent=2) + "\n"} if zero(plan) else {}


def deepspeed(plan: Plan) -> dict[str, object]:
    """What DeepSpeed is told. "auto" stands where transformers fills in what the trainer was told, and nowhere else.

    Source: transformers integrations/deepspeed.py, `HfTrainerDeepSpeedConfig.trainer_config_process`.
    """
    return {
        "bf16": {"enabled": plan.model.dtype == "bfloat16"},
        "fp16": {"enabled": plan.model.dtype == "float16"},
        "gradient_clipping": plan.training.max_grad_norm,
        "gradient_accumulation_steps": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        # An optimizer of torch or bitsandbytes on the CPU is what the recipe asks for, however slow.
        "zero_force_ds_cpu_optimizer": False,
        "zero_optimization": _zero_section(plan),
    }


def _zero_section(plan: Plan) -> dict[str, object]:
    section: dict[str, object] = {"stage": zero(plan), "overlap_comm": True, "contiguous_gradients": True}
    if plan.hardware.offload != "none":
        section["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    if zero(plan) == 3:
        # A saved model is whole and in 16 bit, as without sharding.
        section["stage3_gather_16bit_weights_on_model_save"] = True
        if plan.hardware.offload == "all":
            section["offload_param"] = {"device": "cpu", "pin_memory": True}
    return section


def fsdp(plan: Plan) -> dict[str, object]:
    """FSDP2: each decoder layer (the model names its class) is a unit, parted again after its forward pass."""
    return {
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "reshard_after_forward": True,
        "offload_params": plan.hardware.offload == "all",
        "cpu_ram_efficient_loading": plan.quantization is None,
        "state_dict_type": "FULL_STATE_DICT",
    }


ACCELERATE: Final = "accelerate.yaml"


def accelerate(plan: Plan) -> str:
    """The file of `accelerate launch` for FSDP2 (accelerate 1.11, commands/config/config_args.py)."""
    precision = {"bfloat16": "bf16", "float16": "fp16"}.get(plan.model.dtype, "no")
    told: dict[str, object] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "FSDP",
        "num_machines": plan.hardware.nodes,
        "num_processes": plan.devices,
        "mixed_precision": precision,
        "use_cpu": False,
        "fsdp_config": {"fsdp_version": 2, **{f"fsdp_{name}": value for name, value in fsdp(plan).items()}},
    }
    return "".join(yaml_entry(name, value) for name, value in told.items())
