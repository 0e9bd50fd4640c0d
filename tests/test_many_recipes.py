"""`ftc validate` given many recipes: folders, patterns, `--format github`, and `--watch` by a real process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pexpect
import pytest
from calls import RECIPES, ROOT, ftc

from compiler.report.github import github
from compiler.watching import CLEAR
from schemas.diagnostic import WHOLE_FILE, Diagnostic, Span

GOOD = """\
version: 1
name: tiny
model: {base: llama-3.2-1b-instruct}
method: {kind: lora}
data: {train: {path: rows.jsonl}, max_length: 512}
hardware: {gpu: rtx-4090}
"""
BAD = GOOD.replace("kind: lora", "kind: lora, rnak: 8")
ROW = json.dumps({"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "."}]}) + "\n"


def put(folder: Path, name: str, text: str = GOOD) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    (path.parent / "rows.jsonl").write_text(ROW)
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Recipes in several folders, some of which are not to be looked into."""
    for name in ("b.ftc.yaml", "a.ftc.yml", "sub/c.ftc.yaml", "sub/deeper/d.ftc.yaml"):
        put(tmp_path, name)
    for name in (".hidden/x.ftc.yaml", "build/x.ftc.yaml", "sub/outputs/x.ftc.yaml", "notes.yaml", ".x.ftc.yaml"):
        put(tmp_path, name, BAD)
    (tmp_path / "empty").mkdir()
    return tmp_path


def seen(*arguments: object, cwd: Path) -> list[str]:
    """The files that were judged, in order."""
    report = json.loads(ftc("validate", *arguments, "--format", "json", cwd=cwd).stdout)
    return [item["file"] for item in report.get("results", [report])]


def test_a_folder_stands_for_the_recipes_below_it(tree: Path) -> None:
    assert seen(".", cwd=tree) == ["./a.ftc.yml", "./b.ftc.yaml", "./sub/c.ftc.yaml", "./sub/deeper/d.ftc.yaml"]
    assert seen("sub", cwd=tree) == ["sub/c.ftc.yaml", "sub/deeper/d.ftc.yaml"]
    assert seen("build", cwd=tree) == ["build/x.ftc.yaml"], "what is named is looked into"


def test_each_recipe_once(tree: Path) -> None:
    assert seen("b.ftc.yaml", ".", "./b.ftc.yaml", tree / "b.ftc.yaml", cwd=tree) == [
        "b.ftc.yaml",
        "./a.ftc.yml",
        "./sub/c.ftc.yaml",
        "./sub/deeper/d.ftc.yaml",
    ]


def test_patterns_that_no_shell_has_written_out(tree: Path) -> None:
    assert seen("*.ftc.y*ml", cwd=tree) == ["a.ftc.yml", "b.ftc.yaml"]
    assert seen("**/d.ftc.yaml", cwd=tree) == ["sub/deeper/d.ftc.yaml"]
    assert seen("s*", cwd=tree) == ["sub/c.ftc.yaml", "sub/deeper/d.ftc.yaml"]


def test_a_file_with_a_bracket_in_its_name_is_a_file(tmp_path: Path) -> None:
    put(tmp_path, "run[1].ftc.yaml")
    assert seen("run[1].ftc.yaml", cwd=tmp_path) == ["run[1].ftc.yaml"]


@pytest.mark.parametrize(
    ("given", "said"),
    [("empty", 'no recipe in the folder "empty"'), ("*.toml", 'nothing matches "*.toml"')],
    ids=["folder", "pattern"],
)
def test_2_nothing_there(tree: Path, given: str, said: str) -> None:
    done = ftc("validate", given, "b.ftc.yaml", cwd=tree)
    assert done.returncode == 2
    assert said in done.stderr
    assert "memory: fits" in done.stdout, "the others are looked at all the same"
    alone = ftc("validate", given, cwd=tree)
    assert (alone.returncode, alone.stdout) == (2, "")


def test_the_summary_counts(tree: Path) -> None:
    put(tree, "e.ftc.yaml", BAD)
    done = ftc("validate", ".", cwd=tree)
    assert done.returncode == 1
    assert done.stdout.endswith("5 recipes: 1 error\n")
    assert ftc("validate", "sub", cwd=tree).stdout.endswith("2 recipes: no problems found\n")


def test_links_in_a_circle_end(tree: Path) -> None:
    (tree / "sub" / "back").symlink_to(tree)
    assert seen("sub", cwd=tree) == ["sub/c.ftc.yaml", "sub/deeper/d.ftc.yaml"]


# --- for GitHub


def unescaped(command: str) -> tuple[dict[str, str], str]:
    """What a runner reads: actions/runner undoes `%25` last, and splits properties at commas."""
    head, _, message = command.removeprefix("::").partition("::")
    _, _, listed = head.partition(" ")

    def read(text: str, *, of_property: bool) -> str:
        text = text.replace("%0D", "\r").replace("%0A", "\n")
        if of_property:
            text = text.replace("%3A", ":").replace("%2C", ",")
        return text.replace("%25", "%")

    pairs = (item.partition("=")[::2] for item in listed.split(","))
    return {key: read(value, of_property=True) for key, value in pairs}, read(message, of_property=False)


@pytest.mark.parametrize("text", ["100 %\r\nof a:b, c", "%0A is no line", "::error::x", "%25", "a,line=3::"])
def test_what_github_reads_is_what_was_meant(text: str) -> None:
    found = Diagnostic("FTC102", "error", text, f"dir/{text}.yaml", Span(3, 2, 3, 5), "x", "do:\nthis")
    said = github([found])
    assert said.count("\n") == 1
    properties, message = unescaped(said.removesuffix("\n"))
    assert properties == {
        **{"file": f"dir/{text}.yaml", "line": "3", "endLine": "3"},
        **{"col": "2", "endColumn": "4", "title": "FTC102"},
    }
    assert message == f"{text}\ndo:\nthis"


def test_github_is_told_of_every_finding(tree: Path) -> None:
    put(tree, "e.ftc.yaml", BAD)
    done = ftc(
        "validate", tree / "e.ftc.yaml", "gone.ftc.yaml", "--set", "data.max_length=a", "--format", "github", cwd=tree
    )
    assert done.returncode == 2
    read = [unescaped(line) for line in done.stdout.splitlines()]
    assert [(said["file"], said.get("line")) for said, _ in read] == [
        ("gone.ftc.yaml", None),
        ("e.ftc.yaml", None),
        ("e.ftc.yaml", "4"),
    ]
    assert read[1][1].startswith("--set data.max_length=a: ")
    whole = Diagnostic("FTC010", "error", "x", "a.yaml", WHOLE_FILE, "")
    assert github([whole]) == "::error file=a.yaml,title=FTC010::x\n"


# --- --watch


class Watching:
    """A process that watches, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def next_summary(self) -> str:
        """All that it says up to the end of the next look."""
        assert self.process.stdout
        said: list[str] = []
        for line in self.process.stdout:
            said.append(line)
            if re.match(r"no problems|\d+ (error|warning|recipe)", line):
                return "".join(said)
        raise AssertionError(f"it ended: {''.join(said)}")


@contextmanager
def watching(*arguments: object, cwd: Path) -> Iterator[Watching]:
    """`ftc validate --watch`, which a guard ends where a test would wait forever."""
    command = [sys.executable, "-m", "compiler.cli", "validate", *map(str, arguments), "--watch"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(
        command, cwd=cwd, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        guard = Thread(target=_end, args=(process,), daemon=True)
        guard.start()
        try:
            yield Watching(process)
        finally:
            process.kill()


def _end(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()


def test_it_looks_again_when_the_recipe_changes(tmp_path: Path) -> None:
    recipe = put(tmp_path, "r.ftc.yaml")
    with watching("r.ftc.yaml", cwd=tmp_path) as ftc_watch:
        assert "memory: fits" in ftc_watch.next_summary()
        recipe.write_text(BAD)
        assert "rnak" in ftc_watch.next_summary()
        aside = tmp_path / ".r.swp"
        aside.write_text(GOOD)
        aside.replace(recipe)  # as editors save
        assert "r.ftc.yaml changed" in ftc_watch.next_summary()


def test_it_survives_a_recipe_that_goes_away_and_comes_half_written(tmp_path: Path) -> None:
    recipe = put(tmp_path, "r.ftc.yaml")
    with watching("r.ftc.yaml", cwd=tmp_path) as ftc_watch:
        ftc_watch.next_summary()
        recipe.unlink()
        assert ftc_watch.process.stderr
        assert "cannot read r.ftc.yaml" in ftc_watch.process.stderr.readline()
        recipe.write_text("version: 1\nname: [")
        assert "FTC001" in ftc_watch.next_summary()
        recipe.write_text(GOOD)
        assert "memory: fits" in ftc_watch.next_summary()


def test_it_looks_at_the_rows_and_at_new_recipes_of_a_folder(tmp_path: Path) -> None:
    put(tmp_path, "r.ftc.yaml")
    with watching(".", cwd=tmp_path) as ftc_watch:
        ftc_watch.next_summary()
        (tmp_path / "rows.jsonl").write_text("{oops\n")
        assert "rows.jsonl changed" in ftc_watch.next_summary()
        (tmp_path / "rows.jsonl").write_text(ROW)
        assert "no problems found" in ftc_watch.next_summary()
        put(tmp_path, "s.ftc.yaml")
        assert "2 recipes: no problems found" in ftc_watch.next_summary()


def test_130_ctrl_c_ends_it(tmp_path: Path) -> None:
    put(tmp_path, "r.ftc.yaml")
    with watching("r.ftc.yaml", cwd=tmp_path) as ftc_watch:
        ftc_watch.next_summary()
        ftc_watch.process.send_signal(signal.SIGINT)
        assert ftc_watch.process.wait(30) == 130
        assert ftc_watch.process.stderr
        assert ftc_watch.process.stderr.read().strip() == ""


def test_a_terminal_is_cleared_before_each_look(tmp_path: Path) -> None:
    recipe = put(tmp_path, "r.ftc.yaml")
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TERM": "xterm"}
    command = ["-m", "compiler.cli", "validate", "r.ftc.yaml", "--watch"]
    child = pexpect.spawn(sys.executable, command, cwd=str(tmp_path), env=variables, encoding="utf-8", timeout=60)
    clear = re.escape(CLEAR)
    child.expect(clear)
    child.expect("no problems found")
    child.expect("watching .* Ctrl-C ends")
    recipe.write_text(BAD)
    child.expect(clear)
    child.expect("rnak")
    child.expect("Ctrl-C ends")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 130
    assert CLEAR not in ftc("validate", "r.ftc.yaml", cwd=tmp_path).stdout


def test_2_watching_is_for_people() -> None:
    done = ftc("validate", RECIPES, "--watch", "--format", "json")
    assert (done.returncode, done.stdout) == (2, "")
