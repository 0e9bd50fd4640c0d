"""Raw keys: handed on as they stand, or refused at their own line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from calls import RECIPE, compiled_with, ftc, put, text_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tool_plans import plan

from backends import TARGETS, pinned
from backends.emission import fingerprint
from backends.known import known
from backends.raw_keys import TOOLS, raw_keys
from compiler.build import Compiled, Options
from compiler.lock import lock
from schemas.artifact import Target
from schemas.plan import TargetsPlan


def compiled(
    target: Target | None, raw: dict[str, Any], *, drop_raw: bool = False, version: str | None = None, **changes: Any
) -> Compiled:
    options = Options(target=target, version=version, drop_raw=drop_raw, emit=True)
    return compiled_with(options, **changes, targets=raw)


def errors(result: Compiled) -> list[tuple[str, str]]:
    return [(item.code, item.path) for item in result.diagnostics if item.level == "error"]


def config(result: Compiled) -> str:
    assert result.artifact, [item.message for item in result.diagnostics]
    return result.artifact.files["config.yaml"]


# --- written last, as they stand

SLOW = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(-9, 9, width=16), st.text("ab\"'{}:# \n1"))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab1"), inner))


@pytest.mark.parametrize("tool", TOOLS)
@settings(max_examples=120, suppress_health_check=SLOW)
@given(data=st.data())
def test_any_key_is_written_as_it_stands_or_refused_at_its_line(tool: Any, data: st.DataObject) -> None:
    listed = known(tool, pinned(tool)).keys
    names = st.sampled_from([*(name for name in listed if "." not in name), "nonesuch", "lora_rr"])
    key, value = data.draw(names), data.draw(VALUES)
    result = compiled(tool, {tool: {key: value}})
    if result.valid:
        text = config(result)
        assert yaml.safe_load(text)[key] == value
        assert text.index("# Raw keys") > text.index("logging_steps")
    else:
        assert all(path.startswith(f"targets.{tool}.{key}") for _, path in errors(result)), errors(result)
        assert {code for code, _ in errors(result)} <= {"FTC410", "FTC411", "FTC412", "FTC413"}


@pytest.mark.parametrize("tool", TOOLS)
def test_every_key_that_ftc_writes_is_refused(tool: Any) -> None:
    for key in (*raw_keys(tool).owners, *raw_keys(tool).fixed):
        if key not in ("plugins", "config.yaml"):
            found = errors(compiled(tool, {tool: {key: 1}}))
            assert found == [("FTC410", f"targets.{tool}.{key}")]


def test_plugins_come_after_ours() -> None:
    spectrum = "axolotl.integrations.spectrum.SpectrumPlugin"
    raw = {"axolotl": {"plugins": [spectrum], "spectrum_top_fraction": 0.5}}
    with_liger = compiled("axolotl", raw, training={**RECIPE["training"], "kernels": "liger"})
    liger = "axolotl.integrations.liger.LigerPlugin"
    assert yaml.safe_load(config(with_liger))["plugins"] == [liger, spectrum]
    assert config(with_liger).count("plugins:") == 1
    assert yaml.safe_load(config(compiled("axolotl", raw)))["plugins"] == [spectrum]


def test_a_plugin_of_ours_brings_its_keys_too() -> None:
    raw = {"axolotl": {"liger_layer_norm": True}}
    assert errors(compiled("axolotl", raw)) == [("FTC413", "targets.axolotl.liger_layer_norm")]
    assert not errors(compiled("axolotl", raw, training={**RECIPE["training"], "kernels": "liger"}))


# --- refused, each at its own line and column

GYM = "axolotl.integrations.nemo_gym.NemoGymPlugin"


@pytest.mark.parametrize(
    ("tool", "key", "value", "code", "path", "hint"),
    [
        ("axolotl", "lora_r", 8, "FTC410", "lora_r", "write method.rank instead"),
        ("axolotl", "flash_attention", True, "FTC410", "flash_attention", "write model.attention instead"),
        ("axolotl", "model_revision", "x", "FTC410", "model_revision", "write model.revision instead"),
        ("axolotl", "lora_fan_in_fanout", True, "FTC411", "lora_fan_in_fanout", 'did you mean "lora_fan_in_fan_out"?'),
        ("axolotl", "qat", {"weight_dtyp": 1}, "FTC411", "qat.weight_dtyp", 'did you mean "weight_dtype"?'),
        ("axolotl", "external_plugins", ["x"], "FTC412", "external_plugins", "leave it out"),
        ("axolotl", "hub_token", "hf_x", "FTC412", "hub_token", "leave it out"),
        ("axolotl", "comet_api_key", "x", "FTC412", "comet_api_key", "leave it out"),
        ("axolotl", "hub_model_id", "me/x", "FTC412", "hub_model_id", "leave it out"),
        ("axolotl", "lora_model_dir", "/x", "FTC412", "lora_model_dir", "leave it out"),
        ("axolotl", "model_config", {"a": [{"hf_token": 1}]}, "FTC412", "model_config.a[0].hf_token", "leave it out"),
        ("axolotl", "overrides_of_model_kwargs", {}, "FTC412", "overrides_of_model_kwargs", "leave it out"),
        ("axolotl", "plugins", ["os.system"], "FTC412", "plugins[0]", "write a list of axolotl.integrations.…"),
        ("axolotl", "plugins", [GYM], "FTC412", "plugins[0]", "write a list of axolotl.integrations.…"),
        ("axolotl", "plugins", "x", "FTC412", "plugins", "write a list of axolotl.integrations.…"),
        ("axolotl", "kd_alpha", 0.5, "FTC413", "kd_alpha", "name a plugin of axolotl.integrations.kd under plugins"),
        (
            "axolotl",
            "context_parallel_size",
            4,
            "FTC410",
            "context_parallel_size",
            "write training.global_batch_size instead",
        ),
        ("axolotl", "vllm", {"serve_module": "x"}, "FTC412", "vllm.serve_module", "leave it out"),
        ("llamafactory", "vllm_config", {"env": {"HF_TOKEN": 1}}, "FTC412", "vllm_config.env.HF_TOKEN", "leave it out"),
        ("llamafactory", "vllm_config", {"apikey": 1}, "FTC412", "vllm_config.apikey", "leave it out"),
        ("llamafactory", "lora_rank", 8, "FTC410", "lora_rank", "write method.rank instead"),
        ("llamafactory", "galore_rnk", 8, "FTC411", "galore_rnk", 'did you mean "galore_rank"?'),
        ("llamafactory", "cache_dir", "/x", "FTC412", "cache_dir", "leave it out"),
        ("llamafactory", "hf_hub_token", "x", "FTC412", "hf_hub_token", "leave it out"),
        ("llamafactory", "swanlab_lark_secret", "x", "FTC412", "swanlab_lark_secret", "leave it out"),
        ("llamafactory", "group_by_length", True, "FTC410", "group_by_length", "write data.shuffle instead"),
    ],
)
def test_a_wrong_key_is_refused_where_it_stands(
    tool: Any, key: str, value: Any, code: str, *, path: str, hint: str
) -> None:
    for target in (tool, None):
        result = compiled(target, {tool: {key: value}})
        (found,) = (item for item in result.diagnostics if item.level == "error")
        assert (found.code, found.path) == (code, f"targets.{tool}.{path}")
        assert found.hint
        assert found.hint.startswith(hint)
        assert result.artifact is None
        text = text_of(targets={tool: {key: value}}).splitlines()
        named = path.rpartition(".")[2]
        wanted = value[0] if named == "plugins[0]" else named
        assert text[found.span.line - 1][found.span.column - 1 :].startswith(f'"{wanted}"')


def test_a_key_of_another_version_says_so() -> None:
    result = compiled("axolotl", {"axolotl": {"sdpa_varlen": True}}, version="0.17.0")
    (found,) = (item for item in result.diagnostics if item.level == "error")
    assert (found.code, found.message) == ("FTC411", 'Axolotl 0.17.0 knows no key "sdpa_varlen"')
    assert found.hint == "Axolotl 0.19.0 knows it"
    assert not errors(compiled("axolotl", {"axolotl": {"sdpa_varlen": True}}))


def test_keys_set_on_the_command_line_are_checked_there() -> None:
    options = Options(target="axolotl", sets=("targets.axolotl.qat.weight_dtyp=int4",))
    result = compiled_with(options)
    (found,) = (item for item in result.diagnostics if item.level == "error")
    assert (found.code, found.file) == ("FTC411", "--set")


# --- for one target alone

RAW = {"axolotl": {"embedding_lr": 1e-5}}


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "axolotl"])
def test_another_target_refuses_them_or_drops_them(target: Target) -> None:
    assert errors(compiled(target, RAW)) == [("FTC414", "targets.axolotl")]
    dropped = compiled(target, RAW, drop_raw=True)
    assert dropped.artifact
    assert [item.level for item in dropped.diagnostics if item.code == "FTC414"] == ["warning"]
    files = dropped.artifact.files
    assert "embedding_lr" not in files[dropped.artifact.body]
    assert "raw keys for Axolotl alone" in files["README.md"]
    assert target == "native" or "NOT EQUIVALENT" in files[dropped.artifact.body]


def test_without_a_target_they_are_only_checked() -> None:
    assert not errors(compiled(None, RAW))


# --- part of the plan


def test_they_are_in_the_plan_the_lock_and_the_checksum() -> None:
    result = compiled("axolotl", RAW)
    assert result.plan
    assert result.artifact
    assert result.plan.targets.axolotl == RAW["axolotl"]
    data: Any = lock(result, result.artifact, "", ())
    assert data["plan"]["targets"]["axolotl"] == RAW["axolotl"]
    assert fingerprint(plan(targets=TargetsPlan({"a": 1}, {}))) != fingerprint(plan())
    assert fingerprint(plan(targets=TargetsPlan({"a": 1}, {}))) != fingerprint(plan(targets=TargetsPlan({"a": 2}, {})))


@pytest.mark.parametrize(
    ("tool", "raw", "known_memory"),
    [
        ("axolotl", {"embedding_lr": 1e-5}, False),
        ("axolotl", {"dataset_num_proc": 4}, True),
        ("axolotl", {"dataset_num_proc": 4, "embedding_lr": 1e-5}, False),
        ("llamafactory", {"use_galore": True}, False),
        ("llamafactory", {"early_stopping_steps": 3}, True),
    ],
)
def test_the_memory_is_unknown_unless_they_change_none(tool: Any, raw: dict[str, Any], *, known_memory: bool) -> None:
    footprint = compiled(tool, {tool: raw}).footprint
    assert footprint
    assert (footprint.verdict != "unknown") is known_memory


# --- the command line


def test_drop_raw_on_the_command_line(tmp_path: Path) -> None:
    put(tmp_path, targets=RAW)
    assert ftc("build", "r.yaml", "--target", "unsloth", cwd=tmp_path).returncode == 1
    assert ftc("build", "r.yaml", "--target", "unsloth", "--drop-raw", cwd=tmp_path).returncode == 0
    assert ftc("validate", "r.yaml", "--target", "all", cwd=tmp_path).returncode == 1
    assert ftc("validate", "r.yaml", "--target", "all", "--drop-raw", cwd=tmp_path).returncode == 0
    shown = ftc("plan", "r.yaml", "--target", "axolotl", cwd=tmp_path)
    assert "axolotl = {'embedding_lr': 1e-05}" in shown.stdout
