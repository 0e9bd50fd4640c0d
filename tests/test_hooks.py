"""The pre-commit hook and the GitHub Action: right by their own schemas, and run as pre-commit and a runner do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from calls import RECIPES, ROOT

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
STEPS = {step["id"]: step for step in ACTION["runs"]["steps"] if "id" in step}
HOOKS = ROOT / ".pre-commit-hooks.yaml"
GOOD = RECIPES / "llama3-8b-qlora-t4.ftc.yaml"
TOO_LARGE = RECIPES / "llama3.1-70b-qlora-rtx4090.ftc.yaml"


def called(*command: object, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )


def test_the_action_is_one_by_githubs_schema() -> None:
    done = called(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-actions", "action.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_hook_is_one_by_pre_commits_own_check(tmp_path: Path) -> None:
    done = called(sys.executable, "-m", "pre_commit", "validate-manifest", HOOKS, PRE_COMMIT_HOME=str(tmp_path))
    assert done.returncode == 0, done.stdout
    [hook] = yaml.safe_load(HOOKS.read_text())
    taken = re.compile(hook["files"])
    assert taken.search("recipes/a.ftc.yaml")
    assert taken.search("a.ftc.yml")
    assert not taken.search("a.yaml")
    assert not taken.search("a.ftc.yaml.bak")


def test_no_input_stands_in_a_script() -> None:
    """What a workflow hands in reaches the shell by its environment alone, where it is no code."""
    for step in STEPS.values():
        assert "${{" not in step["run"]
        assert called("bash", "-n", "-c", step["run"]).returncode == 0
    used = set(re.findall(r"inputs\.([\w-]+)", json.dumps(ACTION["runs"])))
    assert used == set(ACTION["inputs"])


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    """What a runner prepares, and an `ftc` as the first step installs it."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "ftc"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom compiler.cli import main\nmain()\n"
    )
    program.chmod(0o755)
    (tmp_path / "work").mkdir()
    return tmp_path


def step(name: str, runner: Path, inputs: dict[str, str], **more: str) -> subprocess.CompletedProcess[str]:
    """Run a step as a runner does: the script in a file, by `bash -eo pipefail`, expressions put in its environment."""
    values = {f"inputs.{key}": given["default"] for key, given in ACTION["inputs"].items()}
    values |= {f"inputs.{key}": value for key, value in inputs.items()}
    values |= {"steps.install.outputs.bin": str(runner / "bin"), "github.action_path": str(ROOT)}
    env = {
        key: re.sub(r"\$\{\{ (.+?) \}\}", lambda found: values[found[1]], text)
        for key, text in STEPS[name]["env"].items()
    }
    script = runner / f"{name}.sh"
    script.write_text(STEPS[name]["run"])
    return called(
        *("bash", "--noprofile", "--norc", "-eo", "pipefail", script),
        cwd=runner / "work",
        **env,
        **{"GITHUB_OUTPUT": str(runner / "output"), "RUNNER_TEMP": str(runner / "temp"), "HF_HUB_OFFLINE": "1"},
        **more,
    )


def output(runner: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (runner / "output").read_text().splitlines())


def test_recipes_are_annotated_and_the_exit_code_is_ftcs(runner: Path) -> None:
    done = step("validate", runner, {"paths": f"{GOOD}\n\n{TOO_LARGE}\r\n"})
    assert done.returncode == 3
    assert re.match(r"::error file=.*rtx4090.*FTC301::does not fit", done.stdout)
    assert output(runner) == {"exit-code": "3"}


def test_nothing_wrong_passes(runner: Path) -> None:
    done = step("validate", runner, {"paths": str(GOOD), "target": "native", "gpu": "a100-40gb", "format": "text"})
    assert done.returncode == 0, done.stderr
    assert "fits a100-40gb" in done.stdout


def test_the_folder_of_the_repository_is_the_default(runner: Path) -> None:
    done = step("validate", runner, {})
    assert done.returncode == 2
    assert "::error file=.,title=ftc::there is no recipe" in done.stdout


def test_sarif_is_written_beside(runner: Path) -> None:
    done = step("validate", runner, {"paths": str(TOO_LARGE), "sarif-file": "out.sarif"})
    assert done.returncode == 3
    log = json.loads((runner / "work" / "out.sarif").read_text())
    assert log["runs"][0]["results"][0]["ruleId"] == "FTC301"


def test_sarif_goes_into_a_folder_that_is_not_there_yet(runner: Path) -> None:
    done = step("validate", runner, {"paths": str(GOOD), "sarif-file": "reports/of it/out.sarif"})
    assert done.returncode == 0, done.stderr
    assert json.loads((runner / "work" / "reports" / "of it" / "out.sarif").read_text())["runs"][0]["results"] == []


def test_a_report_that_cannot_be_written_fails_the_step(runner: Path) -> None:
    (runner / "work" / "taken").mkdir()
    done = step("validate", runner, {"paths": str(GOOD), "sarif-file": "taken"})
    assert done.returncode != 0
    assert output(runner) == {"exit-code": "0"}


def test_usage_that_is_wrong_leaves_no_empty_report(runner: Path) -> None:
    done = step("validate", runner, {"paths": str(GOOD), "gpu": "zzz", "sarif-file": "out.sarif"})
    assert done.returncode == 2
    assert not (runner / "work" / "out.sarif").exists()


@pytest.mark.parametrize("evil", ["$(touch pwned)", "`touch pwned`", '"; touch pwned; "', "-h", "a b; touch pwned"])
@pytest.mark.parametrize("name", ["paths", "target", "gpu", "format"])
def test_inputs_are_never_run(runner: Path, name: str, evil: str) -> None:
    inputs = {"paths": str(GOOD), name: evil}
    assert step("validate", runner, inputs).returncode == 2
    assert not list((runner / "work").iterdir())


@pytest.mark.slow
def test_the_action_installs_what_it_came_with(runner: Path) -> None:
    """From the package index, into an environment of its own."""
    (runner / "temp").mkdir()
    assert step("install", runner, {}).returncode == 0
    assert (Path(output(runner)["bin"]) / "ftc").exists()
    done = called(Path(output(runner)["bin"]) / "ftc", "validate", GOOD, cwd=runner / "work", PYTHONPATH="")
    assert done.returncode == 0, done.stdout + done.stderr
    script = called(Path(output(runner)["bin"]) / "ftc", "completion", "zsh", cwd=runner / "work", PYTHONPATH="")
    assert script.stdout.startswith("#compdef ftc"), "what is no Python comes along"


@pytest.mark.slow
def test_pre_commit_runs_the_hook_on_staged_recipes(tmp_path: Path) -> None:
    """As somebody's repository would: installed from a commit of this one, in an environment of its own."""
    ours, theirs = tmp_path / "ftc", tmp_path / "theirs"
    assert called("git", "clone", "-q", ROOT, ours).returncode == 0
    for name in (".pre-commit-hooks.yaml",):  # as it is here, committed or not
        (ours / name).write_text((ROOT / name).read_text())
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org")
    called(*git, "add", "-A", cwd=ours)
    called(*git, "commit", "-q", "-m", "hook", "--no-verify", "--allow-empty", cwd=ours)
    theirs.mkdir()
    called(*git, "init", "-q", cwd=theirs)
    (theirs / "r.ftc.yaml").write_text(GOOD.read_text().replace("kind: qlora", "kind: qlora, rnak: 8"))
    (theirs / "other.yaml").write_text("no: recipe")
    called(*git, "add", "-A", cwd=theirs)
    done = called(
        *(sys.executable, "-m", "pre_commit", "try-repo", ours, "ftc-validate", "--all-files"),
        cwd=theirs,
        PRE_COMMIT_HOME=str(tmp_path / "home"),
        PYTHONPATH="",
        HF_HUB_OFFLINE="1",
    )
    assert done.returncode == 1
    assert 'unknown key "rnak"' in done.stdout
    assert "other.yaml" not in done.stdout
