"""Nothing of a recipe runs as code, nothing leaves the artifact's folder, no secret of the environment is written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from calls import ftc

from backends import TARGETS
from schemas.artifact import Target

SECRETS = {
    "HF_TOKEN": "hf_a-secret-of-this-test",
    "WANDB_API_KEY": "wandb-secret-of-this-test",
    "AWS_SECRET_ACCESS_KEY": "aws-secret-of-this-test",
    "OPENAI_API_KEY": "sk-secret-of-this-test",
}
RECIPE = """\
version: 1
name: {name}
model: {{base: Qwen/Qwen2.5-0.5B-Instruct}}
method: {{kind: lora}}
data: {{train: {{path: rows.jsonl, format: messages}}, validation: 2}}
training: {{loss: {loss}, global_batch_size: 4}}
logging: {{to: [wandb, mlflow, tensorboard], project: {project}}}
output: {{dir: {out}}}
hardware: {{gpu: l40s}}
"""
ROW = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
NASTY = "$(touch pwned) `touch pwned` '; touch pwned #\" \\ {{ 7 * 7 }} %s ✓"


def write(folder: Path, name: str = "safe", project: str = "chats", out: str = "outputs", loss: str = "auto") -> Path:
    (folder / "rows.jsonl").write_text(f"{json.dumps(ROW)}\n" * 20)
    recipe = folder / "recipe.ftc.yaml"
    recipe.write_text(RECIPE.format(name=name, project=json.dumps(project), out=json.dumps(out), loss=loss))
    return recipe


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("target", TARGETS)
def test_no_secret_of_the_environment_is_written_or_said(tmp_path: Path, target: Target) -> None:
    recipe = write(tmp_path)
    said = [
        ftc("build", recipe, "--target", target, cwd=tmp_path, env=SECRETS),
        ftc("run", recipe, "--target", target, "--dry-run", cwd=tmp_path, env=SECRETS),
        ftc("plan", recipe, "--format", "json", cwd=tmp_path, env=SECRETS),
    ]
    assert [done.returncode for done in said] == [0, 0, 0], said[0].stderr
    written = [path.read_text() for path in (tmp_path / "build").rglob("*") if path.is_file()]
    assert written
    everything = "".join([*written, *(done.stdout + done.stderr for done in said)])
    assert not [name for name, secret in SECRETS.items() if secret in everything]


@pytest.mark.parametrize("name", ["../../x", "/x", "a/b", "..", "a b", "a\\nb"])
def test_a_name_that_would_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, name=f'"{name}"')
    before = tree(tmp_path)
    done = ftc("build", "recipe.ftc.yaml", "--target", "axolotl", cwd=tmp_path)
    assert done.returncode == 1
    assert "recipe.ftc.yaml:2:7" in done.stdout
    assert tree(tmp_path) == before


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("out", ["../elsewhere", "{tmp}/far/away"])
def test_building_writes_only_into_the_artifact(tmp_path: Path, out: str, target: Target) -> None:
    """Results go where the recipe says, when it is run; building makes nothing there."""
    work = tmp_path / "work"
    work.mkdir()
    write(work, out=out.format(tmp=tmp_path))
    before = tree(tmp_path)
    done = ftc("build", "recipe.ftc.yaml", "--target", target, cwd=work)
    assert done.returncode == 0, done.stdout + done.stderr
    new = tree(tmp_path) - before
    assert all(path.startswith("work/build") for path in new)


@pytest.mark.parametrize("target", ["axolotl", "llamafactory", "unsloth"])
def test_values_reach_a_tool_as_text(tmp_path: Path, target: Target) -> None:
    """A tool that only says what it was told stands in for the real one; the shell must not read the value."""
    env = tmp_path / "env" / "bin"
    env.mkdir(parents=True)
    for name in ("axolotl", "llamafactory-cli", "python"):
        (env / name).write_text(f'#!{sys.executable}\nimport os\nprint("told", os.environ.get("WANDB_PROJECT"))\n')
        (env / name).chmod(0o755)
    recipe = write(tmp_path, project=NASTY, loss="chunked" if target == "unsloth" else "auto")
    done = ftc("run", recipe, "--target", target, cwd=tmp_path, env={"VENV": str(env.parent)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"told {NASTY if target == 'llamafactory' else None}" in done.stdout
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("target", TARGETS)
def test_an_artifact_is_the_same_byte_for_byte(tmp_path: Path, target: Target) -> None:
    recipe = write(tmp_path)
    for out, seed in (("one", "0"), ("two", "1")):
        env = {"PYTHONHASHSEED": seed, "TZ": f"UTC{seed}"}
        done = ftc("build", recipe, "--target", target, "--out", out, cwd=tmp_path, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
    one, two = (
        {
            str(path.relative_to(tmp_path / out)): path.read_bytes()
            for path in (tmp_path / out).rglob("*")
            if path.is_file()
        }
        for out in ("one", "two")
    )
    assert one == two
    assert "ftc.lock.json" in one
