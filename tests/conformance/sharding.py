"""How a run is spread over cards, read by accelerate's and transformers' own code. Runs in the tools' own Pythons."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def zero(path: str, args: Any) -> dict[str, Any]:
    """DeepSpeed's settings, once transformers has filled in what it takes from the trainer."""
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    made = HfTrainerDeepSpeedConfig(json.loads(Path(path).read_text(encoding="utf-8")))
    made.trainer_config_process(args)
    found = made.config
    stage = found["zero_optimization"]
    parameters, state = (stage.get(f"offload_{name}", {}).get("device", "none") for name in ("param", "optimizer"))
    return {
        "hardware.strategy": f"zero{stage['stage']}",
        "hardware.offload": "all" if parameters == "cpu" else "optimizer" if state == "cpu" else "none",
        "hardware.strategy.micro_batch": found["train_micro_batch_size_per_gpu"],
        "hardware.strategy.accumulation": found["gradient_accumulation_steps"],
        "hardware.strategy.clipping": found["gradient_clipping"],
        "hardware.strategy.type": _type(found),
    }


TYPES = {"bf16": "bfloat16", "fp16": "float16"}


def _type(found: dict[str, Any]) -> str:
    return next((name for key, name in TYPES.items() if found[key]["enabled"]), "float32")


def launched(words: list[str]) -> dict[str, Any]:
    """FSDP as `accelerate launch` hands it on: by the environment."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_multi_gpu_env

    args, *_ = _validate_launch_command(launch_command_parser().parse_args(words))
    told = prepare_multi_gpu_env(args)
    os.environ.update({name: value for name, value in told.items() if name.startswith("FSDP_")})
    return {**fully_sharded({}), "hardware.strategy.mixed": TYPES.get(args.mixed_precision, "float32")}


def fully_sharded(given: dict[str, Any]) -> dict[str, Any]:
    """The plugin that accelerate makes of it."""
    from accelerate import FullyShardedDataParallelPlugin

    made = FullyShardedDataParallelPlugin(**given)
    offload = made.cpu_offload
    kept = bool(offload if isinstance(offload, bool) else offload and type(offload).__name__ == "CPUOffloadPolicy")
    return {
        "hardware.strategy": "fsdp" if made.fsdp_version == 2 else f"fsdp {made.fsdp_version}",
        "hardware.offload": "all" if kept else "none",
        "hardware.strategy.reshards": bool(made.reshard_after_forward),
        "hardware.strategy.saves": made.state_dict_type.name,
    }
