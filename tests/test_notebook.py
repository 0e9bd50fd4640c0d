"""`ftc build --target unsloth --notebook`: a notebook that is valid, carries what it needs, and is the script."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from calls import ftc
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from backends.unsloth.notebook import DataFile, notebook
from compiler.build import Compiled, Options, compile_recipe
from compiler.notebook import EMBEDDED, NAME, with_notebook

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "llama3-8b-qlora-t4.ftc.yaml"
GOLDEN = Path(__file__).parent / "golden" / "llama3-8b-qlora-t4" / "notebook.json"
BASE = ROOT / "recipes" / "quickstart" / "base"
ELSEWHERE = ("--set", f"model.base={BASE}", "--set", "data.max_length=256")
ROW = b'{"text": "x"}\n'
ASKED = Options(target="unsloth", emit=True)
HEAD = "version: 1\nname: small\nmodel: {base: qwen2.5-0.5b}\nmethod: {kind: lora}\nhardware: {gpu: t4}\n"


def compiled(recipe: Path) -> Compiled:
    found = compile_recipe(recipe.name, recipe.read_text(), recipe.parent, ASKED)
    assert found.artifact, found.diagnostics
    return found


def made(recipe: Path) -> Any:
    """The notebook as Jupyter reads it, once it has found it valid."""
    found = compiled(recipe)
    assert found.artifact
    read = nbformat.reads(with_notebook(found.artifact, found, ASKED).files[NAME], as_version=4)
    nbformat.validate(read, relax_add_props=False)
    return read


def write(folder: Path, data: str, **files: str | bytes) -> Path:
    """A recipe with its data files."""
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    recipe = folder / "small.ftc.yaml"
    recipe.write_text(f"{HEAD}data: {{{data}, max_length: 128, validation: null}}\n")
    return recipe


def code(read: Any, which: Callable[[str], bool]) -> list[Any]:
    return [cell for cell in read.cells if cell.cell_type == "code" and which(cell.id)]


def written(read: Any, folder: Path) -> None:
    """Do what the cells that make folders and files do."""
    for cell in code(read, lambda _: True):
        first, _, rest = cell.source.partition("\n")
        if cell.id == "folders":
            exec(cell.source.replace("Path(", f"Path({str(folder)!r}, "), {})  # noqa: S102 - it is the test's own
        elif first.startswith("%%writefile "):
            (folder / first.split()[1]).write_text(rest + "\n", encoding="utf-8")


def test_golden(request: pytest.FixtureRequest) -> None:
    found = compiled(RECIPE)
    assert found.artifact
    text = with_notebook(found.artifact, found, ASKED).files[NAME]
    shown = json.loads(text)
    # Files of ftc are the script's own, which has them beside it: they would change with every edit.
    shown["cells"] = [cell for cell in shown["cells"] if not cell["id"].startswith("file-")]
    wanted = json.dumps(shown, indent=1, ensure_ascii=False) + "\n"
    if request.config.getoption("--write-golden"):
        GOLDEN.write_text(wanted)
    assert wanted == GOLDEN.read_text()
    assert str(ROOT) not in text
    assert with_notebook(found.artifact, found, ASKED).files[NAME] == text


def test_every_cell_is_python_and_named_once() -> None:
    read = made(RECIPE)
    assert len({cell.id for cell in read.cells}) == len(read.cells)
    for cell in code(read, lambda _: True):
        first, _, rest = cell.source.partition("\n")
        if not first.startswith("%"):
            ast.parse(cell.source)
        elif first.endswith(".py"):
            ast.parse(rest)
    assert read.metadata.colab.gpuType == "T4"


def test_it_is_the_script_in_pieces() -> None:
    """All but where its files and its data lie."""
    found = compiled(RECIPE)
    assert found.artifact
    script = found.artifact.files["train.py"].splitlines()
    cells = code(made(RECIPE), lambda name: name.startswith(("the-settings", "the-model", "the-data", "the-training")))
    lines = [line for cell in cells for line in cell.source.splitlines() if line]
    places = ("HERE = ", "OUT = ", "    source(path=", "# --- ")
    ours = [line for line in lines if not line.startswith(places)]
    theirs = [line for line in script if line and not line.startswith(places)]
    assert ours == theirs[theirs.index("# ruff: noqa: I001") :]


def test_small_data_is_in_it_and_comes_out_as_it_was(tmp_path: Path) -> None:
    rows = '{"text": "# no heading, %magic, \\u2028 {braces} $HOME"}\n{"text": "öäü \'\'\' \\"\\"\\" 数"}\n'
    recipe = write(tmp_path, "train: {path: a.jsonl}", a__jsonl=rows)
    there = tmp_path / "there"
    there.mkdir()
    written(made(recipe), there)
    assert (there / "dataset/train-1.jsonl").read_text("utf-8") == rows
    assert (there / "requirements.txt").read_text().count("unsloth==") == 1
    assert (there / "prepared.py").is_file()


def test_several_files_keep_their_order_and_their_rows(tmp_path: Path) -> None:
    recipe = write(tmp_path, "train: {path: '*.jsonl'}", b__jsonl='{"text": "b"}\n', a__jsonl='{"text": "a"}\n')
    there = tmp_path / "there"
    there.mkdir()
    read = made(recipe)
    written(read, there)
    found = sorted((there / "dataset/train-1").iterdir())
    assert [path.read_text() for path in found] == ['{"text": "a"}\n', '{"text": "b"}\n']
    assert "path='dataset/train-1/*'" in "".join(cell.source for cell in code(read, lambda _: True))


@pytest.mark.parametrize("content", [ROW * (EMBEDDED // 10), ROW.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + ROW])
def test_other_data_is_asked_for_and_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    recipe = write(tmp_path, "train: {path: a.jsonl}", a__jsonl=content)
    read = made(recipe)
    (upload,) = code(read, lambda name: name == "upload")
    assert not code(read, lambda name: name.startswith("data-"))
    there = tmp_path / "there"
    (there / "dataset").mkdir(parents=True)
    monkeypatch.chdir(there)
    with pytest.raises(FileNotFoundError, match=r"copy a\.jsonl to dataset/train-1\.jsonl"):
        exec(upload.source, {"Path": Path})  # noqa: S102
    (there / "dataset/train-1.jsonl").write_bytes(content)
    exec(upload.source, {"Path": Path})  # noqa: S102
    (there / "dataset/train-1.jsonl").write_bytes(content + b"\n")
    with pytest.raises(ValueError, match="another file than the recipe was planned with"):
        exec(upload.source, {"Path": Path})  # noqa: S102


def test_rows_of_the_hub_are_fetched_there(tmp_path: Path) -> None:
    read = made(write(tmp_path, "train: {path: some/data, format: text}"))
    assert not code(read, lambda name: name in ("folders", "upload") or name.startswith("data-"))


@given(st.text(), st.text())
def test_no_text_of_a_recipe_becomes_code_or_markup(name: str, system: str) -> None:
    found = compiled(RECIPE)
    assert found.plan
    assert found.artifact
    plan = replace(found.plan, name=name, data=replace(found.plan.data, system=system))
    data = [DataFile("dataset/train-1.jsonl", name, 1, "0", None)]
    read = nbformat.reads(notebook(plan, found.artifact, data, None), as_version=4)
    nbformat.validate(read)
    plain = nbformat.reads(notebook(found.plan, found.artifact, data, None), as_version=4)
    assert [cell.id for cell in read.cells] == [cell.id for cell in plain.cells]
    for cell, other in zip(read.cells, plain.cells, strict=True):
        if cell.cell_type == "code" and not cell.source.startswith("%"):
            kinds = [type(node) for node in ast.parse(cell.source).body]
            assert kinds == [type(node) for node in ast.parse(other.source).body]


def test_no_secret_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_geheimgeheim")
    assert "hf_geheimgeheim" not in nbformat.writes(made(RECIPE))


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--target", "native"), 2, "--notebook is for --target unsloth; native has none"),
        (("--target", "axolotl"), 2, "axolotl has none"),
        (("--target", "unsloth", "--set", "hardware.count=2"), 1, "a notebook trains on one card"),
        (
            ("--target", "unsloth", "--set", f"model.base={BASE}", "--set", "data.max_length=256"),
            1,
            "model.base is a folder",
        ),
    ],
)
def test_what_cannot_be_a_notebook_is_refused(tmp_path: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    out = tmp_path / "out"
    found = ftc("build", str(RECIPE), *arguments, "--notebook", "--out", str(out))
    assert (found.returncode, said in found.stderr) == (code, True), found.stderr
    assert not out.exists()


def test_it_is_written_beside_the_script_or_printed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = ftc("build", str(RECIPE), "--target", "unsloth", "--notebook", "--out", str(out))
    assert found.returncode == 0
    assert NAME in found.stdout
    assert {"train.py", NAME} <= {path.name for path in out.iterdir()}
    printed = ftc("build", str(RECIPE), "--target", "unsloth", "--notebook", "--stdout")
    assert printed.stdout == (out / NAME).read_text("utf-8")
