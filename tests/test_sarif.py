"""`--format sarif`: valid by OASIS's own schema whatever was found, and of use to who reads it.

The schema comes with a package of npm: `make editor`, which installs it, demands it; without it the rest is tested.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from calls import RECIPES, ROOT, ftc
from jsonschema import Draft4Validator

SCHEMA_FILE = ROOT / "build/editor/node_modules/@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json"
DEMANDED = "FTC_SARIF_SCHEMA" in os.environ
SCHEMA = Draft4Validator(json.loads(SCHEMA_FILE.read_text()) if DEMANDED or SCHEMA_FILE.exists() else {})
BAD = sorted((ROOT / "tests" / "bad").glob("*.yaml"))
TOO_LARGE = RECIPES / "llama3.1-70b-qlora-rtx4090.ftc.yaml"
GOOD = RECIPES / "llama3-8b-qlora-t4.ftc.yaml"
MISSPELT = """\
version: 1
name: größe
model: {base: meta-llama/Llama-3.1-8B-Instrukt}
method:
  kind: lora
  "rnak": 8
  target_modules: [q_proj, v_porj]
data:
  train: {path: rows.jsonl, fromat: messages}
training: {scheduler: cosin}
"""


def report(*arguments: object, cwd: Path = ROOT, code: int) -> dict[str, Any]:
    """The log of one call, valid, with the exit code that other formats have."""
    done = ftc("validate", *arguments, "--format", "sarif", cwd=cwd)
    assert done.returncode == code
    log = json.loads(done.stdout)
    assert [error.message for error in SCHEMA.iter_errors(log)] == []
    [run] = log["runs"]
    return run


@pytest.mark.skipif(not SCHEMA.schema, reason="`make editor` installs the schema")
def test_the_schema_itself_refuses_what_is_wrong() -> None:
    assert list(SCHEMA.iter_errors({"version": "2.1.0", "runs": [{"tool": {}}]}))


def test_every_bad_recipe_gives_a_valid_log() -> None:
    run = report(*BAD, code=1)
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(rules) > 60
    assert rules == sorted({result["ruleId"] for result in run["results"]})
    for rule in run["tool"]["driver"]["rules"]:
        assert rule["shortDescription"]["text"]
        assert rule["fullDescription"]["text"]
        assert rule["help"]["text"].startswith(rule["id"])
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]


def test_for_every_target_too() -> None:
    run = report(*RECIPES.glob("*.ftc.yaml"), "--target", "all", "--gpu", "t4", code=1)
    assert {"FTC301", "FTC402"} <= {result["ruleId"] for result in run["results"]}


def test_what_does_not_fit_is_a_result() -> None:
    run = report(TOO_LARGE, code=3)
    [result] = [item for item in run["results"] if item["ruleId"] == "FTC301"]
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] > 1


def test_nothing_wrong_is_an_empty_list() -> None:
    run = report(GOOD, code=0)
    assert run["results"] == []
    assert run["invocations"] == [{"executionSuccessful": True}]


def test_what_was_not_read_is_said() -> None:
    run = report(GOOD, "nowhere.ftc.yaml", code=2)
    [invocation] = run["invocations"]
    assert not invocation["executionSuccessful"]
    assert "nowhere.ftc.yaml" in invocation["toolExecutionNotifications"][0]["message"]["text"]


def test_an_option_belongs_to_the_recipe_and_to_no_line() -> None:
    run = report(GOOD, "--set", "training.epochs=many", code=1)
    [result] = run["results"]
    assert result["message"]["text"].startswith("--set training.epochs=many: ")
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "recipes/llama3-8b-qlora-t4.ftc.yaml"
    assert "region" not in place


@pytest.mark.parametrize("name", ["a b#c%20.ftc.yaml", "größe:1?.ftc.yaml"])
def test_files_are_named_from_where_ftc_runs(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / name).write_text(MISSPELT)
    for given in (f"sub/{name}", f"./sub/../sub/{name}", tmp_path / "sub" / name):
        run = report(given, cwd=tmp_path, code=1)
        for result in run["results"]:
            where = result["locations"][0]["physicalLocation"]["artifactLocation"]
            assert where["uriBaseId"] in run["originalUriBaseIds"]
            assert unquote(where["uri"]) == f"sub/{name}"
            assert set(where["uri"]).isdisjoint(" #?ö")
    elsewhere = report(f"../{name}", cwd=_sibling(tmp_path, name), code=1)
    where = elsewhere["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert where == {"uri": (tmp_path / name).as_uri()}


def _sibling(folder: Path, name: str) -> Path:
    (folder / name).write_text(MISSPELT)
    (folder / "other").mkdir()
    return folder / "other"


def test_fixes_mend_what_they_are_for(tmp_path: Path) -> None:
    """Applied as an editor would, all at once, they take away the findings that they belong to."""
    file = tmp_path / "r.ftc.yaml"
    file.write_text(MISSPELT)
    results = report("r.ftc.yaml", cwd=tmp_path, code=1)["results"]
    fixed = [result for result in results if "fixes" in result]
    assert {result["message"]["text"].splitlines()[-1] for result in fixed} >= {
        'did you mean "rank"?',
        'did you mean "format"?',
        'did you mean "cosine"?',
    }
    lines = MISSPELT.splitlines()
    changes = [change for result in fixed for fix in result["fixes"] for change in fix["artifactChanges"]]
    replacements = [item for change in changes for item in change["replacements"]]
    for item in sorted(replacements, key=lambda item: -item["deletedRegion"]["startColumn"]):
        region = item["deletedRegion"]
        row = lines[region["startLine"] - 1]
        start, end = region["startColumn"] - 1, region["endColumn"] - 1
        lines[region["startLine"] - 1] = row[:start] + item["insertedContent"]["text"] + row[end:]
    assert '  "rank": 8' in lines
    file.write_text("\n".join(lines) + "\n")
    after = report("r.ftc.yaml", cwd=tmp_path, code=1)["results"]
    assert not {result["message"]["text"] for result in fixed} & {result["message"]["text"] for result in after}
