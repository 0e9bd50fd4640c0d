"""`ftc diff`: what two runs will really do differently, and nothing of what they do alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from calls import RECIPE, RECIPES, ftc

TWO = ("llama3.1-70b-qlora-a100-80gb.ftc.yaml", "mistral-7b-qlora-rtx3090.ftc.yaml")
QUICK = RECIPES / "quickstart" / "quickstart.ftc.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with rows, and a recipe of them."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "support.jsonl").write_text((RECIPES / "data" / "support.jsonl").read_text())
    recipe(tmp_path / "a.ftc.yaml")
    return tmp_path


def recipe(path: Path, **changes: Any) -> None:
    """The recipe with these sections, each beside what it has."""
    merged = {
        name: {**section, **changes.get(name, {})} if isinstance(section, dict) else section
        for name, section in RECIPE.items()
    }
    path.write_text(json.dumps({**merged, **{name: value for name, value in changes.items() if name not in RECIPE}}))


def said(*arguments: object, cwd: Path) -> dict[str, Any]:
    done = ftc("diff", *arguments, "--format", "json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_values_reasons_and_what_follows() -> None:
    found = said(*TWO, cwd=RECIPES)
    rows = {row["path"]: row for row in found["plan"]}
    assert rows["method.rank"]["values"] == [32, 64]
    assert rows["training.micro_batch_size"]["because"][0].startswith("needs up to")
    assert "method.kind" not in rows
    assert "training.learning_rate" not in rows
    follows = {row["name"]: row["values"] for row in found["follows"]}
    assert follows["parameters that are trained"] == [414187520, 167772160]
    assert follows["memory of a card"][0] > follows["memory of a card"][1] > 10
    assert [row["path"] for row in found["beside"]] == ["name", "logging.project", "output.dir"]
    order = [row["path"].split(".")[0] for row in found["plan"]]
    assert order == sorted(order, key=["model", "method", "data", "training", "evaluation", "hardware"].index)


def test_a_default_is_as_good_as_a_word(folder: Path) -> None:
    """What a recipe leaves to ftc is the same run where another one says the same."""
    recipe(folder / "b.ftc.yaml", method={"rank": 16, "alpha": 32, "target_modules": "all-linear"})
    done = ftc("diff", "a.ftc.yaml", "b.ftc.yaml", "--exit-code", cwd=folder)
    assert done.returncode == 0
    assert done.stdout.endswith("the same run\n")
    assert said("a.ftc.yaml", "b.ftc.yaml", cwd=folder)["same"]


def test_another_name_is_the_same_run(folder: Path) -> None:
    recipe(folder / "b.ftc.yaml")
    text = (folder / "b.ftc.yaml").read_text().replace('"small"', '"other"')
    (folder / "b.ftc.yaml").write_text(text)
    done = ftc("diff", "a.ftc.yaml", "b.ftc.yaml", "--exit-code", cwd=folder)
    assert done.returncode == 0
    assert "the same run, but for name, logging.project, output.dir" in done.stdout


def test_the_exit_code_says_it_where_it_is_asked_to(folder: Path) -> None:
    recipe(folder / "b.ftc.yaml", method={"rank": 8})
    assert ftc("diff", "a.ftc.yaml", "b.ftc.yaml", cwd=folder).returncode == 0
    assert ftc("diff", "a.ftc.yaml", "b.ftc.yaml", "--exit-code", cwd=folder).returncode == 1


def test_files_of_the_same_rows_do_not_differ(folder: Path) -> None:
    rows = folder / "data" / "support.jsonl"
    (folder / "data" / "copy.jsonl").write_bytes(rows.read_bytes())
    (folder / "data" / "more.jsonl").write_bytes(rows.read_bytes() * 2)
    for name in ("copy", "more"):
        recipe(folder / f"{name}.ftc.yaml", data={"train": {"path": f"data/{name}.jsonl", "format": "messages"}})
    assert said("a.ftc.yaml", "copy.ftc.yaml", cwd=folder)["same"]
    [row] = said("a.ftc.yaml", "more.ftc.yaml", cwd=folder)["plan"]
    assert (row["path"], row["content"]) == ("data.train[0].path", "other rows")


def test_one_recipe_across_targets() -> None:
    found = said(QUICK, "--targets", "axolotl,llamafactory,unsloth", cwd=RECIPES)
    assert [side["label"] for side in found["sides"]] == ["axolotl", "llamafactory", "unsloth"]
    assert found["sides"][0]["tool"].startswith("axolotl==")
    told = {(item["side"], item["code"], item["path"]) for item in found["targets"]}
    assert (0, "FTC405", "training.seed") in told
    assert (1, "FTC405", "data.overlong") in told
    assert not [item for item in found["plan"] if item["path"].startswith("data.")]


def test_steps_are_counted_where_rows_are_lines(folder: Path) -> None:
    """Of rows that are packed nobody knows before they are tokens."""
    recipe(folder / "b.ftc.yaml", training={"epochs": 3}, data={"packing": False})
    rows = len((folder / "data" / "support.jsonl").read_text().splitlines())
    follows = {row["name"]: row["values"] for row in said("a.ftc.yaml", "b.ftc.yaml", cwd=folder)["follows"]}
    once = -(-rows // 16)
    assert follows["optimizer steps, at most"] == [once, -(-rows * 3 // 16)]
    recipe(folder / "c.ftc.yaml", training={"max_steps": 7}, data={"packing": True})
    follows = {row["name"]: row["values"] for row in said("a.ftc.yaml", "c.ftc.yaml", cwd=folder)["follows"]}
    assert follows["optimizer steps, at most"] == [once, 7]


def test_a_target_behind_an_at_sign_is_the_same() -> None:
    short = said(QUICK, "--targets", "axolotl,unsloth", cwd=RECIPES)
    assert said(f"{QUICK}@axolotl", f"{QUICK}@unsloth", cwd=RECIPES) == short


def test_what_a_target_cannot_do_is_said_and_compared(folder: Path) -> None:
    recipe(folder / "a.ftc.yaml", method={"init": "olora"})
    done = ftc("diff", "a.ftc.yaml", "--targets", "native,llamafactory", cwd=folder)
    assert done.returncode == 0
    assert "llamafactory: what LLaMA-Factory does otherwise" in done.stdout
    assert "FTC402 not at all: init cannot be olora" in done.stdout


def test_another_tools_config_beside_a_recipe(folder: Path) -> None:
    (folder / "old.yml").write_text(
        "base_model: meta-llama/Llama-3.2-1B-Instruct\nadapter: lora\nlora_r: 8\nlora_alpha: 32\n"
        "lora_target_linear: true\nlearning_rate: 2e-4\nmicro_batch_size: 2\ngradient_accumulation_steps: 8\n"
        "datasets: [{path: data/support.jsonl, type: chat_template}]\n"
    )
    found = said("old.yml", "a.ftc.yaml", cwd=folder)
    assert [side["imported_from"] for side in found["sides"]] == ["Axolotl", None]
    rows = {row["path"]: row["values"] for row in found["plan"]}
    assert rows["method.rank"] == [8, 16]
    assert rows["data.max_length"] == [512, 2048]
    assert "method.alpha" not in rows
    (folder / "old.yml").write_text("base_model: x\nadapter: ia3\ndatasets: [{path: a/b, type: completion}]\n")
    done = ftc("diff", "old.yml", "a.ftc.yaml", cwd=folder)
    assert done.returncode == 1
    assert "old.yml:2: adapter: ia3" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("a.ftc.yaml",), 2, "name two recipes"),
        (("a.ftc.yaml", "a.ftc.yaml"), 2, "same recipe"),
        (("a.ftc.yaml", "none.yaml"), 2, "cannot read none.yaml"),
        (("a.ftc.yaml", "bad.ftc.yaml"), 1, "FTC102"),
        (("a.ftc.yaml", "--targets", "axolotl,trl"), 2, "trl"),
        (("a.ftc.yaml", "--targets", "axolotl"), 2, "name two recipes"),
        (("a.ftc.yaml@axolotl", "--targets", "native,unsloth"), 2, "--targets"),
        (("a.ftc.yaml@axolotl@9", "a.ftc.yaml"), 4, "does not know"),
    ],
)
def test_wrong_calls_say_what_is_wrong(arguments: tuple[str, ...], code: int, word: str, folder: Path) -> None:
    recipe(folder / "bad.ftc.yaml", method={"rnak": 8})
    done = ftc("diff", *arguments, cwd=folder)
    assert done.returncode == code, done.stderr
    assert word in done.stderr


def test_versions_of_a_target_are_sides(folder: Path) -> None:
    found = said("a.ftc.yaml", "--targets", "axolotl,axolotl@0.17", cwd=folder)
    assert [side["tool"] for side in found["sides"]] == ["axolotl==0.19.0", "axolotl==0.17.0"]


def test_other_cards_change_what_is_left_to_the_compiler(folder: Path) -> None:
    recipe(folder / "b.ftc.yaml", hardware={"gpu": "rtx-4090"})
    found = said("a.ftc.yaml", "b.ftc.yaml", cwd=folder)
    assert {row["path"] for row in found["plan"]} >= {"hardware.gpu", "hardware.memory"}
    assert said("a.ftc.yaml", "b.ftc.yaml", "--gpu", "h100", cwd=folder)["same"]
