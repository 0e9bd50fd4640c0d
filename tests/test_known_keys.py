"""Every key that a target can write is one that the version of its tool knows: by the tables, and by what is built.

Lists of known keys are read from `--known-keys FOLDER` where it is given: a key taken from a copy of a list must make
exactly its cases fail.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from calls import ROOT
from version_cases import CASES, ENOUGH, POSSIBLE, REFUSED, TARGETS, VARIANTS, Case

from backends import load, pinned
from backends.axolotl.table import CHAPTERS as AXOLOTL
from backends.known import FOLDER, fits, known, spread, unknown, versions
from backends.llamafactory.table import CHAPTERS as LLAMAFACTORY
from backends.llamafactory.table import EXPORT
from backends.raw_keys import TOOLS, raw_keys
from backends.release import others, release
from backends.unsloth.table import ARGUMENTS, CONFIGS, LOAD, PEFT, QUANTIZED
from schemas.artifact import Artifact, Target

# --- by the tables


def emitted(target: Target) -> list[str]:
    """The keys, as their list has them."""
    if target == "unsloth":
        calls = {"from_pretrained": LOAD, "get_peft_model": PEFT, "BitsAndBytesConfig": QUANTIZED}
        return [f"{call}.{name}" for call, names in calls.items() for name in names]
    chapters = AXOLOTL if target == "axolotl" else LLAMAFACTORY
    return [name for _, names in chapters for name in names]


@pytest.mark.parametrize(
    ("target", "name"),
    [pytest.param(target, name, id=f"{target}-{name}") for target in TARGETS for name in emitted(target)],
)
def test_an_emitted_key_is_known(target: Target, name: str) -> None:
    assert name in known(target, pinned(target)).keys


@pytest.mark.parametrize("name", [name for _, names in ARGUMENTS for name in names])
def test_an_argument_is_one_of_a_config_of_trl(name: str) -> None:
    listed = known("unsloth", pinned("unsloth")).keys
    assert any(f"{config}.{name}" in listed for config in CONFIGS)


@pytest.mark.parametrize("name", [name for _, names in EXPORT for name in names])
def test_a_key_of_the_export_is_known_there(name: str) -> None:
    assert name in known("llamafactory", pinned("llamafactory")).export


@pytest.mark.parametrize("target", TARGETS)
def test_every_list_says_what_it_is(target: Target) -> None:
    for version in versions(target):
        found = known(target, version)
        assert (found.tool, found.version) == (target, version)
        assert found.keys


@pytest.mark.parametrize("target", TARGETS)
def test_two_versions_are_known(target: Target) -> None:
    assert {*others(target), pinned(target)} == set(versions(target))
    assert others(target)
    for version in others(target):
        found = release(target, version)
        assert (found.target, found.version) == (target, version)
        assert (ROOT / "backends" / "requirements" / f"{target}-{version}.txt").exists()


@pytest.mark.parametrize("target", TOOLS)
def test_every_key_that_is_written_has_an_owner(target: Any) -> None:
    rules = raw_keys(target)
    assert set(emitted(target)) <= rules.owners.keys() | rules.fixed.keys()


@pytest.mark.parametrize("target", TOOLS)
def test_what_is_said_of_raw_keys_is_said_of_known_ones(target: Any) -> None:
    listed = {name for version in versions(target) for name in known(target, version).keys}
    rules = raw_keys(target)
    assert not {*rules.refused, *rules.harmless, *rules.fixed} - listed
    assert not (rules.harmless & {*rules.refused, *rules.fixed, *rules.owners})


# --- by what is built


def written(artifact: Artifact) -> dict[str, tuple[dict[str, object], str]]:
    """File → its keys, and which part of the list they are in."""
    if artifact.target == "unsloth":
        return {artifact.body: (keywords(artifact.files[artifact.body]), "keys")}
    found = {artifact.body: (yaml.safe_load(artifact.files[artifact.body]), "keys")}
    if "merge.yaml" in artifact.files:
        found["merge.yaml"] = (yaml.safe_load(artifact.files["merge.yaml"]), "export")
    if "dataset_info.json" in artifact.files:
        for name, entry in json.loads(artifact.files["dataset_info.json"]).items():
            found[name] = ({"dataset_info": entry}, "keys")
    return found


def keywords(script: str) -> dict[str, object]:
    """`call.keyword` → value (None where it is no literal), of the calls that key lists have."""
    calls = ("FastLanguageModel.from_pretrained", "FastLanguageModel.get_peft_model", "BitsAndBytesConfig")
    found: dict[str, object] = {}
    for node in ast.walk(ast.parse(script)):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and (called in calls or re.fullmatch(r"[A-Z]{3,4}(Config|Trainer)", called)):
            name = called.removeprefix("FastLanguageModel.")
            found |= {f"{name}.{item.arg}": literal(item.value) for item in node.keywords}
    return found


def literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ...


def strangers(artifact: Artifact, version: str) -> list[str]:
    """Keys that this version's list does not have, or whose value is none of the listed types."""
    lists = known(artifact.target, version)
    found: list[str] = []
    for keys, part in written(artifact).values():
        listed = lists.export if part == "export" else lists.keys
        found += unknown(keys, listed)
        found += [
            f"{name}={value}"
            for name, value in keys.items()
            if name in listed and value is not ... and not fits(value, listed[name])
        ]
    return found


@pytest.mark.parametrize("case", [case for case in CASES if not case.refused], ids=str)
def test_a_built_config_has_known_keys_only(case: Case) -> None:
    result = case.compiled()
    assert result.artifact, [item.message for item in result.diagnostics]
    assert strangers(result.artifact, case.version) == []
    assert f"{case.target}=={case.version}" in result.artifact.files["requirements.txt"].splitlines()


@pytest.mark.parametrize("case", [case for case in CASES if case.refused], ids=str)
def test_a_case_is_refused_for_no_key(case: Case) -> None:
    result = case.compiled()
    errors = [item for item in result.diagnostics if item.level == "error"]
    assert result.artifact is None
    assert {item.path for item in errors} == case.refused
    assert not [item.message for item in errors if re.search("does not know|takes no", item.message)]


@pytest.mark.parametrize("case", [case for case in POSSIBLE if case.left_out], ids=str)
def test_what_is_left_out_is_refused_for_the_variant(case: Case) -> None:
    refused = {item.path for item in case.compiled().diagnostics if item.level == "error"}
    assert refused & {setting.partition("=")[0] for setting in VARIANTS[case.variant]}


def test_enough_is_built_in_every_version() -> None:
    made = [case for case in CASES if case.compiled().artifact]
    counted = Counter((f"{case.target}@{case.version}", case.variant) for case in made)
    assert {(tool, variant) for tool, row in ENOUGH.items() for variant in row} == set(counted)
    assert {leaf for case in CASES for leaf in case.refused} == set(REFUSED)
    assert not {key: found for key, found in counted.items() if found < ENOUGH[key[0]][key[1]]}


# --- the check itself


def failing(folder: Path) -> set[str]:
    """The names of the tests in this file that fail with these lists."""
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider"]
    only = ["--known-keys", str(folder), "-k", "not copy_of_a_list", str(Path(__file__))]
    done = subprocess.run([*command, *only], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return set(re.findall(r"^FAILED \S+::(\w+\[.*?\]|\w+)(?= |$)", done.stdout, re.MULTILINE))


def affected(target: Target, version: str, key: str) -> set[str]:
    """The tests of cases that write this key."""
    cases = [case for case in CASES if (case.target, case.version) == (target, version)]
    tests = {True: "test_a_case_is_refused_for_no_key", False: "test_a_built_config_has_known_keys_only"}
    return {f"{tests[bool(case.refused)]}[{case}]" for case in cases if key in keys_of(case)}


def keys_of(case: Case) -> set[str]:
    """What is written; of another version also what would be, as it is looked at where something else is refused."""
    result = case.compiled()
    if result.artifact:
        return {name for keys, part in written(result.artifact).values() if part == "keys" for name in spread(keys)}
    if result.plan is None or case.version == pinned(case.target):
        return set()
    return set(spread(load(case.target).said(result.plan, release(case.target, case.version)).keys))


@pytest.mark.parametrize(
    ("target", "version", "key", "renamed", "by_table"),
    [
        ("axolotl", "0.19.0", "lora_r", None, {"test_an_emitted_key_is_known[axolotl-lora_r]"}),
        ("axolotl", "0.17.0", "peft_use_rslora", "use_rslora", {"test_enough_is_built_in_every_version"}),
        ("axolotl", "0.19.0", "datasets[].field_messages", "datasets[].field_turns", set[str]()),
        ("llamafactory", "0.9.5", "cutoff_len", "max_len", {"test_an_emitted_key_is_known[llamafactory-cutoff_len]"}),
        ("unsloth", "2026.10.9", "SFTConfig.packing", None, {"test_an_argument_is_one_of_a_config_of_trl[packing]"}),
    ],
)
def test_a_key_taken_from_a_copy_of_a_list_makes_exactly_its_cases_fail(
    target: Target, version: str, key: str, renamed: str | None, *, by_table: set[str], tmp_path: Path
) -> None:
    for path in FOLDER.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    spoiled = tmp_path / f"{target}-{version}.json"
    data = json.loads(spoiled.read_text())
    kind = data["keys"].pop(key)
    data["keys"] |= {renamed: kind} if renamed else {}
    spoiled.write_text(json.dumps(data))
    hit = affected(target, version, key)
    assert hit
    assert failing(tmp_path) == by_table | hit


def test_an_untouched_copy_of_a_list_makes_nothing_fail(tmp_path: Path) -> None:
    for path in FOLDER.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert failing(tmp_path) == set()


def test_keys_within_sections_are_named_with_dots() -> None:
    keys: dict[str, object] = {"datasets": [{"path": "x", "type": {"format": "y"}}], "seed": 1}
    assert spread(keys) == ("datasets", "datasets[].path", "datasets[].type", "datasets[].type.format", "seed")


def test_an_unknown_key_is_found_at_any_depth_but_not_in_a_free_section() -> None:
    listed = {"datasets": "list[section]", "datasets[].path": "str", "lr_scheduler_kwargs": "section"}
    keys: dict[str, object] = {"datasets": [{"pth": "x"}], "lr_scheduler_kwargs": {"min_lr": 1}, "sed": 1}
    assert unknown(keys, listed) == ("datasets[].pth", "sed")


@pytest.mark.parametrize(
    ("value", "kind", "fit"),
    [
        (1, "int | null", True),
        (1, "float", True),
        (1.5, "int", False),
        (True, "int", False),
        (True, '"a" | bool', True),
        ("a", '"a" | "b" | null', True),
        ("c", '"a" | "b" | null', False),
        (None, "str | null", True),
        ([1], "list[int | null] | str", True),
        (None, "list[int | null] | str", False),
        ({}, "section", True),
        (False, "false | section", True),
        (0, "false | section", False),
        (object(), "any", True),
    ],
)
def test_a_value_is_of_one_of_the_listed_types(value: object, kind: str, *, fit: bool) -> None:
    assert fits(value, kind) is fit
