"""No silent drop: a leaf set to another valid value changes the config or script, or is refused at its line.

Exempt are only leaves that the compiler uses up (`OURS`) and values that the target declares neutral. Headers, locks
and copies of the plan do not count: bodies are compared as parsed YAML, JSON or syntax trees.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from leaf_values import Leaf, recipe_leaves, values

from backends import TARGETS, load
from backends.base import OURS, pattern
from compiler.build import Compiled, Options, compile_recipe
from schemas.artifact import Artifact, Target
from schemas.plan import leaves
from schemas.support import Folded

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "recipes"
LEAVES = [leaf for leaf in recipe_leaves() if leaf.arm != "hosted"]
"""Models of providers have tests of their own: tests/test_hosted_leaves.py."""

ARMS: dict[str, dict[str, Any]] = {
    "qlora": {"kind": "qlora", "target_modules": ["q_proj"]},
    "full": {"kind": "full"},
    "ia3": {"kind": "ia3"},
    "prefix_tuning": {"kind": "prefix_tuning"},
    "prompt_tuning": {"kind": "prompt_tuning"},
    "p_tuning": {"kind": "p_tuning"},
    "adapter": {"kind": "adapter"},
}

CONTEXT: dict[str, dict[str, Any]] = {
    "training.min_lr_ratio": {"training.scheduler": "cosine"},
    "training.preference.beta": {"training.objective": "dpo", "data.train[0].format": "preference"},
    "training.preference.loss": {"training.objective": "dpo", "data.train[0].format": "preference"},
    "training.gradient_checkpointing": {"training.micro_batch_size": 2},
    "hardware.offload": {"hardware.strategy": "fsdp", "hardware.count": 2},
    "hardware.strategy": {"hardware.count": 2},
    "training.max_steps": {"training.epochs": None},
    "logging.project": {"logging.to": ["wandb"]},
}
"""Leaves that mean something only beside another value."""

SPECIAL: dict[str, st.SearchStrategy[Any]] = {
    "model.base": st.sampled_from(["Qwen/Qwen2.5-0.5B-Instruct", "meta-llama/Llama-3.2-3B-Instruct"]),
    "model.chat_template": st.sampled_from(["auto", "chatml", "alpaca"]),
    "method.target_modules": st.sampled_from(["all-linear", "attention", "mlp", ["v_proj", "o_proj"], "re:.*k_proj"]),
    "method.modules_to_save": st.sampled_from([["lm_head"], ["embed_tokens", "lm_head"]]),
    "method.freeze": st.sampled_from([["model.embed_tokens*"], ["lm_head*"]]),
    "method.train_only": st.sampled_from([["model.layers.1*"], ["lm_head*"]]),
    "data.train[0].path": st.sampled_from(["data/tasks.jsonl", "data/questions.jsonl", "org/other"]),
    "data.validation[0].path": st.sampled_from(["data/tasks.jsonl", "data/questions.jsonl", "org/other"]),
    "training.global_batch_size": st.sampled_from([4, 8, 64]),
    "training.micro_batch_size": st.sampled_from([1, 4, 8]),
    "hardware.gpu": st.sampled_from(["a100-80gb", "h100", "t4"]),
    "hardware.count": st.sampled_from([2, 4, 8]),
    "hardware.nodes": st.sampled_from([2, 4]),
    "hardware.memory": st.sampled_from(["70GiB", "60GB"]),
    "targets.axolotl": st.sampled_from([{"embedding_lr": 1e-4}, {"qat": {"weight_dtype": "int4"}}]),
    "targets.llamafactory": st.sampled_from([{"use_galore": True}, {"rope_scaling": "yarn"}]),
}


@dataclass(frozen=True)
class Case:
    leaf: Leaf
    recipe: dict[str, Any]

    @property
    def table_path(self) -> str:
        return pattern(self.leaf.path)


def base_recipe(leaf: Leaf) -> dict[str, Any]:
    recipe: dict[str, Any] = {
        "version": 1,
        "name": "base",
        "model": {"base": "meta-llama/Llama-3.2-1B-Instruct"},
        "method": dict(ARMS["qlora" if leaf.path == "method.kind" else leaf.arm or "qlora"]),
        "data": {"train": [{"path": "data/support.jsonl", "format": "messages"}], "max_length": 512, "packing": False},
        "training": {"global_batch_size": 16, "micro_batch_size": 2},
        "hardware": {"gpu": "h100"},
    }
    if leaf.path.startswith("data.validation["):
        recipe["data"]["validation"] = [{"path": "data/support.jsonl", "format": "messages"}]
    if leaf.path in ("training.epochs", "training.max_steps"):
        recipe["training"].pop("epochs", None)
    for path, value in CONTEXT.get(leaf.path, {}).items():
        if value is not None:
            put(recipe, path, value)
    if ".fields." in leaf.path:
        put(recipe, leaf.path.split(".fields.")[0] + ".format", format_of(leaf.path.rsplit(".", 1)[1]))
        recipe["data"]["loss_on"] = "auto"
    return recipe


def format_of(field: str) -> str:
    """The format whose rows have this column."""
    by_column = {
        "alpaca": ("instruction", "input", "output"),
        "prompt_completion": ("prompt", "completion"),
        "preference": ("chosen", "rejected"),
        "kto": ("label",),
        "text": ("text",),
    }
    return next((name for name, columns in by_column.items() if field in columns), "messages")


def put(tree: Any, path: str, value: object) -> None:
    """Set a leaf in plain data; sections on the way are made."""
    parts: list[str | int] = [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", path)]
    for part in parts[:-1]:
        tree = tree[part] if isinstance(part, int) else tree.setdefault(part, {})
    tree[parts[-1]] = value


def compile_data(recipe: dict[str, Any], target: Target) -> Compiled:
    options = Options(target=target, emit=True, ignore_memory=True)
    return compile_recipe("leaf.yaml", json.dumps(recipe, indent=1), FOLDER, options)


def text_of(artifact: Artifact) -> str:
    """The config or script without the plan's checksum, which changes with every leaf and tells a tool nothing."""
    return re.sub(rf"/{artifact.target}-[0-9a-f]{{8}}\b", "", artifact.files[artifact.body])


def body(result: Compiled) -> object:
    """The config or script without header and comments."""
    assert result.artifact is not None
    text = text_of(result.artifact)
    extra = {name: file for name, file in result.artifact.files.items() if name in BESIDE}
    if not result.artifact.body.endswith(".py"):
        return yaml.safe_load(text), extra, result.artifact.preparation
    tree = ast.parse(text)
    if ast.get_docstring(tree):
        tree.body = tree.body[1:]
    return ast.dump(tree), extra, result.artifact.preparation


BESIDE = ("dataset_info.json", "run.sh", "merge.yaml", "deepspeed.json", "accelerate.yaml")
"""Files beside the config or script that tell the tool something."""


def named(result: Compiled, into: str) -> list[object]:
    """What stands under the keys that a `Folded` answer names: in a config, or as a name or keyword of a script."""
    return [_named(result, key) for key in into.split(" or ")]


def _named(result: Compiled, key: str) -> object:
    assert result.artifact is not None
    if key in result.artifact.files:
        return result.artifact.files[key], result.artifact.preparation
    text = text_of(result.artifact)
    if result.artifact.body.endswith(".py"):
        return _named_in_script(ast.parse(text), key), result.artifact.preparation
    tree = yaml.safe_load(text)
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, dict) else None
    return tree, result.artifact.preparation


def _named_in_script(tree: ast.Module, key: str) -> list[str]:
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == key:
            variable = node.value.id if isinstance(node.value, ast.Name) else None
            found += [ast.dump(node.value), *(_named_in_script(tree, variable) if variable and variable != key else [])]
        if isinstance(node, ast.Assign) and any(ast.unparse(target) == key for target in node.targets):
            found.append(ast.dump(node.value))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == key:
            found.append(ast.dump(node))
        if isinstance(node, ast.FunctionDef) and node.name == key:
            found.append(ast.dump(node))
    return found


def errors_at(result: Compiled, leaf: Leaf) -> bool:
    """Whether an error stands at the leaf or at a section that holds nothing but it."""
    wanted = leaf.path.replace("[0]", "")
    return any(item.level == "error" and item.path.replace("[0]", "").startswith(wanted) for item in result.diagnostics)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: f"{leaf.path}{'@' + leaf.arm if leaf.arm else ''}")
@settings(max_examples=8, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_leaf_arrives_or_is_refused(leaf: Leaf, target: Target, data: st.DataObject) -> None:
    if leaf.path in ("version",):
        return
    before = base_recipe(leaf)
    after = json.loads(json.dumps(before))
    value = data.draw(SPECIAL.get(leaf.path, values(leaf)), label=leaf.path)
    if leaf.path == "method.kind":
        after["method"] = {**ARMS[leaf.arm or "qlora"], "kind": value}
    else:
        put(after, leaf.path, value)
    first, second = compile_data(before, target), compile_data(after, target)
    if not second.valid:
        by_table = [item for item in second.diagnostics if item.level == "error" and item.code.startswith("FTC4")]
        there_before = {(item.code, item.path) for item in first.diagnostics}
        new = [item for item in by_table if (item.code, item.path) not in there_before]
        assert not new or errors_at(second, leaf), [item.message for item in new]
        return
    assume(first.valid)
    assert first.plan and second.plan
    path = leaf.path if leaf.path in leaves(second.plan) else leaf.path.replace("[0]", "")
    old, fresh = leaves(first.plan).get(path), leaves(second.plan).get(path)
    assume(old != fresh or isinstance(old, bool) != isinstance(fresh, bool))
    if pattern(leaf.path) in OURS:
        return
    answer = load(target).TABLE[pattern(path)]
    if isinstance(answer, Folded):
        if old in answer.alike and fresh in answer.alike:
            return
        assert named(first, answer.into) != named(second, answer.into), (answer.into, old, fresh)
    neutral = getattr(answer, "neutral", ())
    if not (old in neutral and fresh in neutral):
        assert body(first) != body(second), (answer, old, fresh)
