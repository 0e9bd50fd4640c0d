"""Whatever stands in a config, `ftc import` makes a recipe of it or says at a line why not: it never fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_import import AXOLOTL, LLAMAFACTORY, PEFT, UNSLOTH

from backends import pinned
from backends.known import known
from backends.unsloth.reading import SECTIONS
from compiler.importing.importing import Asked, Imported, import_config
from compiler.importing.tools import Tool
from compiler.source import parse
from schemas.artifact import Target

CONFIGS: dict[Tool, str] = {"axolotl": AXOLOTL, "llamafactory": LLAMAFACTORY, "unsloth": UNSLOTH, "peft": PEFT}
PEFT_KEYS = (
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "modules_to_save",
    "init_lora_weights",
    "bias",
    "revision",
)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5000),
    st.floats(-2, 2, allow_nan=False),
    st.sampled_from(["", "auto", "none", "no", "1e-4", "q_proj", "epoch", "steps", "a,b", "x/y", "\u2028", "@"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=4,
)


def keys(tool: Tool) -> list[str]:
    """What the tool knows, sections in dots."""
    if tool == "unsloth":
        return ["model", *SECTIONS, *(f"{name}.{key}" for name, section in SECTIONS.items() for key in section)]
    if tool == "peft":
        return [*PEFT_KEYS, "peft_type", "base_model_name_or_path"]
    target = cast(Target, tool)
    return [key for key in known(target, pinned(target)).keys if "[]" not in key] + ["datasets", "no_such_key"]


def put(tree: dict[str, Any], path: str, value: object) -> None:
    for part in path.split(".")[:-1]:
        inner = tree.get(part)
        tree[part] = inner if isinstance(inner, dict) else {}
        tree = tree[part]
    tree[path.rsplit(".", maxsplit=1)[-1]] = value


@pytest.mark.parametrize("tool", CONFIGS)
@settings(max_examples=150, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_value_of_any_key(tool: Tool, data: st.DataObject) -> None:
    tree = parse(CONFIGS[tool], "c").data
    assert tree
    for key in data.draw(st.lists(st.sampled_from(keys(tool)), min_size=1, max_size=3)):
        put(tree, key, data.draw(VALUES, label=key))
    found = import_config("c.json", json.dumps(tree, indent=1), Asked(Path.cwd(), tool))
    if isinstance(found, Imported) and found.text is None:
        assert any(item.level == "error" for item in found.remarks)


ROW = ("path", "type", "name", "split", "data_files", "field_messages", "message_property_mappings", "roles", "field")


@settings(max_examples=150, derandomize=True, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(VALUES | st.dictionaries(st.sampled_from(ROW), VALUES, max_size=4), max_size=2), rl=SCALARS)
def test_any_data_set_of_axolotl(rows: list[Any], rl: object) -> None:
    tree = {**(parse(AXOLOTL, "c").data or {}), "datasets": rows, "rl": rl}
    found = import_config("c.json", json.dumps(tree, indent=1), Asked(Path.cwd(), "axolotl"))
    assert isinstance(found, Imported)


ENTRY = ("file_name", "hf_hub_url", "formatting", "columns", "tags", "ranking", "subset", "split", "num_samples")


@settings(max_examples=150, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    entry=VALUES | st.dictionaries(st.sampled_from(ENTRY), VALUES, max_size=4),
    stage=st.sampled_from(["sft", "dpo", "kto"]),
)
def test_any_entry_of_dataset_info(entry: object, stage: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    info = tmp_path_factory.getbasetemp() / "dataset_info.json"
    info.write_text(json.dumps({"talk": entry}))
    text = LLAMAFACTORY.replace("stage: sft", f"stage: {stage}")
    found = import_config("c.yaml", text, Asked(Path.cwd(), "llamafactory", info=info))
    assert isinstance(found, Imported)
