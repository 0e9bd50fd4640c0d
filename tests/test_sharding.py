"""DeepSpeed's and FSDP's settings say what the plan says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tool_plans import plan

from backends.sharding import DEEPSPEED, deepspeed, deepspeed_files, fsdp


def sharded(strategy: str, offload: str = "none", **changes: Any) -> Any:
    return plan(hardware__count=4, hardware__strategy=strategy, hardware__offload=offload, **changes)


@pytest.mark.parametrize(("strategy", "stage"), [("zero2", 2), ("zero3", 3)])
def test_the_stage_and_the_precision(strategy: str, stage: int) -> None:
    told = json.loads(deepspeed_files(sharded(strategy, training__max_grad_norm=0.5))[DEEPSPEED])
    assert told["zero_optimization"]["stage"] == stage
    assert (told["bf16"]["enabled"], told["fp16"]["enabled"]) == (True, False)
    assert told["gradient_clipping"] == 0.5


def test_only_zero_has_a_file() -> None:
    assert not deepspeed_files(plan())
    assert not deepspeed_files(sharded("fsdp"))


def test_what_is_kept_in_cpu_memory() -> None:
    def kept(strategy: str, offload: str) -> set[str]:
        section = deepspeed(sharded(strategy, offload))["zero_optimization"]
        assert isinstance(section, dict)
        return {name for name in section if str(name).startswith("offload")}

    assert kept("zero2", "none") == set()
    assert kept("zero2", "optimizer") == {"offload_optimizer"}
    assert kept("zero3", "optimizer") == {"offload_optimizer"}
    assert kept("zero3", "all") == {"offload_optimizer", "offload_param"}
    assert fsdp(sharded("fsdp", "all"))["offload_params"] is True
    assert fsdp(sharded("fsdp"))["offload_params"] is False
