"""Completion as a user has it: TAB pressed in real bash, zsh and fish, on a terminal of their own.

A shell that is not installed is skipped; `make shells` wants all three.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest
from calls import ROOT, ftc

SHELLS = {
    "bash": (("--norc", "--noprofile", "-i"), "source <(command ftc completion bash)"),
    "zsh": (
        ("-f", "-i"),
        "autoload -Uz compinit; compinit -u -D; unsetopt promptsp; source <(command ftc completion zsh)",
    ),
    "fish": (("--no-config", "-i"), "command ftc completion fish | source"),
}
SHOW = {
    "bash": "ftc() { printf '<%s>' got \"$@\" end; echo; }",
    "zsh": "ftc() { printf '<%s>' got \"$@\" end; echo; }",
    "fish": "function ftc; printf '<%s>' got $argv end; echo; end",
}
"""A function that shows what a command line came to; the completion calls the program all the same."""
PROMPT = {"bash": "PS1='$ ' PS2=", "zsh": "PS1='$ '", "fish": "function fish_prompt; echo '$ '; end"}
QUIET = {"bash": "bind 'set bell-style none'; bind 'set enable-bracketed-paste off'", "zsh": "true", "fish": "true"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with recipes, a run, and an `ftc` as pip would install it."""
    program = tmp_path / "bin" / "ftc"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n")
    with program.open("a") as file:
        file.write("from compiler.cli import main\nmain()\n")
    program.chmod(0o755)
    work = tmp_path / "work"
    for name in (
        "alpha.ftc.yaml",
        "notes.txt",
        "my recipe.ftc.yaml",
        "sub/deep.ftc.yml",
        "outputs/tiny/summary.json",
        MINE,
    ):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text("")
    return work


Type = Callable[[str], list[str]]
MINE = "to do/in it/it's $1 x:y.ftc.yaml"


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, place: Path) -> Iterator[pexpect.spawn[str]]:
    """An interactive shell with completion switched on."""
    name: str = request.param
    program = shutil.which(name)
    if program is None:
        if os.environ.get("FTC_ALL_SHELLS"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    arguments, switch_on = SHELLS[name]
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "FTC_"))},
        "PATH": f"{place.parent / 'bin'}:{os.environ['PATH']}",
        "HOME": str(place.parent),
        "TERM": "dumb" if name != "fish" else "vt100",
        "HF_HUB_OFFLINE": "1",
    }
    child = pexpect.spawn(
        program, list(arguments), cwd=str(place), env=env, encoding="utf-8", timeout=20, dimensions=(60, 250)
    )
    child.delaybeforesend = None
    for line in (PROMPT[name], QUIET[name], switch_on, SHOW[name]):
        child.sendline(line)
    child.sendline("echo read''y")
    child.expect("ready")
    yield child
    child.close(force=True)


def came_to(shell: pexpect.spawn[str], typed: str) -> list[str]:
    """The words of the command line after these keys and Enter."""
    shell.send(f"{typed}\r")
    shell.expect("<got>(.*?)<end>")
    assert shell.match
    return re.findall("<(.*?)>", shell.match[1])


def test_what_is_alone_is_written_out(shell: pexpect.spawn[str]) -> None:
    assert came_to(shell, "ftc vali\talp\t") == ["validate", "alpha.ftc.yaml"]
    assert came_to(shell, "ftc plan su\tde\t") == ["plan", "sub/deep.ftc.yml"]
    assert came_to(shell, "ftc validate my\t") == ["validate", "my recipe.ftc.yaml"]
    assert came_to(shell, "ftc validate to\\ do/i\tit\t") == ["validate", MINE]
    assert came_to(shell, "ftc validate to\\ do/in\\ it/it\\'s\\ \t") == ["validate", MINE]
    assert came_to(shell, 'ftc validate "to do/in it/i\t') == ["validate", MINE]
    assert came_to(shell, "ftc validate 'my r\t") == ["validate", "my recipe.ftc.yaml"]
    assert came_to(shell, "ftc build alpha.ftc.yaml --target ll\t") == (
        ["build", "alpha.ftc.yaml", "--target", "llamafactory"]
    )


def test_words_with_equals_signs_and_versions(shell: pexpect.spawn[str]) -> None:
    assert came_to(shell, "ftc plan --set training.sched\tpol\t x")[:3] == [
        *("plan", "--set"),
        "training.scheduler=polynomial",
    ]
    assert came_to(shell, "ftc plan --target=axolotl@0.1\t") == ["plan", "--target=axolotl@0.17.0"]
    assert came_to(shell, "ftc plan --set '~data.vali\t") == ["plan", "--set", "~data.validation"]


def test_catalogs_codes_and_runs(shell: pexpect.spawn[str]) -> None:
    assert came_to(shell, "ftc validate --gpu a100-4\t") == ["validate", "--gpu", "a100-40gb"]
    assert came_to(shell, "ftc init --model tinyllama-1.1b-c\t") == ["init", "--model", "tinyllama-1.1b-chat"]
    assert came_to(shell, "ftc init --model Qwen/Qwen3-8B-\t") == ["init", "--model", "Qwen/Qwen3-8B-Base"]
    assert came_to(shell, "ftc explain ftc23\t9\t") == ["explain", "ftc239"]
    assert came_to(shell, "ftc merge outp\t\t")[1].rstrip("/") in ("outputs", "outputs/tiny")


def test_several_are_listed(shell: pexpect.spawn[str]) -> None:
    shell.send("ftc plan --set training.optimizer=adamw\t\t")
    shell.expect("adamw_8bit")
    shell.send("\x03")
    shell.send("ftc --\x03\r")


def test_what_is_wrong_is_met_with_silence(shell: pexpect.spawn[str]) -> None:
    assert came_to(shell, "ftc nonsense al\t") == ["nonsense", "al"]
    assert came_to(shell, "ftc validate nowhere/x\t") == ["validate", "nowhere/x"]
    assert came_to(shell, "ftc plan --set no.such=\t") == ["plan", "--set", "no.such="]


@pytest.mark.parametrize("name", SHELLS)
def test_the_script_is_printed_and_read_without_a_word(name: str, tmp_path: Path) -> None:
    done = ftc("completion", name)
    assert (done.returncode, done.stderr) == (0, "")
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    (tmp_path / "script").write_text(done.stdout)
    option = "--no-execute" if name == "fish" else "-n"
    checked = subprocess.run([program, option, str(tmp_path / "script")], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def offered(line: str, cwd: Path) -> list[str]:
    """What is offered, as fish gets it: with descriptions."""
    env = {**os.environ, "FTC_LINE": line, "_FTC_COMPLETE": "fish_complete", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [str(cwd.parent / "bin" / "ftc")], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_what_is_offered_is_described(place: Path) -> None:
    assert "validate\tFind everything wrong with recipes." in offered("ftc ", place)
    assert offered("ftc validate ", place) == ["alpha.ftc.yaml", "my recipe.ftc.yaml", "outputs/", "sub/", "to do/"]
    assert offered("ftc merge ", place)[0] == "outputs/tiny\ta run that has ended"
    assert "t4\tNVIDIA T4, 14.6 GiB" in offered("ftc plan --gpu ", place)
    assert any(line.startswith("all\t") for line in offered("ftc plan --gpu ", place))
    assert "training.\tHow it is trained." in offered("ftc plan --set ", place)
    assert any(line.startswith("FTC102\t") for line in offered("ftc explain ", place))
    assert "all" in offered("ftc validate --target ", place)
    assert "notes.txt" in offered("ftc plan --calibration ", place)
    assert offered("ftc validate 'my rec", place) == ["my recipe.ftc.yaml"]


def test_a_word_of_every_leaf_with_words_is_taken_by_validate(place: Path) -> None:
    """What is offered after --set leaf= can be written there."""
    for leaf in ("training.optimizer", "model.dtype", "data.shuffle", "method.kind", "evaluation.every"):
        words = [line.partition("\t")[0] for line in offered(f"ftc plan --set {leaf}=", place)]
        assert words
        assert all(word.startswith(f"{leaf}=") for word in words)
        done = ftc("validate", ROOT / "recipes" / "qwen2.5-0.5b-text-t4.ftc.yaml", "--set", words[-1])
        assert "FTC103" not in done.stdout
