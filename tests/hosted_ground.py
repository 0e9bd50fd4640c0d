"""Recipes and rows for models that their provider trains, and the artifacts of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

from compiler.cli import main

BASES = {"openai": "gpt-4o-mini-2024-07-18", "bedrock": "claude-3-haiku"}


def conversation(number: int) -> dict[str, Any]:
    """A row of two turns."""
    asked = f"What is {number} and {number}?"
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": f"It is {2 * number}."}]}


def write_rows(folder: Path, rows: Sequence[Mapping[str, Any]], name: str = "train.jsonl") -> None:
    """A file of rows."""
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def recipe(folder: Path, provider: str, **sections: Any) -> Path:
    """A recipe for the provider; sections are put in the place of the usual ones."""
    usual: dict[str, Any] = {
        "version": 1,
        "name": "sums",
        "model": {"base": BASES[provider]},
        "method": {"kind": "hosted"},
        "data": {"train": {"path": "train.jsonl"}, "validation": None},
    }
    file = folder / "sums.ftc.yaml"
    file.write_text(yaml.safe_dump({**usual, **sections}, sort_keys=False), encoding="utf-8")
    return file


def ftc(*arguments: object) -> Result:
    """A command, with what it printed."""
    return CliRunner().invoke(main, [str(item) for item in arguments])


def built(folder: Path, provider: str, count: int = 40, **sections: Any) -> Path:
    """An artifact of so many rows."""
    write_rows(folder, [conversation(number) for number in range(count)])
    out = folder / "out"
    done = ftc("build", recipe(folder, provider, **sections), "--target", provider, "--out", out)
    assert done.exit_code == 0, done.output
    return out
