"""Pages that promise something to programs: fields of the JSON, exit codes. Nothing is there that they do not name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from docs_pages import DOCS, ROOT, Reader

from compiler import exit as codes

RECIPES = ROOT / "recipes"
FITS = RECIPES / "llama3-8b-qlora-t4.ftc.yaml"
TOO_LARGE = RECIPES / "llama3.1-70b-qlora-a100-40gb.ftc.yaml"
MISTAKEN = DOCS / "examples" / "mistakes.ftc.yaml"
ELSEWHERE = {"settings", "as_planned", "reason"}
"""What differs in an alternative: named there as a whole."""


def told(heading: str) -> set[str]:
    """The fields in the tables under a heading of the JSON page."""
    text = (DOCS / "reference" / "json.md").read_text("utf-8")
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert section
    cells = re.findall(r"^\| (`.*?) \|", section[1], re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def printed(reader: Reader, line: str) -> dict[str, Any]:
    return json.loads(reader.run(line)[1])


def test_the_fields_of_validate_are_those_of_the_page(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "project")
    one = printed(reader, f"ftc validate {MISTAKEN} --format json")
    all_targets = printed(reader, f"ftc validate {FITS} --target all --format json")
    several = printed(reader, f"ftc validate {MISTAKEN} {FITS} --format json")
    found = set(one) | set(all_targets) | set(several) | {key for item in one["diagnostics"] for key in item}
    assert told("`ftc validate`") == found - {"format_version"}
    assert several["error_count"] == sum(result["error_count"] for result in several["results"]) > 0


def test_the_fields_of_plan_are_those_of_the_page(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "project")
    plan = printed(reader, f"ftc plan {TOO_LARGE} --format json --stack all")
    assert told("`ftc plan`") == set(plan) - {"format_version"}
    text = (DOCS / "reference" / "json.md").read_text("utf-8")
    inner = {key for part in ("decisions", "fixes", "alternatives") for item in plan[part] for key in item}
    inner |= {key for part in ("trained", "time", "cost") for key in plan[part]}
    assert [key for key in inner - ELSEWHERE if f"`{key}`" not in text] == []


def test_the_fields_of_a_footprint_are_those_of_the_page(tmp_path: Path) -> None:
    memory = printed(Reader(tmp_path / "project"), f"ftc plan {FITS} --format json")["memory"]
    assert told("The footprint") == set(memory)
    text = (DOCS / "reference" / "json.md").read_text("utf-8")
    assert [key for part in ("phases", "parts") for key in memory[part] if f"`{key}`" not in text] == []


def test_every_exit_code_is_explained() -> None:
    page = (DOCS / "reference" / "exit-codes.md").read_text("utf-8")
    rows = re.findall(r"^\| ([\d, ]+) \|", page, re.MULTILINE)
    said = {int(code) for row in rows for code in row.split(",")}
    ours = {value for name, value in vars(codes).items() if name.isupper() and isinstance(value, int)}
    assert said == ours
    order = re.search(r"the first of ([\d, ]+) is given", page)
    assert order
    assert [int(code) for code in order[1].split(",")] == list(codes.ORDER)
