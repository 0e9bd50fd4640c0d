"""One recipe with twelve mistakes: all are reported in one pass, no others, each at its place, in every format."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

FILE = Path(__file__).parent / "twelve" / "twelve.ftc.yaml"
FAMILIES = {"source": "FTC0", "shape": "FTC1", "rule": "FTC2", "target": "FTC4", "data": "FTC5"}


def planted() -> list[tuple[int, int, str]]:
    """Line, column and family of every mistake, from the comments of the recipe itself."""
    lines = enumerate(FILE.read_text().splitlines(), start=1)
    found = [(number, re.search(r"# (source|shape|rule|target|data) (\d+)$", line)) for number, line in lines]
    return [(number, int(match[2]), FAMILIES[match[1]]) for number, match in found if match]


def validate(form: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "compiler.cli", "validate", str(FILE), "--target", "native", "--format", form]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])


def test_twelve_are_planted() -> None:
    assert len(planted()) == 12


def test_json_has_all_twelve_and_no_others() -> None:
    done = validate("json")
    report = json.loads(done.stdout)
    places = [(d["line"], d["column"], d["code"][:4]) for d in report["diagnostics"]]
    assert places == planted()
    assert done.returncode == 1
    assert (report["valid"], report["error_count"], report["warning_count"]) == (False, 12, 0)
    assert all(d["message"] and d["path"] and d["end_column"] > d["column"] for d in report["diagnostics"])


def test_annotations_have_all_twelve_and_no_others() -> None:
    done = validate("github")
    found = re.findall(
        r"^::error file=[^,]+,line=(\d+),(?:endLine=\d+,)?col=(\d+)[^:]*title=[^:]*(FTC\d)", done.stdout, re.M
    )
    assert [(int(line), int(column), code) for line, column, code in found] == planted()


def test_text_names_every_place() -> None:
    done = validate("text")
    places = re.findall(r"twelve\.ftc\.yaml:(\d+):(\d+): error (FTC\d)", done.stdout)
    assert [(int(line), int(column), code) for line, column, code in places] == planted()
