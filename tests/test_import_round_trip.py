"""Recipe → a tool's config → recipe: tables read backwards give the plan back, leaf by leaf, as far as it is told.

What a config does not hold is not asked for (`NOT_TOLD`): the card, how many cards, where rows lie once ftc has
prepared them. Where ftc prepares rows, what it did to them is in the rows.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from calls import RECIPES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from leaf_values import Leaf, values
from test_leaves import ARMS, FOLDER, LEAVES, SPECIAL, base_recipe, put

from backends.cadence import warmup_steps
from compiler.build import Compiled, Options, compile_recipe
from compiler.importing.importing import ABSENT, Asked, Imported, import_config
from compiler.importing.tools import Tool
from schemas.artifact import Target
from schemas.plan import Plan, leaves

TARGETS: tuple[Target, ...] = ("axolotl", "llamafactory")
FILES = sorted(RECIPES.glob("**/[!.]*.ftc.yaml"))

NOT_TOLD = (
    *("name", "output.", "logging.project", "targets.", "hardware.gpu", "hardware.memory", "hardware.reserve"),
    *("hardware.count", "hardware.nodes"),
)
"""What is not in a config, or has the name of a run in it. Raw keys come back as such: a test of their own."""
BY_ROWS = ("data.system", "data.bad_rows", "data.loss_on", "model.chat_template")
"""What ftc does to rows when it prepares them, or that the format of prepared rows says."""
LAUNCHED = ("hardware.strategy", "hardware.offload", "data.overlong")
"""LLaMA-Factory: told to accelerate, or never told (rows that are too long are always shortened)."""


DRAWN: dict[str, st.SearchStrategy[Any]] = {
    "training.max_steps": st.integers(20, 99),  # of one step a share of warm-up is all
    "data.loss_on": st.sampled_from(["auto", "assistant", "all"]),
}
"""Values that come back; of the last answer alone, ftc marks turns in rows, which no config shows."""


def written(compiled: Compiled, folder: Path) -> Path:
    """The config and what stands beside it."""
    assert compiled.artifact
    for name, text in compiled.artifact.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder / compiled.artifact.body


def back(compiled: Compiled, target: Target, folder: Path) -> tuple[Imported, Plan]:
    """The config of a compiled recipe, imported, and the plan of that."""
    assert compiled.plan
    config = written(compiled, folder)
    tool: Tool = "axolotl" if target == "axolotl" else "llamafactory"
    made = import_config(str(config), config.read_text("utf-8"), Asked(folder, tool, "again", compiled.plan.devices))
    assert isinstance(made, Imported)
    assert made.text is not None, [item.message for item in made.remarks if item.level == "error"]
    for name, text in made.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    gpu = compiled.plan.hardware.gpu
    sets = (f"hardware.gpu={gpu}",) if gpu else ()
    again = compile_recipe("again", made.text, folder, Options(target=target, sets=sets, allow_lossy=True))
    assert again.plan, [item.message for item in again.diagnostics]
    return made, again.plan


def told(plan: Plan, target: Target, *, prepared: bool) -> dict[str, Any]:
    """The leaves that a config of this tool holds, each as it means."""
    found = leaves(plan)
    left = (*NOT_TOLD, *(BY_ROWS if prepared else ()), *(LAUNCHED if target == "llamafactory" else ()))
    kept = {path: value for path, value in found.items() if not path.startswith(left)}
    kept["logging.to"] = sorted(plan.logging.to)
    kept["training.warmup"] = warmup_steps(plan)
    if prepared:
        kept = {path: value for path, value in kept.items() if not path.startswith(("data.train", "data.validation"))}
    # Both tools learn from raw text alike, whichever of the two it is called.
    kept["training.objective"] = "sft" if plan.training.objective == "pretrain" else plan.training.objective
    if plan.data.validation is None or plan.evaluation.every is None:
        kept = {path: value for path, value in kept.items() if not path.startswith("evaluation.")}
    return kept


def same(before: Compiled, target: Target, folder: Path) -> None:
    """The plan comes back."""
    assert before.plan
    assert before.artifact
    prepared = "data/train.jsonl" in str(before.artifact.files)
    made, after = back(before, target, folder)
    here, there = told(before.plan, target, prepared=prepared), told(after, target, prepared=prepared)
    differing = {path: (value, there.get(path)) for path, value in here.items() if not alike(value, there.get(path))}
    excused = {path for path in differing if path in excuses(before.plan, target)}
    assert {path: pair for path, pair in differing.items() if path not in excused} == {}, made.text
    lost = [item for item in made.remarks if item.level == "warning" and item.code not in ABSENT]
    assert [item.message for item in lost if item.code == "FTC421"] == []


def alike(left: object, right: object) -> bool:
    if isinstance(left, float) and isinstance(right, float | int) and not isinstance(right, bool):
        return abs(left - right) <= 1e-6 * max(1.0, abs(left))
    return left == right


def excuses(plan: Plan, target: Target) -> set[str]:
    """Leaves that this tool is told in a way that more than one value stands for."""
    found: set[str] = set()
    if plan.training.min_lr_ratio == 1 and plan.training.scheduler == "polynomial":
        found |= {"training.scheduler", "training.min_lr_ratio"}  # it never falls, which is constant
    if target == "axolotl" and any(source.format == "text" for source in plan.data.train):
        found.add("data.overlong")  # text is always cut
    if not plan.checkpoint.best or plan.data.validation is None:
        found.add("checkpoint.best")
    return found


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".ftc.yaml"))
def test_every_recipe_comes_back(file: Path, target: Target, tmp_path: Path) -> None:
    options = Options(target=target, emit=True, ignore_memory=True)
    before = compile_recipe(file.name, file.read_text("utf-8"), file.parent, options)
    if before.artifact is None:
        pytest.skip("this tool refuses it")
    same(before, target, tmp_path)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: f"{leaf.path}{'@' + leaf.arm if leaf.arm else ''}")
@settings(max_examples=4, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_leaf_comes_back(leaf: Leaf, target: Target, data: st.DataObject) -> None:
    if leaf.path.startswith(("version", "targets.")):
        return
    recipe = base_recipe(leaf)
    value = data.draw({**SPECIAL, **DRAWN}.get(leaf.path, values(leaf)), label=leaf.path)
    if leaf.path == "method.kind":
        recipe["method"] = {**ARMS[leaf.arm or "qlora"], "kind": value}
    else:
        put(recipe, leaf.path, value)
    options = Options(target=target, emit=True, ignore_memory=True)
    before = compile_recipe("leaf.yaml", json.dumps(recipe), FOLDER, options)
    if before.artifact is None:
        return  # this tool refuses it, or no recipe may say it
    with tempfile.TemporaryDirectory() as folder:
        same(before, target, Path(folder))
