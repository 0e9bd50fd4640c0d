"""`ftc build --matrix`: a folder a point, a record above them, and nothing that is not ftc's is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from calls import ROOT, ftc, put

ROOTS = Path("build", "small")
HELD_OUT = {"data": {"train": {"path": "data/support.jsonl", "format": "messages"}, "packing": False, "validation": 2}}
"""Rows that other tools cannot part as the native target does, so that they are written for them."""


def build(recipe: Path, *options: object, target: str = "native") -> subprocess.CompletedProcess[str]:
    return ftc("build", recipe.name, "--target", target, *options, cwd=recipe.parent)


def sweep_of(recipe: Path, target: str = "native") -> dict[str, Any]:
    return json.loads((recipe.parent / ROOTS / target / "sweep.json").read_text("utf-8"))


def folders(root: Path) -> list[str]:
    """All that lies there, hidden things too."""
    return sorted(path.name for path in root.iterdir())


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_a_point_and_what_cannot_be_is_in_the_table(tmp_path: Path) -> None:
    recipe = put(tmp_path, hardware={"gpu": "t4"})
    matrix = ("--matrix", "method.rank=8,x", "--matrix", "model.base=llama-3.2-1b-instruct,llama-3.1-70b-instruct")
    done = build(recipe, *matrix)
    assert done.returncode == 1, "a point that is invalid goes before one that does not fit"
    assert "built 1 of 4 points" in done.stdout
    root = tmp_path / ROOTS / "native"
    assert folders(root) == ["rank=8,base=llama-3.2-1b-instruct", "sweep.json", "sweep.md"]
    data = sweep_of(recipe)
    assert [(item["verdict"], item["built"]) for item in data["points"]] == [
        ("fits", True),
        ("does_not_fit", False),
        ("refused", False),
        ("refused", False),
    ]
    assert data["points"][1]["memory"]["device_gib"] > data["points"][1]["memory"]["capacity_gib"]
    assert [item["code"] for item in data["points"][2]["diagnostics"]] == ["FTC103"]
    table = (root / "sweep.md").read_text("utf-8")
    assert "| 1 | `8` | `llama-3.2-1b-instruct` | fits |" in table
    assert "does not fit" in table
    assert "FTC103" in table


def test_only_points_that_do_not_fit_end_with_3_and_can_be_built_all_the_same(tmp_path: Path) -> None:
    recipe = put(tmp_path, hardware={"gpu": "t4"})
    matrix = ("--matrix", "model.base=llama-3.2-1b-instruct,llama-3.1-70b-instruct")
    assert build(recipe, *matrix).returncode == 3
    done = build(recipe, *matrix, "--ignore-memory")
    assert done.returncode == 0, done.stdout
    assert "built 2 of 2 points" in done.stdout


def test_nothing_is_written_where_no_point_can_be(tmp_path: Path) -> None:
    recipe = put(tmp_path)
    done = build(recipe, "--matrix", "method.rank=0,-1")
    assert done.returncode == 1
    assert "nothing was written" in done.stdout
    assert not (tmp_path / "build").exists()


def test_every_point_says_what_it_is_and_has_a_folder_of_results_of_its_own(tmp_path: Path) -> None:
    recipe = put(tmp_path)
    assert build(recipe, "--matrix", "method.rank=8,16", "--matrix", "training.seed=1,2").returncode == 0
    root = tmp_path / ROOTS / "native"
    outs = set[str]()
    for item in sweep_of(recipe)["points"]:
        folder = root / item["point"]
        plan = json.loads((folder / "plan.json").read_text("utf-8"))
        assert (plan["method"]["rank"], plan["training"]["seed"]) == tuple(item["set"].values())
        assert plan["name"] == item["run"]
        outs.add(plan["output"]["dir"])
        told = (folder / "README.md").read_text("utf-8")
        assert f"`{item['point']}`" in told
        assert f"`{item['run']}`" in told
        lock = json.loads((folder / "ftc.lock.json").read_text("utf-8"))
        assert lock["sweep"] == {"recipe": "small", "point": item["point"], "set": item["set"]}
    assert len(outs) == 4


def test_a_point_is_what_the_recipe_with_its_settings_is(tmp_path: Path) -> None:
    """Built by itself under the same name: the same files, but for the paragraph that tells of the sweep."""
    recipe = put(tmp_path)
    assert build(recipe, "--matrix", "method.rank=8,16").returncode == 0
    sets = ("--set", "method.rank=16", "--set", "name=small-rank-16")
    assert build(recipe, *sets, "--out", "alone").returncode == 0
    point, alone = content(tmp_path / ROOTS / "native" / "rank=16"), content(tmp_path / "alone")
    assert point.keys() == alone.keys()
    differing = {name for name in point if point[name] != alone[name]}
    assert differing == {"README.md", "ftc.lock.json"}
    assert point["README.md"].startswith(alone["README.md"])


def test_rows_of_other_tools_are_one_file_under_several_names(tmp_path: Path) -> None:
    recipe = put(tmp_path, **HELD_OUT)
    matrix = ("--matrix", "method.rank=8,16", "--matrix", "training.seed=1,2")
    assert build(recipe, *matrix, target="llamafactory").returncode == 0
    root = tmp_path / ROOTS / "llamafactory"
    rows = {path.parent.parent.name: path for path in root.glob("*/data/train.jsonl")}
    assert len(rows) == 4
    same = {name: path.stat().st_ino for name, path in rows.items()}
    assert same["rank=8,seed=1"] == same["rank=16,seed=1"]
    assert same["rank=8,seed=2"] == same["rank=16,seed=2"]
    assert len(set(same.values())) == 2, "the seed chooses the rows that are held out"
    before = content(root)
    assert build(recipe, *matrix, target="llamafactory").returncode == 0
    assert content(root) == before, "a second build comes to the same"


def test_points_with_rows_of_their_own_may_stand_between_points_without(tmp_path: Path) -> None:
    """Axolotl reads these rows as they are, but not with a system text in front."""
    recipe = put(tmp_path)
    matrix = ("--matrix", "method.rank=8,16", "--matrix", "data.system=null,Be brief")
    done = build(recipe, *matrix, target="axolotl")
    assert done.returncode == 0, done.stdout
    found = sorted(path.parent.parent.name for path in (tmp_path / ROOTS / "axolotl").glob("*/data/train.jsonl"))
    assert found == ["rank=16,system=Be-brief", "rank=8,system=Be-brief"]


def test_rows_are_copied_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from backends.native.files import unseen
    from compiler.build import Options, compile_recipe
    from compiler.sweep.shared_rows import SharedRows

    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    recipe = put(tmp_path, **HELD_OUT)
    options = Options(target="llamafactory", emit=True, online=False)
    made = compile_recipe("r.yaml", recipe.read_text("utf-8"), tmp_path, options).artifact
    assert made
    assert made.preparation
    rows = SharedRows()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        rows.prepare(made.preparation, tmp_path / name, unseen)
        rows.moved(tmp_path / name)
    one, two = ((tmp_path / name / made.preparation.train_file) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert one.stat().st_ino != two.stat().st_ino


def test_bad_rows_stop_every_point_that_has_them_and_are_told_once(tmp_path: Path) -> None:
    recipe = put(tmp_path)
    rows = tmp_path / "data" / "support.jsonl"
    (tmp_path / "data" / "bad.jsonl").write_text(rows.read_text("utf-8") * 9 + '{"messages": 3}\n', encoding="utf-8")
    done = build(
        recipe, "--matrix", "data.train.path=data/support.jsonl,data/bad.jsonl", "--matrix", "method.rank=8,16"
    )
    assert done.returncode == 1
    assert done.stdout.count("bad.jsonl:") == 1, "far down in the file: found when all rows are read"
    assert "and 1 more" in done.stdout
    root = tmp_path / ROOTS / "native"
    assert [name for name in folders(root) if name.startswith("path=")] == [
        "path=data-support.jsonl,rank=16",
        "path=data-support.jsonl,rank=8",
    ], "no half folder, and the others are there"
    assert [item["built"] for item in sweep_of(recipe)["points"]] == [True, True, False, False]
    assert sweep_of(recipe)["points"][2]["why_not"]


def test_nothing_that_was_changed_or_is_not_ours_is_overwritten(tmp_path: Path) -> None:
    recipe = put(tmp_path)
    matrix = ("--matrix", "method.rank=8,16")
    assert build(recipe, *matrix).returncode == 0
    root = tmp_path / ROOTS / "native"
    (root / "rank=8" / "plan.json").write_text("mine", encoding="utf-8")
    done = build(recipe, *matrix)
    assert done.returncode == 2
    assert "was changed after ftc wrote it" in done.stdout
    assert "built 1 of 2" in done.stdout
    assert (root / "rank=8" / "plan.json").read_text("utf-8") == "mine"
    assert [item["built"] for item in sweep_of(recipe)["points"]] == [False, True]
    assert build(recipe, *matrix, "--force").returncode == 0
    for name in ("sweep.md", "sweep.json"):
        was = (root / name).read_text("utf-8")
        (root / name).write_text("mine", encoding="utf-8")
        done = build(recipe, *matrix)
        assert done.returncode == 2
        assert name in done.stderr
        assert (root / name).read_text("utf-8") == "mine"
        (root / name).write_text(was, encoding="utf-8")
    assert build(recipe, *matrix).returncode == 0


def test_a_plain_build_beside_a_sweep_keeps_its_files(tmp_path: Path) -> None:
    recipe = put(tmp_path)
    assert build(recipe).returncode == 0
    root = tmp_path / ROOTS / "native"
    before = content(root)
    assert build(recipe, "--matrix", "method.rank=8,16").returncode == 0
    assert before.items() <= content(root).items()
    assert build(recipe).returncode == 0
    assert (root / "rank=8" / "train.py").is_file()


def test_a_name_that_is_set_is_the_sweeps(tmp_path: Path) -> None:
    recipe = put(tmp_path)
    assert build(recipe, "--set", "name=other", "--matrix", "method.rank=8,16").returncode == 0
    assert (tmp_path / "build" / "other" / "native" / "rank=8" / "train.py").is_file()


def test_stopped_in_the_middle_what_is_there_is_whole(tmp_path: Path) -> None:
    """A real Ctrl-C while hundreds of points are written."""
    recipe = put(tmp_path)
    values = ",".join(map(str, range(1, 401)))
    command = [sys.executable, "-m", "compiler.cli", "build", recipe.name, "--target", "native"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [*command, "--matrix", f"training.seed={values}"],
        cwd=tmp_path,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    root = tmp_path / ROOTS / "native"
    while not (root / "seed=3").is_dir():
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)  # it is still building
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    made = [path for path in root.iterdir() if path.is_dir()]
    assert 3 <= len(made) < 400
    assert all(path.name.startswith("seed=") and (path / "ftc.lock.json").is_file() for path in made), "no half folder"
    data = sweep_of(recipe)
    assert {item["point"] for item in data["points"] if item["built"]} == {path.name for path in made}
    assert len(data["points"]) == 400
