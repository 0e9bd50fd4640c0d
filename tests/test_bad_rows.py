"""Every mistake in training rows at its place: the files of tests/bad_rows say in their names what is wrong, and where.

`FTC516.3.content-null.jsonl`: FTC516 in line 3 (in Parquet row 3), and nothing else. `FTC510.2.3.…`: in two lines.
`FTC542.3+FTC532.3.…`: two codes, where one cannot be without the other. `FTC553.train.…`: at that leaf of the recipe.
Each folder has the recipe that its files need, with ROWS in the place of their path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from calls import ROOT, ftc
from click.testing import CliRunner, Result

from compiler.build import Options, compile_recipe
from compiler.cli import main
from compiler.codes import pages
from compiler.errors import FtcError
from compiler.exit import INVALID, USAGE
from compiler.prepare import check

BAD = Path(__file__).parent / "bad_rows"
FILES = sorted(BAD.glob("*/FTC*"))
CODE = re.compile(r"(FTC\d{3})((?:\.(?:\d+|train|validation)(?=[.+]))+)")
ESTIMATED = "FTC536"
"""Told as a share of all rows, never of one: tests/test_data_command.py."""
OF_FILES = "FTC526"
OF_NO_ROW = {"FTC527", "FTC528", "FTC554"}
"""Of datasets, targets and tokenizers: tests/test_data_command.py, test_bad_rows_left_out.py."""
OF_TOKENS = ("FTC523", "FTC524", "FTC525")
"""Errors that are not seen without a tokenizer, and so not by a build."""


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def name(file: Path) -> str:
    return f"{file.parent.name}/{file.name}"


def expected(file: Path) -> list[tuple[str, str]]:
    """Code and line, or leaf, of everything that is wrong."""
    return sorted((code, at) for code, places in CODE.findall(file.name) for at in places[1:].split("."))


def codes(file: Path) -> set[str]:
    return {code for code, _ in expected(file)}


def of_level(file: Path, level: str) -> set[str]:
    return {code for code in codes(file) if pages()[code].level == level}


def arguments(file: Path, *options: str) -> tuple[str, ...]:
    recipe = file.parent / "recipe.yaml"
    (leaf,) = leaves(yaml.safe_load(recipe.read_text("utf-8")))
    return ("data", str(recipe), "--set", f"{leaf}={file.name}", *options)


def leaves(section: dict[str, Any], before: str = "") -> Iterator[str]:
    """The leaf that names the file."""
    for key, value in section.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{before}{key}.")
        elif value == "ROWS":
            yield f"{before}{key}"


@cache
def run(file: Path, *options: str) -> Result:
    return CliRunner().invoke(main, arguments(file, *options))


def told(file: Path, *options: str) -> dict[str, Any]:
    done = run(file, "--format", "json", *options)
    assert not done.stderr, done.stderr
    return json.loads(done.stdout)


def found(data: dict[str, Any]) -> list[tuple[str, str]]:
    """Code and line, or leaf, of everything that is told."""
    said = [(item["code"], item["path"].removeprefix("data.")) for item in data["diagnostics"]]
    for item in data["findings"]:
        first = str(item["line"] or item["row"])
        assert item["rows"] == 1 + len(item["more"])
        said += [(item["code"], at) for at in (first, *(re.split(r":|row ", more)[-1] for more in item["more"]))]
    return sorted(said)


@pytest.mark.parametrize("file", FILES, ids=name)
def test_every_mistake_at_its_place_and_no_others(file: Path) -> None:
    assert found(told(file)) == expected(file)


@pytest.mark.parametrize("file", FILES, ids=name)
def test_level_message_and_exit_code(file: Path) -> None:
    data = told(file)
    errors, warnings = of_level(file, "error"), of_level(file, "warning")
    for item in (*data["diagnostics"], *data["findings"]):
        assert item["level"] == pages()[item["code"]].level
        assert item["message"]
        assert not item["message"].endswith(".") or item["code"] == OF_FILES
        assert "/" not in item["message"] or item["code"] in ("FTC535", "FTC537")
    assert (data["valid"], data["error_count"], data["warning_count"]) == (not errors, len(errors), len(warnings))
    code = USAGE if OF_FILES in errors else INVALID if errors else 0
    assert run(file, "--format", "json").exit_code == code


@pytest.mark.parametrize("file", FILES, ids=name)
def test_a_person_reads_the_same(file: Path) -> None:
    said = run(file, "--rows", "0").stdout
    levels = re.findall(r": (error|warning) (FTC\d{3})\b", said)
    assert sorted(levels) == sorted((pages()[code].level, code) for code in codes(file))
    for code, at in expected(file):
        place = f", row {at}" if file.suffix == ".parquet" else f":{at}"
        here = re.escape(name(file) + place) if at.isdigit() else r"recipe\.yaml:\d+:\d+"
        assert re.search(rf"{here}: \w+ {code}\b|also .*\b{at}\b", said), said


BAD_ROWS = [file for file in FILES if of_level(file, "error") and OF_FILES not in codes(file)]


@pytest.mark.parametrize("file", BAD_ROWS, ids=name)
def test_rows_that_are_left_out_are_warnings(file: Path) -> None:
    """But where no row is left there is nothing to train."""
    data = told(file, "--rows", "0", "--set", "data.bad_rows=drop")
    kept = {part: figures["kept"] for part, figures in data["parts"].items()}
    assert {item["level"] for item in data["findings"]} <= {"warning"}
    assert set(found(data)) >= set(expected(file))
    assert {code for code, _ in found(data)} - codes(file) <= {"FTC550"}
    assert data["valid"] == (all(kept.values()) and "FTC551" not in codes(file))
    assert run(file, "--format", "json", "--rows", "0", "--set", "data.bad_rows=drop").exit_code == 1 - data["valid"]


@pytest.mark.parametrize("file", FILES, ids=name)
def test_a_build_refuses_the_same_rows(file: Path) -> None:
    """What it says names every place, up to a file that cannot be read."""
    recipe = file.parent / "recipe.yaml"
    text = recipe.read_text("utf-8").replace("ROWS", file.name)
    plan = compile_recipe(str(recipe), text, file.parent, Options()).plan
    assert plan
    bad = [(code, at) for code, at in expected(file) if code < "FTC530" and code not in OF_TOKENS]
    if not bad:
        check(plan, lambda _: None, paired=False)
        return
    with pytest.raises(FtcError) as caught:
        check(plan, lambda _: None, paired=False)
    assert caught.value.exit_code == (USAGE if OF_FILES in codes(file) else INVALID)
    for code, at in bad:
        place = f", row {at}" if file.suffix == ".parquet" else f":{at}"
        named = code == OF_FILES or re.search(
            rf"{code}, .*({re.escape(file.name + place)}|also .*\b{at}\b)", str(caught.value)
        )
        assert named, caught.value
    assert file.name in str(caught.value)


REAL = (
    "messages/FTC516.3.content-null.jsonl",
    "messages/FTC526.3.cut-off.json",
    "messages/FTC530.3.two-of-user.jsonl",
    "template_in_turns/FTC523.3+FTC530.3.two-of-user.jsonl",
    "text/FTC512.3.latin-1.txt",
)


@pytest.mark.parametrize("which", REAL)
def test_the_command_itself_says_the_same(which: str) -> None:
    file = BAD / which
    done = ftc(*arguments(file, "--format", "json"), cwd=ROOT)
    alone = run(file, "--format", "json")
    assert (done.returncode, done.stdout) == (alone.exit_code, alone.stdout)
    assert not done.stderr


def test_every_code_is_planted_somewhere() -> None:
    planted = {code for file in FILES for code in codes(file)}
    assert planted == {code for code in pages() if "FTC510" <= code < "FTC600"} - {ESTIMATED, *OF_NO_ROW}
    assert len(FILES) >= 75
