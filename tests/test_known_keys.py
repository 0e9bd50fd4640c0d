"""Every key that a target can write is one that the tested version of its tool knows."""

from __future__ import annotations

import pytest
from msgspec import json

from backends.axolotl.table import CHAPTERS as AXOLOTL
from backends.known import FOLDER, Known, known, spread, unknown, versions
from backends.llamafactory.table import CHAPTERS as LLAMAFACTORY
from backends.llamafactory.table import EXPORT
from backends.unsloth.table import ARGUMENTS, LOAD, PEFT
from schemas.artifact import Target

CONFIGS = ("SFTConfig", "DPOConfig", "ORPOConfig", "KTOConfig")
TESTED: dict[Target, str] = {"axolotl": "0.19.0", "llamafactory": "0.9.5", "unsloth": "2026.10.9"}


def emitted(target: Target) -> list[str]:
    """The keys, as their list has them."""
    if target == "unsloth":
        calls = {"from_pretrained": LOAD, "get_peft_model": PEFT}
        return [f"{call}.{name}" for call, names in calls.items() for name in names]
    chapters = AXOLOTL if target == "axolotl" else LLAMAFACTORY
    return [name for _, names in chapters for name in names]


CASES = [(target, name) for target in TESTED for name in emitted(target)]


@pytest.mark.parametrize(("target", "name"), CASES, ids=[f"{target}-{name}" for target, name in CASES])
def test_an_emitted_key_is_known(target: Target, name: str) -> None:
    assert name in known(target, TESTED[target]).keys


@pytest.mark.parametrize("name", [name for _, names in ARGUMENTS for name in names])
def test_an_argument_is_one_of_a_config_of_trl(name: str) -> None:
    listed = known("unsloth", TESTED["unsloth"]).keys
    assert any(f"{config}.{name}" in listed for config in CONFIGS)


@pytest.mark.parametrize("name", [name for _, names in EXPORT for name in names])
def test_a_key_of_the_export_is_known_there(name: str) -> None:
    assert name in known("llamafactory", TESTED["llamafactory"]).export


@pytest.mark.parametrize("target", TESTED)
def test_every_list_says_what_it_is(target: Target) -> None:
    for version in versions(target):
        found = known(target, version)
        assert (found.tool, found.version) == (target, version)
        assert found.keys


def test_a_key_taken_from_a_copy_of_the_list_makes_exactly_its_case_fail() -> None:
    found = json.decode((FOLDER / "axolotl-0.19.0.json").read_bytes(), type=Known)
    left = {name: kind for name, kind in found.keys.items() if name != "lora_r"}
    assert [name for name in emitted("axolotl") if name not in left] == ["lora_r"]


def test_keys_within_sections_are_named_with_dots() -> None:
    keys: dict[str, object] = {"datasets": [{"path": "x", "type": {"format": "y"}}], "seed": 1}
    assert spread(keys) == ("datasets", "datasets[].path", "datasets[].type", "datasets[].type.format", "seed")


def test_an_unknown_key_is_found_at_any_depth_but_not_in_a_free_section() -> None:
    listed = {"datasets": "list[section]", "datasets[].path": "str", "lr_scheduler_kwargs": "section"}
    keys: dict[str, object] = {"datasets": [{"pth": "x"}], "lr_scheduler_kwargs": {"min_lr": 1}, "sed": 1}
    assert unknown(keys, listed) == ("datasets[].pth", "sed")
