"""What becomes of bad rows: they are left out, alike natively and for every tool, or nothing is written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from test_data_command import BASE, SINGLE, chat, put, recipe
from test_data_figures import said

from backends.native.prepared import CODE
from compiler.cli import main
from compiler.data.recognise import LOOK

FILES = ("axolotl", "llamafactory")
"""Tools for which the rows are written when they are built. Unsloth's script prepares them as a native run does."""
TOOLS = (*FILES, "unsloth")
GPU = {"hardware": {"gpu": "a100-40gb"}, "model": {"base": str(BASE), "dtype": "float32"}}
"""A card that every tool trains on, and the type in which the base is stored."""
COUNT = 80
BAD: dict[int, Any] = {
    0: "{",
    17: {"messages": []},
    40: {"messages": [{"role": "user", "content": 5}]},
    41: [1],
    42: {"text": "x"},
    79: '{"messages": [{"role": "user", "con',
}
"""Row → what stands there."""


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


def build(path: Path, target: str, *options: str) -> Result:
    return CliRunner().invoke(main, ["build", str(path), "--target", target, "--out", target, *options])


def held(share: float | int, seed: int = 42) -> set[int]:
    """The rows that are kept for validation, bad ones among them: docs say that sha256 of "seed:row" decides."""
    scores = {row: int.from_bytes(sha256(f"{seed}:{row}".encode()).digest()[:8], "big") / 2**64 for row in range(COUNT)}
    if isinstance(share, float):
        return {row for row, score in scores.items() if score < share}
    return set(sorted(scores, key=scores.__getitem__)[:share])


def written(folder: str, part: str) -> list[dict[str, Any]]:
    text = (Path(folder) / "data" / f"{part}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


def native_rows(part: str) -> list[list[int]]:
    """Token ids of what a native run has prepared."""
    from datasets import Dataset

    (file,) = Path("outputs/.prepared").glob(f"*/{part}.arrow")
    return Dataset.from_file(str(file))["input_ids"][:]


def train(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "native/train.py", *options], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("share", [0.2, 12])
def test_left_out_alike_everywhere(share: float | int) -> None:
    """Bad rows keep their numbers, so that the same rows are kept for validation as if all were right."""
    from transformers import AutoTokenizer

    rows = [chat(number) for number in range(COUNT)]
    put([BAD.get(number, row) for number, row in enumerate(rows)])
    data = {"validation": share, "bad_rows": "drop"}
    chosen = held(share)
    assert chosen & BAD.keys()
    parts = {
        "train": [row for number, row in enumerate(rows) if number not in {*chosen, *BAD}],
        "validation": [row for number, row in enumerate(rows) if number in chosen - BAD.keys()],
    }
    path = recipe(data, **GPU)
    for tool in FILES:
        done = build(path, tool)
        assert done.exit_code == 0, done.output
        for part, wanted in parts.items():
            assert [{"messages": row["messages"]} for row in written(tool, part)] == wanted
    assert build(recipe(data), "native").exit_code == 0
    done = train("--dry-run")
    assert done.returncode == 0, done.stderr
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    for part, wanted in parts.items():
        told = json.loads(done.stdout)["rows"][part]
        assert (told["read"], told["bad"]) == (len(wanted) + told["bad"], told["bad"])
        assert native_rows(part) == [tokenizer.apply_chat_template(row["messages"])["input_ids"] for row in wanted]
    assert sum(part["bad"] for part in json.loads(done.stdout)["rows"].values()) == len(BAD)
    assert build(recipe(data, **GPU), "unsloth").exit_code == 0
    assert all(Path("unsloth", f"{name}.py").read_text() == Path("native", f"{name}.py").read_text() for name in CODE)


def test_weighted_rows_are_the_same_natively_and_for_tools() -> None:
    from transformers import AutoTokenizer

    rows = [chat(number) for number in range(60)]
    put([BAD.get(number, row) for number, row in enumerate(rows)])
    put([chat(number) for number in range(100, 140)], "more.jsonl")
    sources = [{**SINGLE, "weight": 1.5}, {**SINGLE, "path": "more.jsonl", "weight": 0.4}]
    data = {"train": sources, "validation": 0.1, "bad_rows": "drop"}
    assert build(recipe(data, **GPU), "axolotl").exit_code == 0
    assert build(recipe(data), "native").exit_code == 0
    assert train("--dry-run").returncode == 0
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    for part in ("train", "validation"):
        there = [tokenizer.apply_chat_template(row["messages"])["input_ids"] for row in written("axolotl", part)]
        assert native_rows(part) == there
    assert len(written("axolotl", "train")) not in (60, 100)


@pytest.mark.parametrize("target", [*TOOLS, "native"])
@pytest.mark.parametrize("validation", [0.2, None])
def test_nothing_is_written_where_rows_are_bad(target: str, validation: float | None) -> None:
    put([BAD.get(number, chat(number)) if number > LOOK else chat(number) for number in range(COUNT)])
    done = build(recipe({"validation": validation}, **GPU), target)
    assert done.exit_code == 1
    assert not Path(target).exists()
    assert not list(Path().glob(".*"))
    for line, code in ((41, "FTC516"), (42, "FTC511"), (43, "FTC513"), (80, "FTC510")):
        assert any(code in said and f"rows.jsonl:{line}: " in said for said in done.stderr.splitlines()), done.stderr
    assert "bad_rows = drop" in done.stderr


CALL = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "f"}}]}
UNPAIRED: dict[int, list[dict[str, Any]]] = {
    30: [said("user", "a"), said("user", "b"), said("assistant", "c")],
    31: [said("user", "a"), said("assistant", "b"), said("user", "c")],
    32: [said("assistant", "a"), said("user", "b")],
    33: [said("user", "a"), CALL, said("tool", "5"), said("assistant", "five")],
    34: [said("user", "a"), said("system", "b"), said("user", "c"), said("assistant", "d")],
}
PAIRED = [said("system", "s"), said("user", "a"), said("assistant", "b"), said("tool", "c"), said("assistant", "d")]


@pytest.mark.parametrize("validation", [0.2, None])
def test_what_llamafactory_would_leave_out_is_told_before(validation: float | None) -> None:
    rows = [{"messages": UNPAIRED[at]} if at in UNPAIRED else chat(at) for at in range(COUNT)]
    put([*rows, {"messages": PAIRED}])
    path = recipe({"validation": validation}, **GPU)
    done = build(path, "llamafactory")
    assert (done.exit_code, Path("llamafactory").exists()) == (1, False)
    assert f"FTC528, {len(UNPAIRED)} rows: " in done.stderr
    assert "rows.jsonl:31: the turns are no pairs" in done.stderr
    assert all(re.search(rf"\b{at + 1}\b", done.stderr) for at in UNPAIRED), done.stderr
    assert build(path, "axolotl").exit_code == 0
    done = build(path, "llamafactory", "--set", "data.bad_rows=drop")
    assert done.exit_code == 0, done.output
    assert f"FTC528, {len(UNPAIRED)} rows: " in done.stdout
    kept = [
        row for part in ("train", "validation")[: 1 + (validation is not None)] for row in written("llamafactory", part)
    ]
    assert len(kept) == COUNT - len(UNPAIRED) + 1


@pytest.mark.parametrize("target", [*TOOLS, "native"])
def test_a_damaged_file_is_not_left_out(target: str) -> None:
    text = json.dumps([chat(number) for number in range(30)])
    Path("rows.json").write_text(text[:-40], "utf-8")
    done = build(recipe({"train": {"path": "rows.json", "format": "messages"}, "bad_rows": "drop"}, **GPU), target)
    assert done.exit_code in (1, 2)
    assert not Path(target).exists()
    assert "rows.json" in done.output
    assert "damaged" in done.output


def test_a_native_run_stops_at_bad_rows() -> None:
    """What turned bad after the build is found when the run prepares its rows, and nothing is kept of them."""
    put([chat(number) for number in range(COUNT)])
    assert build(recipe({"validation": 0.2}), "native").exit_code == 0
    put([BAD.get(number, chat(number)) for number in range(COUNT)])
    done = train()
    assert (done.returncode, done.stdout) == (1, "")
    assert "6 rows cannot be trained on" in done.stderr
    assert f"{Path.cwd()}/rows.jsonl:42: a row must be a mapping" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(Path("outputs").rglob("*.arrow"))
