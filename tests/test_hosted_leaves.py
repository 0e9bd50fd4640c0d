"""Providers answer every leaf of the recipe: what it says is in the job or the rows, or refused at its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hosted_ground import BASES, conversation, write_rows
from leaf_values import Leaf, recipe_leaves

from backends import TARGETS
from backends.base import pattern
from backends.hosted import PROVIDERS, load
from compiler.build import Compiled, Options, compile_recipe
from compiler.errors import FtcError
from compiler.hosted.artifact import hosted_artifact
from compiler.hosted.planning import recipe_leaves as leaves_of
from compiler.hosted.rows import miscounted, survey
from schemas.artifact import Target
from schemas.hosted import Provider
from schemas.leaves import leaves
from schemas.support import Folded, Key, Never, Ours

LEAVES = [leaf for leaf in recipe_leaves() if leaf.arm in (None, "hosted")]
FIELDS = {"instruction", "input", "output", "prompt", "completion", "chosen", "rejected", "label", "text"}

OTHER: dict[str, Any] = {
    "name": "other",
    "model.base": {"openai": "gpt-4o", "bedrock": None},
    "model.revision": "dev",
    "model.dtype": "float16",
    "model.attention": "sdpa",
    "model.trust_remote_code": True,
    "model.tokenizer": "org/tokenizer",
    "model.chat_template": "chatml",
    "model.tokens.pad": "<pad>",
    "model.tokens.eos": "<eos>",
    "model.tokens.bos": "<bos>",
    "model.tokens.add": ["<new>"],
    "method.learning_rate_multiplier": 0.5,
    "data.train[0].path": "other.jsonl",
    "data.train[0].format": "text",
    "data.train[0].split": "test",
    "data.train[0].subset": "main",
    "data.train[0].revision": "dev",
    "data.train[0].weight": 2.0,
    "data.train[0].limit": 90,
    "data.validation[0].path": "other.jsonl",
    "data.validation[0].format": "kto",
    "data.validation[0].split": "test",
    "data.validation[0].subset": "main",
    "data.validation[0].revision": "dev",
    "data.validation[0].weight": 2.0,
    "data.validation[0].limit": 33,
    "data.validation": 34,
    "data.system": "Be brief.",
    "data.max_length": 40,
    "data.overlong": "truncate",
    "data.bad_rows": "drop",
    "data.packing": True,
    "data.loss_on": "last_assistant",
    "data.shuffle": False,
    "training.objective": "dpo",
    "training.epochs": 2,
    "training.max_steps": 10,
    "training.global_batch_size": 8,
    "training.micro_batch_size": 2,
    "training.learning_rate": 1e-4,
    "training.scheduler": "linear",
    "training.min_lr_ratio": 0.1,
    "training.warmup": 10,
    "training.optimizer": "sgd",
    "training.weight_decay": 0.1,
    "training.betas": [0.9, 0.95],
    "training.epsilon": 1e-6,
    "training.max_grad_norm": 0.5,
    "training.gradient_checkpointing": True,
    "training.loss": "full",
    "training.compile": True,
    "training.kernels": "liger",
    "training.neftune_alpha": 5.0,
    "training.seed": 7,
    "training.preference.beta": 0.3,
    "training.preference.loss": "ipo",
    "evaluation.every": 10,
    "evaluation.batch_size": 4,
    "checkpoint.every": 10,
    "checkpoint.keep": 3,
    "checkpoint.best": True,
    "checkpoint.weights_only": True,
    "checkpoint.resume": "never",
    "logging.every": 1,
    "logging.to": ["wandb"],
    "logging.project": "orders",
    "output.dir": "runs",
    "output.merge": True,
    "hardware.gpu": "h100",
    "hardware.count": 2,
    "hardware.memory": "20GiB",
    "hardware.nodes": 2,
    "hardware.strategy": "ddp",
    "hardware.offload": "all",
    "hardware.reserve": "1GiB",
    "targets.axolotl": {"embedding_lr": 1e-4},
    "targets.llamafactory": {"use_galore": True},
}
"""Another value than the default of every leaf."""


def other(leaf: Leaf, provider: Provider) -> Any:
    found = OTHER.get(leaf.path, f"their_{leaf.path.rpartition('.')[2]}")
    return found[provider] if leaf.path == "model.base" else found


def base(leaf: Leaf, provider: Provider) -> dict[str, Any]:
    recipe: dict[str, Any] = {
        "version": 1,
        "name": "base",
        "model": {"base": BASES[provider]},
        "method": {"kind": "hosted"},
        "data": {"train": [{"path": "train.jsonl", "format": "messages"}], "validation": 33},
        "training": {},
    }
    if leaf.path.startswith("data.validation["):
        recipe["data"]["validation"] = [{"path": "validation.jsonl", "format": "messages"}]
    if leaf.path == "logging.project" and provider == "openai":
        recipe["logging"] = {"to": ["wandb"]}
    return recipe


def put(tree: Any, path: str, value: object) -> None:
    *way, last = path.replace("[0]", ".0").split(".")
    for part in way:
        tree = tree[int(part)] if isinstance(tree, list) else tree.setdefault(part, {})
    tree[int(last) if isinstance(tree, list) else last] = value


def compiled(recipe: dict[str, Any], provider: Provider, folder: Path) -> Compiled:
    return compile_recipe("leaf.yaml", json.dumps(recipe, indent=1), folder, Options(provider=provider))


def written(found: Compiled) -> dict[str, str]:
    """What the provider gets; what is wrong with the rows, where they are read in another way."""
    assert found.hosted
    try:
        rows = survey(found.hosted)
    except FtcError as error:
        return {"error": error.message}
    assert not [item for item in miscounted(found.hosted, rows) if item.level == "error"]
    files = hosted_artifact(found.hosted, rows, ()).files
    body = json.loads(files["job.json"])
    # The mark changes with everything.
    body.get("metadata", {}).pop("ftc", None)
    for name in ("jobName", "customModelName"):
        if name in body:
            body[name] = body[name][:-9]
    return {"train.jsonl": files["train.jsonl"], "validation.jsonl": files["validation.jsonl"], "job.json": str(body)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [conversation(number) for number in range(100)]
    # One is long, one has two answers, and one is read under another name.
    rows[5]["messages"][1]["content"] = "word " * 60
    rows[6]["messages"] *= 2
    for row in rows:
        row["their_system"] = "Be kind."
        row["their_tools"] = json.dumps([{"type": "function", "function": {"name": "add"}}])
        row["their_messages"] = [*row["messages"][:1], {"role": "assistant", "content": "another"}]
    plain = [conversation(number) for number in range(200, 300)]
    for name, kept in (("train", rows), ("validation", rows), ("other", plain)):
        write_rows(tmp_path, kept, f"{name}.jsonl")
    return tmp_path


@pytest.mark.parametrize("provider", PROVIDERS)
def test_tables_are_total(provider: Provider) -> None:
    wanted = {leaf.path for leaf in leaves() if not leaf.kinds or "hosted" in leaf.kinds}
    assert set(load(provider).TABLE) == wanted


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_leaves_of_a_recipe_are_those_of_the_tables(provider: Provider, folder: Path) -> None:
    listed = {"path": "train.jsonl", "format": "messages"}
    recipe = base(LEAVES[0], provider)
    found = compiled({**recipe, "data": {"train": listed, "validation": listed}}, provider, folder)
    assert found.recipe
    paths = {pattern(path) for path in leaves_of(found.recipe)}
    assert paths | {"data.validation"} == set(load(provider).TABLE)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_is_refused_says_why(provider: Provider) -> None:
    for path, answer in load(provider).TABLE.items():
        if isinstance(answer, Ours):
            assert path in ("$schema", "version")
            continue
        refusals = answer.refused.values() if isinstance(answer, Key | Folded) else [answer]
        for refusal in refusals:
            assert len(refusal.why) > 10, path
            assert not refusal.why.endswith("."), path


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_neutral_value_is_the_language_s_default(provider: Provider) -> None:
    defaults = {leaf.path: leaf.default for leaf in leaves() if not leaf.kinds or "hosted" in leaf.kinds}
    for path, answer in load(provider).TABLE.items():
        if isinstance(answer, Never):
            neutral = [list(one) if isinstance(one, tuple) else one for one in answer.neutral]
            assert defaults[path] in neutral, path
            assert [one for one in neutral if one not in (defaults[path], "auto")] == []


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.path)
def test_every_leaf_arrives_or_is_refused(leaf: Leaf, provider: Provider, folder: Path) -> None:
    if leaf.path in ("version", "method.kind"):
        return
    before, value = base(leaf, provider), other(leaf, provider)
    if value is None:
        return
    after = json.loads(json.dumps(before))
    put(after, leaf.path, value)
    first, second = compiled(before, provider, folder), compiled(after, provider, folder)
    assert first.valid, [item.message for item in first.diagnostics]
    if not second.valid:
        errors = [item for item in second.diagnostics if item.level == "error"]
        assert all(
            item.path.replace("[0]", "") == leaf.path.replace("[0]", "") for item in errors if item.code[:4] == "FTC4"
        )
        assert all(item.span.line > 1 for item in errors)
        return
    if leaf.path.rpartition(".")[2] in FIELDS or leaf.path in ALIKE:
        return
    assert "error" not in written(first)
    assert written(first) != written(second)


ALIKE = ("model.base", "data.bad_rows", "training.preference.beta")
"""Another name of the same model; all rows are good; nothing is compared."""


@pytest.mark.parametrize("target", TARGETS)
def test_every_tool_of_this_machine_refuses_such_a_recipe(target: Target, folder: Path) -> None:
    recipe = json.dumps(base(LEAVES[0], "openai"), indent=1)
    found = compile_recipe("leaf.yaml", recipe, folder, Options(target=target))
    (wrong,) = [item for item in found.diagnostics if item.level == "error"]
    assert (wrong.code, wrong.path) == ("FTC431", "method.kind")
    assert target in wrong.message
