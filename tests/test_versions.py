"""Another version of a tool: asked for by `--target TOOL@VERSION`, in its own words, or refused at the user's line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from calls import RECIPE, compiled_with, ftc, put
from hypothesis import given
from hypothesis import strategies as st
from tool_plans import FULL, lora, plan

from backends import load
from backends.known import versions
from backends.release import Limit, Release, Rename, matching, others, release, renamed, spoken
from compiler.build import Compiled, Options
from schemas.artifact import Target
from schemas.support import Key, NotYet

OLD: list[tuple[Target, str]] = [("axolotl", "0.17.0"), ("llamafactory", "0.9.4"), ("unsloth", "2026.10.1")]


def compiled(target: Target, version: str | None, *, allow_lossy: bool = False, **changes: Any) -> Compiled:
    options = Options(target=target, version=version, allow_lossy=allow_lossy, emit=True, ignore_memory=True)
    return compiled_with(options, **changes)


def refused(result: Compiled) -> list[tuple[str, str]]:
    return [(item.code, item.path) for item in result.diagnostics if item.level == "error"]


def config(result: Compiled) -> dict[str, Any]:
    assert result.artifact, [item.message for item in result.diagnostics]
    return yaml.safe_load(result.artifact.files["config.yaml"])


# --- which version is meant


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("0.17", "0.17.0"),
        ("0.17.0", "0.17.0"),
        ("0", "0.19.1"),
        ("0.19", "0.19.1"),
        ("0.1", None),
        ("0.18", None),
        ("", None),
        ("0.17.0.1", None),
        ("0.17.", None),
    ],
)
def test_the_newest_version_that_begins_so_is_meant(wanted: str, found: str | None) -> None:
    assert matching(wanted, ("0.17.0", "0.19.0", "0.19.1")) == found


def test_versions_are_sorted_by_their_numbers() -> None:
    assert versions("axolotl") == ("0.17.0", "0.19.0")
    assert [(target, others(target)) for target in ("axolotl", "llamafactory", "unsloth")] == [
        (target, (version,)) for target, version in OLD
    ]


# --- its words


@pytest.mark.parametrize(("target", "version"), OLD)
def test_an_artifact_names_its_version_everywhere(target: Target, version: str) -> None:
    artifact = compiled(target, version).artifact
    assert artifact
    assert artifact.version == version
    pinned = f"{target}=={version}"
    tested = load(target).VERSION
    assert pinned in artifact.files["requirements.txt"].splitlines()
    assert tested not in artifact.files["requirements.txt"].splitlines()
    assert pinned in artifact.files[artifact.body].splitlines()[0]
    assert f"Written by ftc for {pinned}." in artifact.files["README.md"]
    assert f"/{target}-{version}-" in artifact.files[artifact.body]
    assert f"/{target}-{version}-" in artifact.files["README.md"]


def test_a_share_of_warm_up_is_called_otherwise_by_an_older_llama_factory() -> None:
    training = {**RECIPE["training"], "warmup": 0.25}
    told = config(compiled("llamafactory", "0.9.4", training=training))
    assert told["warmup_ratio"] == 0.25
    assert "warmup_steps" not in told
    steps = config(compiled("llamafactory", "0.9.4", training={**training, "warmup": 7}))
    assert steps["warmup_steps"] == 7
    assert "warmup_ratio" not in steps


def test_an_older_axolotl_offloads_under_another_value() -> None:
    told = config(compiled("axolotl", "0.17.0", training={**RECIPE["training"], "gradient_checkpointing": "offload"}))
    assert told["activation_offloading"] is True


# --- what it cannot


@pytest.mark.parametrize(
    ("target", "version", "changes", "path", "said"),
    [
        (
            "axolotl",
            "0.17.0",
            {"training": {**RECIPE["training"], "gradient_checkpointing": "selective"}},
            "training.gradient_checkpointing",
            "Axolotl 0.17.0: it does not know selective_checkpointing",
        ),
        (
            "axolotl",
            "0.17.0",
            {"data": {**RECIPE["data"], "packing": True}},
            "data.packing",
            "Axolotl 0.17.0: packed rows see each other under sdpa and eager attention",
        ),
        ("llamafactory", "0.9.4", {"data": {**RECIPE["data"], "packing": True}}, "data.packing", "LLaMA-Factory 0.9.4"),
        ("unsloth", "2026.10.1", {"hardware": {"gpu": "cpu"}}, "hardware.gpu", "Unsloth 2026.10.1: it needs a GPU"),
        (
            "unsloth",
            "2026.10.1",
            {"hardware": {"gpu": "h100", "count": 2, "strategy": "fsdp"}},
            "hardware.strategy",
            "Unsloth 2026.10.1: it does not shard",
        ),
    ],
)
def test_what_an_older_version_cannot_is_refused_at_its_leaf(
    target: Target, version: str, changes: dict[str, Any], *, path: str, said: str
) -> None:
    result = compiled(target, version, **changes)
    assert ("FTC406", path) in refused(result)
    assert any(item.message.startswith(said) for item in result.diagnostics if item.code == "FTC406")
    assert not any(item.code == "FTC406" for item in compiled(target, None, **changes).diagnostics)


def test_packed_rows_that_are_kept_apart_are_fine() -> None:
    model = {**RECIPE["model"], "attention": "flash_attention_2"}
    result = compiled("axolotl", "0.17.0", model=model, data={**RECIPE["data"], "packing": True})
    assert refused(result) == []


def test_a_key_that_is_not_known_is_never_written_not_even_lossy() -> None:
    training = {**RECIPE["training"], "gradient_checkpointing": "selective"}
    result = compiled("axolotl", "0.17.0", allow_lossy=True, training=training)
    assert "selective_checkpointing" not in config(result)
    assert result.artifact
    assert "NOT EQUIVALENT" in result.artifact.files["config.yaml"]


def test_what_is_left_to_the_compiler_does_not_become_what_is_refused() -> None:
    big = {"base": "meta-llama/Llama-3.1-8B-Instruct"}
    hardware = {"gpu": "a100-40gb", "count": 8}
    result = compiled("unsloth", "2026.10.1", model=big, method={"kind": "full"}, hardware=hardware)
    assert result.plan
    assert result.plan.hardware.strategy == "ddp"


NEWER = Release(
    "axolotl",
    "0.17.0",
    renames={"lora_r": Rename("peft_use_rslora", "bool"), "seed": Rename("seeds")},
    values={"lora_alpha": {"1": 2}},
    refused=(Limit("method.rank", {"lora_r": [64]}, "it stops at 32"),),
)
OWNERS = {"lora_r": "method.rank", "lora_alpha": "method.alpha", "seed": "training.seed", "datasets": "data.train"}


def test_keys_are_renamed_changed_refused_and_named_by_their_leaf() -> None:
    keys = {"lora_r": 64, "lora_alpha": 1, "seed": 1, "datasets": [{"path": "x", "pth": 1}]}
    found = spoken(keys, NEWER, plan(), OWNERS)
    assert found.keys == {"lora_r": 64, "lora_alpha": 2, "datasets": [{"path": "x"}]}
    assert [(item.path, item.message) for item in found.findings] == [
        ("training.seed", "0.17.0: it does not know seeds"),
        ("data.train", "0.17.0: it does not know datasets[].pth"),
        ("method.rank", "0.17.0: it stops at 32"),
    ]
    assert spoken({"lora_r": True}, NEWER, plan(), OWNERS).keys == {"peft_use_rslora": True}


def test_a_value_of_another_type_is_not_written() -> None:
    found = spoken({"lora_r": "eight"}, NEWER, plan(), OWNERS)
    assert found.keys == {}
    assert [item.message for item in found.findings] == ['0.17.0: it takes no lora_r: "eight"']


def test_chapters_have_room_for_new_names() -> None:
    assert renamed([("a", ("lora_r", "x")), ("b", ("seed",))], NEWER) == [
        ("a", ("lora_r", "peft_use_rslora", "x")),
        ("b", ("seed", "seeds")),
    ]
    assert renamed([("a", ["x"])], None) == [("a", ("x",))]


@given(st.dictionaries(st.sampled_from([*OWNERS, "lora_dropout"]), st.one_of(st.none(), st.integers(), st.text("ab"))))
def test_the_tested_version_is_spoken_as_it_stands(keys: dict[str, object]) -> None:
    assert spoken(keys, None, plan(), OWNERS).keys == keys


# --- LoftQ, which the tools know under other conditions than the recipe's


@pytest.mark.parametrize("target", ["axolotl", "llamafactory", "unsloth"])
def test_loftq_is_refused_for_the_tool_s_own_reason(target: Target) -> None:
    answer = load(target).TABLE["method.init"]
    assert isinstance(answer, Key)
    assert isinstance(answer.refused["loftq"], NotYet)
    result = compiled(target, others(target)[0], method={"kind": "qlora", "init": "loftq"})
    assert ("FTC402", "method.init") in refused(result)


# --- the command line


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return put(tmp_path)


def test_versions_stand_beside_each_other(recipe: Path) -> None:
    for target in ("axolotl@0.17", "axolotl"):
        done = ftc("build", recipe.name, "--target", target, cwd=recipe.parent)
        assert done.returncode == 0, done.stdout + done.stderr
    build = recipe.parent / "build" / RECIPE["name"]
    tools = {path.name: json.loads((path / "ftc.lock.json").read_text())["tool"] for path in build.iterdir()}
    assert tools == {"axolotl@0.17.0": "axolotl==0.17.0", "axolotl": "axolotl==0.19.0"}


@pytest.mark.parametrize("command", ["build", "run", "plan", "validate"])
def test_every_command_takes_a_version_and_misses_an_unknown_one(recipe: Path, command: str) -> None:
    dry = ("--dry-run",) if command == "run" else ()
    done = ftc(command, recipe.name, "--target", "llamafactory@0.9.4", *dry, cwd=recipe.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    missing = ftc(command, recipe.name, "--target", "llamafactory@0.8", *dry, cwd=recipe.parent)
    assert missing.returncode == 4
    assert "ftc does not know llamafactory 0.8" in missing.stderr
    assert "it knows 0.9.4, 0.9.5" in missing.stderr
    assert ftc(command, recipe.name, "--target", "llama@0.9", *dry, cwd=recipe.parent).returncode == 2


def test_the_plan_says_which_tool(recipe: Path) -> None:
    done = ftc("plan", recipe.name, "--target", "unsloth@2026.10.1", "--format", "json", cwd=recipe.parent)
    report = json.loads(done.stdout)
    assert (report["target"], report["tool"]) == ("unsloth", "unsloth==2026.10.1")


def test_native_has_one_version(recipe: Path) -> None:
    assert ftc("build", recipe.name, "--target", "native@0.1", cwd=recipe.parent).returncode == 4


def test_targets_lists_the_versions(tmp_path: Path) -> None:
    shown = ftc("targets", cwd=tmp_path).stdout
    for target, version in OLD:
        assert f"also {target}@{version}" in shown


ADAPTER: dict[Target, tuple[str, ...]] = {
    "axolotl": ("adapter", "lora_", "peft_"),
    "llamafactory": ("lora_", "use_dora", "use_rslora", "pissa_init"),
    "unsloth": ("get_peft_model.",),
}
"""How the keys begin that are about an adapter."""


@pytest.mark.parametrize(("target", "version"), [*OLD, *((target, None) for target, _ in OLD)])
def test_a_full_plan_speaks_no_adapter_words_in_any_version(target: Target, version: str | None) -> None:
    asked = release(target, version) if version else None
    whole, adapters = (set(load(target).said(plan(method=method), asked).keys) for method in (FULL, lora()))
    for words in ADAPTER[target]:
        assert not [name for name in whole if name.startswith(words)]
        assert [name for name in adapters if name.startswith(words)]
