"""`training.kernels`: refused where a tool would train without them and say it in its log only."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from msgspec.structs import replace
from tool_plans import FACTS, plan

from backends import load
from backends.kernels import LIGER
from schemas.artifact import Target
from schemas.plan import Plan


def of_family(family: str, **changes: Any) -> Plan:
    return plan(facts=replace(FACTS, family=family), **changes)


@pytest.mark.parametrize("target", LIGER)
def test_kernels_are_refused_for_families_that_a_tool_has_none_for(target: Target) -> None:
    lost = load(target).losses(of_family("starcoder2", training__kernels="liger"))
    assert ("FTC404", "training.kernels") in [(item.code, item.path) for item in lost]
    for kept in (of_family("starcoder2"), of_family("llama", training__kernels="liger")):
        assert "training.kernels" not in [item.path for item in load(target).losses(kept)]


@pytest.mark.parametrize(("family", "turned"), [("llama", True), ("glm4", False), ("qwen3_next", False)])
def test_axolotl_is_not_asked_for_rotary_kernels_that_stop_it(family: str, *, turned: bool) -> None:
    artifact = load("axolotl").emit(of_family(family, training__kernels="liger"), None, ())
    config = yaml.safe_load(artifact.files["config.yaml"])
    assert (config["liger_rope"], config["liger_rms_norm"]) == (turned, True)
