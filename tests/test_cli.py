"""The command line through the real process: what is said, where, and the exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from calls import RECIPES, ROOT, ftc

from compiler.cli import COMMANDS

GOOD = RECIPES / "llama3-8b-qlora-t4.ftc.yaml"
TOO_LARGE = RECIPES / "llama3.1-70b-qlora-rtx4090.ftc.yaml"
QUICKSTART = RECIPES / "quickstart" / "quickstart.ftc.yaml"
MINIMAL = """\
version: 1
name: tiny
model: {base: llama-3.2-1b-instruct}
method: {kind: lora, target_modules: [q_proj, v_proj]}
data:
  train: {path: rows.jsonl}
  max_length: 512
hardware: {gpu: rtx-4090}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A valid recipe with forty rows beside it."""
    rows = [
        {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"{n}."}]}
        for n in range(40)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = tmp_path / "tiny.ftc.yaml"
    file.write_text(MINIMAL)
    return file


def changed(recipe: Path, old: str, new: str) -> Path:
    file = recipe.with_name("changed.ftc.yaml")
    file.write_text(MINIMAL.replace(old, new))
    return file


# --- exit codes


def test_0_a_valid_recipe(recipe: Path) -> None:
    done = ftc("validate", recipe)
    assert (done.returncode, done.stderr) == (0, "")
    assert "memory: fits rtx-4090" in done.stdout
    assert done.stdout.endswith("no problems found\n")


def test_0_without_a_gpu_nothing_is_compared(recipe: Path) -> None:
    done = ftc("validate", changed(recipe, "{gpu: rtx-4090}", "{}"))
    assert done.returncode == 0
    assert "memory: unknown, no GPU is named" in done.stdout


def test_1_a_mistake(recipe: Path) -> None:
    done = ftc("validate", changed(recipe, "kind: lora", "kind: lora, rnak: 8"))
    assert done.returncode == 1
    assert re.search(r'changed\.ftc\.yaml:4:22: error FTC102: .*"rnak"', done.stdout)
    assert "    |                      ^^^^" in done.stdout.replace("  4 |", "    |")
    assert 'did you mean "rank"?' in done.stdout


def test_1_broken_yaml(recipe: Path) -> None:
    assert ftc("validate", changed(recipe, "{kind: lora", "{kind: lora, [")).returncode == 1


def test_1_an_expression_that_is_none_whatever_the_target(recipe: Path) -> None:
    done = ftc("validate", changed(recipe, "[q_proj, v_proj]", '"re:.*("'), "--target", "all")
    assert (done.returncode, done.stdout.count("FTC212")) == (1, 1)


def test_1_a_refusal_of_the_target(recipe: Path) -> None:
    file = changed(recipe, "max_length: 512", "overlong: drop")
    assert ftc("validate", file).returncode == 0
    done = ftc("validate", file, "--target", "llamafactory")
    assert done.returncode == 1
    assert re.search(r"changed\.ftc\.yaml:7:\d+: error FTC40\d: LLaMA-Factory", done.stdout)
    lossy = ftc("validate", file, "--target", "llamafactory", "--allow-lossy")
    assert lossy.returncode == 0
    assert "warning FTC40" in lossy.stdout


@pytest.mark.parametrize("target", ["axolotl", "llamafactory", "unsloth"])
def test_1_a_method_is_never_left_out(recipe: Path, target: str) -> None:
    """Without it the tool would train every weight, in memory that nobody weighed."""
    file = changed(recipe, "kind: lora, target_modules: [q_proj, v_proj]", "kind: prefix_tuning")
    done = ftc("build", file, "--target", target, "--allow-lossy")
    assert done.returncode == 1
    found = re.findall(r"error FTC402: .*", done.stdout)
    assert len(found) == 1, "its leaves are not refused beside it"
    assert "kind cannot be prefix_tuning" in found[0]
    assert "not what is trained" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("validate",),
        ("validate", "nowhere.ftc.yaml"),
        ("validate", GOOD, "--format", "xml"),
        ("build", GOOD),
        ("build", GOOD, "--target", "mlx"),
        ("plan", GOOD, "--exactly"),
        ("explain", "FTC999"),
        ("nonsense",),
    ],
    ids=lambda arguments: " ".join(map(str, arguments[:1])),
)
def test_2_wrong_usage(arguments: tuple[object, ...]) -> None:
    done = ftc(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr


def test_2_not_utf_8(tmp_path: Path) -> None:
    file = tmp_path / "latin.ftc.yaml"
    file.write_bytes("name: caf\xe9".encode("latin-1"))
    done = ftc("validate", file)
    assert done.returncode == 2
    assert "not UTF-8" in done.stderr


def test_3_too_large() -> None:
    done = ftc("validate", TOO_LARGE)
    assert done.returncode == 3
    assert "does not fit rtx-4090" in done.stdout
    assert "cheapest changes" in done.stdout
    assert "hardware.gpu=" in done.stdout
    assert done.stdout.endswith("1 does not fit\n")


def test_4_a_model_that_is_not_there(recipe: Path) -> None:
    done = ftc("validate", changed(recipe, "llama-3.2-1b-instruct", "nobody/nothing"))
    assert done.returncode == 4
    assert '"nobody/nothing" was not found' in done.stdout


def test_several_at_once(recipe: Path) -> None:
    """The first of 2, 1, 4, 3; what can be said of the others is said all the same."""
    missing = recipe.with_name("missing.ftc.yaml")
    missing.write_text(MINIMAL.replace("llama-3.2-1b-instruct", "nobody/nothing"))
    wrong = changed(recipe, "kind: lora", "kind: lora, rnak: 8")
    assert ftc("validate", TOO_LARGE, recipe).returncode == 3
    assert ftc("validate", TOO_LARGE, missing).returncode == 4
    assert ftc("validate", TOO_LARGE, missing, wrong).returncode == 1
    done = ftc("validate", TOO_LARGE, missing, wrong, "nowhere.ftc.yaml")
    assert done.returncode == 2
    assert "rnak" in done.stdout
    assert "does not fit" in done.stdout
    assert "nowhere.ftc.yaml" in done.stderr


def test_2_a_full_disk(recipe: Path) -> None:
    command = f"{sys.executable} -m compiler.cli validate {recipe} > /dev/full"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "No space left" in done.stderr


# --- what is said


def test_validation_as_json(recipe: Path) -> None:
    done = ftc("validate", changed(recipe, "kind: lora", "kind: lora, rnak: 8"), "--format", "json")
    report = json.loads(done.stdout)
    assert (report["format_version"], report["valid"], report["error_count"], report["warning_count"]) == (
        1,
        False,
        1,
        0,
    )
    [found] = report["diagnostics"]
    assert set(found) == {
        *("code", "level", "message", "file", "line", "column", "end_line", "end_column", "path", "hint")
    }
    assert (found["line"], found["column"], found["end_line"], found["end_column"]) == (4, 22, 4, 26)
    assert found["path"] == "method.rnak"
    assert report["memory"] is None


def test_validation_of_several_as_json(recipe: Path) -> None:
    done = ftc("validate", recipe, changed(recipe, "kind: lora", "kind: lora, rnak: 8"), "--format", "json")
    report = json.loads(done.stdout)
    assert [result["valid"] for result in report["results"]] == [True, False]
    assert (report["valid"], report["error_count"]) == (False, 1)
    assert report["results"][0]["memory"]["verdict"] == "fits"


def test_validation_as_sarif(recipe: Path) -> None:
    done = ftc("validate", changed(recipe, "kind: lora", "kind: lora, rnak: 8"), "--format", "sarif")
    [run] = json.loads(done.stdout)["runs"]
    [result] = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "FTC102"
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("changed.ftc.yaml")
    assert place["region"] == {"startLine": 4, "startColumn": 22, "endLine": 4, "endColumn": 26}


def test_plan_as_json() -> None:
    report = json.loads(ftc("plan", GOOD, "--format", "json").stdout)
    assert set(report) == {
        *(
            "format_version",
            "recipe",
            "target",
            "tool",
            "stack",
            "plan",
            "decisions",
            "memory",
            "fixes",
            "time",
            "cost",
        ),
        "diagnostics",
        "trained",
    }
    memory = report["memory"]
    assert memory["device_gib"] == pytest.approx(sum(memory["parts"].values()), abs=0.01)
    assert memory["allocated_gib"] == max(memory["phases"].values())
    assert memory["low_gib"] <= memory["device_gib"] <= memory["high_gib"]
    assert {"path", "value", "because", "runner_up"} == set(report["decisions"][0])
    assert report["plan"]["hardware"]["gpu"] == "t4"


def test_fixes_are_settings_that_fit() -> None:
    report = json.loads(ftc("plan", TOO_LARGE, "--format", "json").stdout)
    assert report["fixes"]
    for fix in report["fixes"]:
        changes = [part for path, value in fix["set"].items() for part in ("--set", f"{path}={json.dumps(value)}")]
        assert fix["verdict"] == "fits"
        assert ftc("validate", TOO_LARGE, *changes).returncode == 0


def test_plan_compares_cards_and_stacks() -> None:
    report = json.loads(ftc("plan", GOOD, "--gpu", "all", "--stack", "all", "--format", "json").stdout)
    verdicts = {
        (item["stack"], item["gpu"]): item["memory"]["verdict"] for item in report["alternatives"] if item["memory"]
    }
    assert verdicts["native", "h200"] == "fits"
    assert {stack for stack, _ in verdicts} == {"native", "axolotl", "llamafactory", "unsloth", "peft"}
    text = ftc("plan", GOOD, "--gpu", "all")
    assert text.returncode == 0
    assert re.search(r"^ +\d+  h200 ", text.stdout, re.MULTILINE)


def test_a_change_on_the_command_line(recipe: Path) -> None:
    report = json.loads(ftc("plan", recipe, "--set", "training.learning_rate=1e-4", "--format", "json").stdout)
    assert report["plan"]["training"]["learning_rate"] == 1e-4
    wrong = ftc("validate", recipe, "--set", "training.epochs=many")
    assert wrong.returncode == 1
    assert "--set" in wrong.stdout
    assert "training.epochs=many" in wrong.stdout


def test_another_card_on_the_command_line() -> None:
    assert "does not fit t4" in ftc("validate", RECIPES / "qwen2.5-7b-lora-a100-40gb.ftc.yaml", "--gpu", "t4").stdout


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.ftc.yaml")), ids=lambda file: file.name.partition(".ftc")[0])
def test_config_means_the_same(file: Path, tmp_path: Path) -> None:
    before = json.loads(ftc("plan", file, "--format", "json").stdout)
    if before["plan"] is None:
        assert ftc("config", file).returncode == 1
        return
    spelled = ftc("config", file)
    assert spelled.returncode == 0, spelled.stderr
    written = tmp_path / "spelled.ftc.yaml"
    written.write_text(spelled.stdout)
    (tmp_path / "data").symlink_to(RECIPES / "data")
    after = json.loads(ftc("plan", written, "--format", "json").stdout)
    here, there = str(RECIPES), str(tmp_path)
    assert json.loads(json.dumps(after["plan"]).replace(there, here)) == before["plan"]
    assert yaml.safe_load(spelled.stdout)["training"]["optimizer"]


@pytest.mark.parametrize("target", ["axolotl", "llamafactory", "unsloth"])
def test_config_of_a_target_is_taken_by_it(recipe: Path, target: str) -> None:
    """Without --target, some written defaults are refused there."""
    asked = ("--target", target)
    before = json.loads(ftc("plan", recipe, *asked, "--format", "json").stdout)
    spelled = ftc("config", recipe, *asked)
    assert spelled.returncode == 0, spelled.stdout
    written = recipe.with_name("spelled.ftc.yaml")
    written.write_text(spelled.stdout)
    done = ftc("validate", written, *asked)
    assert done.returncode == 0, done.stdout
    assert json.loads(ftc("plan", written, *asked, "--format", "json").stdout)["plan"] == before["plan"]


def test_help_shows_every_command_once() -> None:
    said = ftc("--help").stdout
    shown = re.findall(r"^  ([a-z]+) {2,}\S", said, re.MULTILINE)
    assert sorted(shown) == sorted(COMMANDS)
    assert [line for line in said.splitlines()[1:] if len(line) > 100 or line.endswith("...")] == []


# --- building and running


@pytest.mark.parametrize("target", ["native", "axolotl", "llamafactory", "unsloth"])
def test_build_writes_everything(recipe: Path, target: str) -> None:
    done = ftc("build", recipe, "--target", target, cwd=recipe.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = recipe.parent / "build" / "tiny" / target
    assert f"built {recipe} for {target}: build/tiny/{target}" in done.stdout
    lock = json.loads((folder / "ftc.lock.json").read_text())
    assert {*lock["files"], "ftc.lock.json"} == {
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    }
    assert "README.md" in lock["files"]
    assert "requirements.txt" in lock["files"]
    assert "train with:" in done.stdout
    assert ("more that these read" in done.stdout) == (target in ("native", "unsloth")), "no wall of names"
    first = (folder / "ftc.lock.json").read_bytes()
    assert ftc("build", recipe, "--target", target, cwd=recipe.parent).returncode == 0
    assert (folder / "ftc.lock.json").read_bytes() == first


def test_build_to_the_screen_writes_nothing(recipe: Path) -> None:
    done = ftc("build", recipe, "--target", "axolotl", "--stdout", cwd=recipe.parent)
    assert done.returncode == 0
    assert yaml.safe_load(done.stdout)["base_model"]
    assert not (recipe.parent / "build").exists()


def test_build_keeps_what_a_person_changed(recipe: Path) -> None:
    out = recipe.parent / "out"
    ftc("build", recipe, "--target", "axolotl", "--out", out)
    (out / "config.yaml").write_text("# mine\n")
    refused = ftc("build", recipe, "--target", "axolotl", "--out", out)
    assert refused.returncode == 2
    assert "config.yaml" in refused.stderr
    assert (out / "config.yaml").read_text() == "# mine\n"
    assert ftc("build", recipe, "--target", "axolotl", "--out", out, "--force").returncode == 0
    assert "mine" not in (out / "config.yaml").read_text()


@pytest.mark.parametrize("command", [("build", "--target", "native"), ("run",)], ids=["build", "run"])
def test_what_does_not_fit_is_neither_built_nor_run(command: tuple[str, ...], tmp_path: Path) -> None:
    done = ftc(command[0], TOO_LARGE, *command[1:], cwd=tmp_path)
    assert done.returncode == 3
    assert "does not fit" in done.stdout
    assert not list(tmp_path.iterdir())
    assert ftc("build", TOO_LARGE, "--target", "native", "--ignore-memory", cwd=tmp_path).returncode == 0


def test_a_dry_run_builds_and_shows_the_command(recipe: Path) -> None:
    done = ftc("run", recipe, "--dry-run", cwd=recipe.parent)
    assert done.returncode == 0
    assert "cd build/tiny/native && python train.py" in done.stdout
    assert (recipe.parent / "build" / "tiny" / "native" / "train.py").exists()


def run_with(recipe: Path, says: str) -> subprocess.CompletedProcess[str]:
    """A shell script stands in for Axolotl, in an environment that is named."""
    tool = recipe.parent / "env" / "bin" / "axolotl"
    tool.parent.mkdir(parents=True)
    (tool.parent / "python").symlink_to(sys.executable)
    tool.write_text(f"#!/bin/sh\n{says}\n")
    tool.chmod(0o755)
    return ftc("run", recipe, "--target", "axolotl", cwd=recipe.parent, env={"VENV": str(recipe.parent / "env")})


def test_a_tool_runs_in_an_environment_that_is_named(recipe: Path) -> None:
    done = run_with(recipe, 'echo "$PWD: $*"')
    assert done.returncode == 0, done.stderr
    assert "build/tiny/axolotl: train config.yaml" in done.stdout


def test_a_tool_that_is_not_installed_is_1_with_its_last_lines(recipe: Path) -> None:
    done = ftc("run", recipe, "--target", "axolotl", cwd=recipe.parent, env={"VENV": str(recipe.parent / "none")})
    assert done.returncode == 1
    assert re.search(r"last lines:\n  VENV=\S+none has no bin/python", done.stderr)


def test_a_tool_that_fails_is_1_with_its_last_lines(recipe: Path) -> None:
    done = run_with(recipe, 'echo "CUDA out of memory"; exit 9')
    assert done.returncode == 1
    assert "exit code 9; its last lines:\n  CUDA out of memory" in done.stderr


def test_a_failed_run_is_1_with_its_last_lines(recipe: Path) -> None:
    """The base is not on this machine, so training stops right after the start."""
    done = ftc("run", recipe, cwd=recipe.parent)
    assert done.returncode == 1
    assert "training ended with exit code" in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run(recipe: Path, tmp_path: Path, number: signal.Signals, code: int) -> None:
    """A tool of another name stands in for training: it says that it runs, and waits."""
    tool = tmp_path / "bin" / "axolotl"
    tool.parent.mkdir()
    tool.write_text(f"#!{sys.executable}\nimport signal\nprint('running', flush=True)\nsignal.pause()\n")
    tool.chmod(0o755)
    (tool.parent / "python").symlink_to(sys.executable)
    runner = subprocess.Popen(
        [sys.executable, "-m", "compiler.cli", "run", str(recipe), "--target", "axolotl"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "VENV": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert runner.stdout
    while runner.stdout.readline() != "running\n":
        assert runner.poll() is None
    runner.send_signal(number)
    _, err = runner.communicate()
    assert runner.returncode == code
    assert "Traceback" not in err.partition("KeyboardInterrupt")[2]


def test_a_fresh_run_has_a_name_of_its_own(recipe: Path) -> None:
    (recipe.parent / "outputs" / "tiny").mkdir(parents=True)
    (recipe.parent / "outputs" / "tiny-2").mkdir()
    done = ftc("run", recipe, "--fresh", "--dry-run", cwd=recipe.parent)
    assert done.returncode == 0
    assert "to go on with it later, write --set name=tiny-3 in the place of --fresh\n" in done.stderr
    lock = json.loads((recipe.parent / "build" / "tiny-3" / "native" / "ftc.lock.json").read_text())
    assert lock["plan"]["output"]["dir"] == str(recipe.parent / "outputs" / "tiny-3")


# --- the rest


@pytest.mark.parametrize("command", ["targets", "models", "gpus"])
def test_tables(command: str) -> None:
    text = ftc(command)
    data = json.loads(ftc(command, "--format", "json").stdout)
    assert text.returncode == 0
    assert data["format_version"] == 1
    assert len(data[command]) >= 4
    assert all(item["name"] in text.stdout for item in data[command])


@pytest.mark.parametrize(
    ("code", "hint"),
    [("102", "did you mean FTC102?"), ("FTC-11", "did you mean FTC011?"), ("FTC999", "lists them all")],
)
def test_2_a_code_that_is_none_is_taken_for_no_other(code: str, hint: str) -> None:
    done = ftc("explain", code)
    assert done.returncode == 2
    assert hint in done.stderr


def test_explain() -> None:
    done = ftc("explain", "ftc102")
    assert done.returncode == 0
    assert done.stdout.startswith("FTC102")


def test_colour_only_where_it_is_wanted(recipe: Path) -> None:
    assert "\x1b[" not in ftc("validate", recipe).stdout
    assert "\x1b[" in on_terminal("validate", str(recipe))
    assert "\x1b[" not in on_terminal("validate", str(recipe), NO_COLOR="1")


def on_terminal(*arguments: str, **variables: str) -> str:
    """What `ftc` writes to a terminal."""
    leader, follower = os.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "compiler.cli", *arguments],
        cwd=ROOT,
        env={**{name: value for name, value in os.environ.items() if name != "NO_COLOR"}, "TERM": "xterm", **variables},
        stdout=follower,
        check=True,
    )
    assert done.returncode == 0
    os.close(follower)
    with os.fdopen(leader, "rb", buffering=0) as screen:
        return screen.read(1 << 16).decode()


def test_a_reader_that_leaves_early() -> None:
    command = f"{sys.executable} -m compiler.cli gpus | head -n 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("name")
    assert done.stderr == ""
