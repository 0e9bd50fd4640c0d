"""The house rules that a machine can check: which way imports go, how large things are, what a command may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from backends.emission import PREPARES
from backends.native import SCRIPTS

ROOT = Path(__file__).parents[1]
ROOMS = ("schemas", "backends", "compiler")
"""Each may import from itself and from those before it."""
EMITTED = ROOT / "backends" / "native"
TRACE = ROOT / "compiler" / "trace"
"""Runs the libraries' own training step, and is imported inside functions only."""
AFTER = ROOT / "compiler" / "after"
"""Loads models, and is imported likewise."""
HEAVY = ("torch", "transformers", "peft", "trl", "datasets", "accelerate", "bitsandbytes")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import of {node.module}"
            yield node.module or ""


def emitted(path: Path) -> bool:
    """Whether it is copied into artifacts, and so no part of ftc at run time."""
    return path.parent == EMITTED and path.name in (*SCRIPTS, *PREPARES)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    used = {name.partition(".")[0] for name in imports(ast.parse(path.read_text(encoding="utf-8")))}
    room = path.relative_to(ROOT).parts[0]
    if emitted(path):
        ours = {name for name in imports(ast.parse(path.read_text(encoding="utf-8"))) if name.startswith(ROOMS)}
        assert all(name.startswith("backends.native.") for name in ours), "emitted scripts need nothing of ftc"
        return
    assert not used & set(ROOMS[ROOMS.index(room) + 1 :])
    if path.parent not in (TRACE, AFTER):
        assert not used & set(HEAVY)


def test_files_are_small() -> None:
    lines = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > 300} == {}
    assert median(count for count in lines.values() if count) <= 120


def test_functions_are_small() -> None:
    sizes = dict(item for path in MODULES for item in functions(path))
    assert {name: size for name, size in sizes.items() if size > 60} == {}
    ordered = sorted(sizes.values())
    assert median(ordered) <= 10
    assert ordered[len(ordered) * 9 // 10] <= 30


def loaded(*arguments: str) -> set[str]:
    """Top-level packages that a command loads."""
    command = [sys.executable, "-X", "importtime", "-m", "compiler.cli", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("validate", "recipes/quickstart/quickstart.ftc.yaml"),
        ("plan", "recipes/llama3-8b-qlora-t4.ftc.yaml"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_loads_little(arguments: tuple[str, ...]) -> None:
    assert not loaded(*arguments) & {*HEAVY, "jinja2", "rich"}


def test_a_tokenizer_beside_the_base_is_asked_without_heavy_packages() -> None:
    """`tokenizers` and jinja2 count its tokens in milliseconds."""
    found = loaded("plan", "recipes/quickstart/quickstart.ftc.yaml")
    assert not found & {*HEAVY, "rich", "numpy"}
    assert "tokenizers" in found


def test_versions_are_pinned_once() -> None:
    names = [
        line.partition("==")[0].lower()
        for file in ("constraints.txt", "backends/native/requirements.txt")
        for line in (ROOT / file).read_text(encoding="utf-8").splitlines()
        if "==" in line
    ]
    assert len(names) == len(set(names))
