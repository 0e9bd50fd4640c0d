"""`make editor`: the schema in a real yaml-language-server (VS Code, Neovim, Helix, Zed and others run it).

Not collected by `make test`, which needs no Node: pytest is pointed at this file. The cases stand in cases.mjs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.recipe import Recipe

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SERVER = ROOT / "build/editor/node_modules/yaml-language-server/bin/yaml-language-server"
NODE = shutil.which("node") or ""
RECIPES = sorted((ROOT / "recipes").rglob("*.ftc.yaml"))
LINES = ("# yaml-language-server: $schema=", "# $schema: ")
Result = dict[str, Any]

BROKEN = """\
version: 1
name: support
model: {base: Qwen/Qwen3-8B}
method: {kind: qlroa}
data: {train: {path: data/train.jsonl}}
"""


def ftc(*arguments: str | Path) -> str:
    """What it prints; nothing where it refuses a recipe."""
    command = [sys.executable, "-m", "compiler.cli", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr.decode()
    return done.stdout.decode()


def probe(cases: Path, *schemas: Path) -> list[Result]:
    """The results of all cases, for each schema in turn; without one a file says itself which it wants."""
    named = [option for schema in schemas for option in ("--schema", str(schema))]
    command = [NODE, str(HERE / "yls_probe.mjs"), "--cases", str(cases), "--jobs", "40", "--json", *named]
    done = subprocess.run(
        command, env=os.environ | {"YLS": str(SERVER)}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert NODE, "node was not found: `make editor` needs Node 18 or newer"
    assert SERVER.exists(), "yaml-language-server is not installed: run `make editor`"
    path = tmp_path_factory.mktemp("schema") / "recipe.schema.json"
    path.write_text(ftc("schema"), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def cases(schema: Path) -> dict[str, Result]:
    return {result["name"]: result for result in probe(HERE / "cases.mjs", schema)}


def written(folder: Path, name: str, value: object) -> Path:
    path = folder / name
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_what_a_person_sees(cases: dict[str, Result]) -> None:
    failed = {name: result["failures"] for name, result in cases.items() if not result["ok"]}
    assert failed == {}
    assert len(cases) >= 100


def test_each_case_can_fail(cases: dict[str, Result], tmp_path: Path) -> None:
    """With pydantic's own schema, with one that allows all, or with one that allows nothing."""
    spoiled = [
        written(tmp_path, "pydantic.json", Recipe.model_json_schema()),
        written(tmp_path, "anything.json", {"title": "anything"}),
        written(tmp_path, "nothing.json", {"not": {}}),
    ]
    runs: list[Any] = probe(HERE / "cases.mjs", *spoiled)
    unmoved = set(cases).intersection(*({result["name"] for result in run if result["ok"]} for run in runs))
    assert unmoved == set()
    by_pydantic = sum(not result["ok"] for result in runs[0])
    assert by_pydantic > len(cases) * 2 // 3


def test_recipes_are_without_a_squiggle(schema: Path, tmp_path: Path) -> None:
    """Those of this repository, and the same with every default written out."""
    whole = [(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in RECIPES]
    whole += [(f"{name}, written out", ftc("config", ROOT / name)) for name, _ in whole]
    asked = [{"name": name, "yaml": text, "expect": {"diag_count": 0}} for name, text in whole if text]
    results = probe(written(tmp_path, "recipes.json", asked), schema)
    assert {result["name"]: result["failures"] for result in results if not result["ok"]} == {}
    assert len(results) >= 30


def broken(folder: Path, before: str = "") -> Path:
    folder.mkdir(parents=True)
    recipe = folder / "x.ftc.yaml"
    recipe.write_text(before + BROKEN, encoding="utf-8", newline="")
    return recipe


def checked(name: str, recipe: Path, found: int = 1) -> Result:
    """A case without a schema: what the recipe itself says is all that the server knows."""
    expected = {"diag_count": found, **({"diag_contains": ['"qlora"']} if found else {})}
    return {"name": name, "yaml_file": str(recipe), "expect": expected}


def test_a_recipe_says_which_schema(schema: Path, tmp_path: Path) -> None:
    """As `ftc schema RECIPE` writes it, by both comments and by either; as a key; and by nothing else."""
    befores = {"at the top": "", "before ---": "---\n", "before a comment": "# mine\n\n", "after a mark": "\ufeff"}
    asked: list[Result] = []
    for where, before in befores.items():
        for kept in ((0, 1), (0,), (1,)):
            recipe = broken(tmp_path / f"a folder, größe {where} {len(asked)}", before)
            ftc("schema", recipe)
            lines = recipe.read_bytes().decode().splitlines(keepends=True)
            assert [start in line for line, start in zip(lines, LINES, strict=False)] == [True, True]
            text = "".join(line for number, line in enumerate(lines) if number in kept or number >= len(LINES))
            recipe.write_bytes(text.encode())
            asked.append(checked(f"{where}, lines {kept}", recipe))
    elsewhere = broken(tmp_path / "elsewhere")
    ftc("schema", elsewhere, "--out", tmp_path / "my schemas" / "größe.json")
    by_key = broken(tmp_path / "by key", f"$schema: {schema}\n")
    asked += [checked("elsewhere", elsewhere), checked("by a key", by_key)]
    asked.append(checked("by nothing", broken(tmp_path / "by nothing"), 0))
    results = probe(written(tmp_path, "bound.json", asked))
    assert {result["name"]: result["failures"] for result in results if not result["ok"]} == {}
