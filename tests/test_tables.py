"""Tables are total: every target answers every leaf of a plan, and nothing else."""

from __future__ import annotations

import pytest
from leaf_patterns import leaf_patterns

from backends import TARGETS, load
from backends.base import OURS
from schemas.artifact import Target
from schemas.support import Folded, Key, Never, NotImpl, Ours


def test_patterns_hold_what_is_easily_forgotten() -> None:
    wanted = {"method.quantization", "method.quantization.bits", "training.preference", "training.preference.beta"}
    wanted |= {"data.validation", "data.validation[].fields.text", "data.train[].path", "method.placement"}
    assert wanted <= leaf_patterns()
    assert not {"data.train", "model.tokens", "data.train[].fields"} & leaf_patterns()


@pytest.mark.parametrize("target", TARGETS)
def test_every_leaf_has_one_answer(target: Target) -> None:
    assert set(load(target).TABLE) == leaf_patterns()


@pytest.mark.parametrize("target", TARGETS)
def test_the_compiler_keeps_few_leaves_to_itself(target: Target) -> None:
    assert {path for path, answer in load(target).TABLE.items() if isinstance(answer, Ours)} == set(OURS)


@pytest.mark.parametrize("target", TARGETS)
def test_refusals_say_why(target: Target) -> None:
    for path, answer in load(target).TABLE.items():
        refusals = answer.refused.values() if isinstance(answer, Key | Folded) else [answer]
        for refusal in refusals:
            assert len(refusal.why) > 10, path
            assert refusal.why[0].islower() or refusal.why.split()[0] in ("PiSSA", "LoRA+", "LoftQ", "Muon", "LoRA"), (
                path
            )
            assert not refusal.why.endswith("."), path


@pytest.mark.parametrize("target", TARGETS)
def test_raw_keys_go_into_their_own_target_s_config_only(target: Target) -> None:
    for tool in ("axolotl", "llamafactory"):
        answer = load(target).TABLE[f"targets.{tool}"]
        if tool == target:
            assert answer == Folded("config.yaml")
        else:
            assert isinstance(answer, Never)
            assert answer.neutral == ({},)


@pytest.mark.parametrize("target", ["axolotl", "llamafactory", "unsloth"])
def test_nothing_that_a_tool_can_is_left_unwritten(target: Target) -> None:
    for path, answer in load(target).TABLE.items():
        given = answer.refused.values() if isinstance(answer, Key | Folded) else (answer,)
        assert not [item for item in given if isinstance(item, NotImpl)], path
