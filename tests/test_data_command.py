"""`ftc data` as a user sees it: what is said where, in which words and figures, and with which exit code."""

from __future__ import annotations

import gzip
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from calls import ROOT, ftc
from click.testing import CliRunner, Result

from backends.native import readers
from compiler.cli import main

QUICKSTART = ROOT / "recipes" / "quickstart"
BASE = QUICKSTART / "base"
HUB = "meta-llama/Llama-3.1-8B-Instruct"
"""Of the catalog: its sizes are known here, its tokenizer is not."""
SINGLE = {"path": "rows.jsonl", "format": "messages"}
WORDS = (ROOT / "recipes" / "quickstart" / "corpus.txt").read_text("utf-8").split()


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network, and the folder of the recipe."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-cache"))
    monkeypatch.chdir(tmp_path)


def chat(number: int, words: int = 5) -> dict[str, Any]:
    """A question and an answer of so many words, unlike any other."""
    said = " ".join(WORDS[(number * 31 + at * 7) % len(WORDS)] for at in range(words))
    return {
        "messages": [{"role": "user", "content": f"{number}?"}, {"role": "assistant", "content": f"{number} {said}"}]
    }


def recipe(data: dict[str, Any] | None = None, **sections: Any) -> Path:
    """The recipe in the working folder."""
    plain = {"train": SINGLE, "validation": None, "packing": False, "max_length": 128}
    whole = {
        "version": 1,
        "name": "rows",
        "model": {"base": str(BASE)},
        "method": {"kind": "lora"},
        "data": {**plain, **(data or {})},
        "hardware": {"gpu": "cpu", "memory": "8GiB"},
        **sections,
    }
    path = Path("r.ftc.yaml")
    path.write_text(yaml.safe_dump(whole, sort_keys=False), "utf-8")
    return path


def put(rows: list[Any], name: str = "rows.jsonl") -> Path:
    """Rows, or lines as they are, in a file of the working folder."""
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path = Path(name)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def here(*arguments: object) -> Result:
    """The command in this process, in which transformers are imported already."""
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


def told(*arguments: object) -> dict[str, Any]:
    done = here(*arguments, "--format", "json")
    assert not done.stderr, done.stderr
    return json.loads(done.stdout)


# --- what is said where


def test_fields_that_programs_read() -> None:
    put([chat(0), chat(1), {"messages": []}])
    data = told(recipe())
    assert data.keys() >= {
        *("format_version", "recipe", "valid", "error_count", "warning_count", "diagnostics"),
        *("tokenizer", "sources", "findings", "parts", "epoch", "near_duplicates", "rows"),
    }
    assert (data["format_version"], data["recipe"], data["valid"]) == (1, "r.ftc.yaml", False)
    assert data["tokenizer"] == {"found": True, "why": None}
    listed = {"part": "train", "path": "rows.jsonl", "format": "messages", "because": None, "rows": 3}
    assert data["sources"] == [listed]
    (finding,) = data["findings"]
    assert finding.keys() >= {"code", "level", "part", "message", "file", "line", "row", "rows", "more"}
    assert (finding["file"], finding["line"], finding["row"]) == ("rows.jsonl", 3, None)
    counts = (
        "read",
        "kept",
        "bad",
        "dropped",
        "truncated",
        "split",
        "untrained",
        "tokens",
        "trained_tokens",
        "longest",
    )
    assert data["parts"].keys() == {"train"}
    assert data["parts"]["train"].keys() >= {
        *counts,
        "trained_share",
        "lengths",
        "histogram",
        "over_max_length",
        "ends",
    }
    assert data["epoch"].keys() >= {"tokens", "rows", "filled", "steps"}
    assert data["near_duplicates"].keys() >= {"rows", "looked_at", "pairs", "method"}
    assert data["near_duplicates"]["method"] == "estimate"
    assert data["rows"][0].keys() >= {"place", "part", "about", "problem", "tokens", "trained", "stretches"}


def test_without_rows_to_read_only_findings_are_told() -> None:
    data = told(recipe())
    assert [item["code"] for item in data["diagnostics"]] == ["FTC501"]
    assert not data.keys() & {"findings", "parts", "rows"}


@pytest.mark.parametrize(
    ("rows", "changes", "code", "said"),
    [
        ([chat(0)], {}, 0, "no problems found"),
        ([chat(0), {"messages": [*chat(1)["messages"], chat(2)["messages"][0]]}], {}, 0, "warning FTC541"),
        ([chat(0), "{"], {}, 1, "rows.jsonl:2: error FTC510"),
        ([chat(0), "{"], {"bad_rows": "drop"}, 0, "rows.jsonl:2: warning FTC510"),
        ([chat(0)], {"max_length": "long"}, 1, "error FTC103"),
        ([chat(0)], {"train": {"path": "other.jsonl"}}, 1, "error FTC501"),
        ([], {}, 1, "error FTC553"),
    ],
    ids=["good", "odd", "bad", "dropped", "recipe", "missing", "empty"],
)
def test_exit_codes_of_rows_and_recipes(rows: list[Any], changes: dict[str, Any], code: int, said: str) -> None:
    """What is found is the answer, and stands on standard output."""
    put(rows)
    done = here(recipe(changes))
    assert (done.exit_code, done.stderr) == (code, "")
    assert said in done.stdout
    assert here(recipe(changes), "--format", "json").exit_code == code


def test_what_is_asked_wrongly_is_told_on_standard_error() -> None:
    put([chat(0)])
    path = recipe()
    for arguments in (("none.yaml",), (path, "--rows", "-1"), (path, "--format", "xml"), (path, "--what")):
        done = here(*arguments)
        assert (done.exit_code, done.stdout) == (2, "")
        assert done.stderr


def test_a_damaged_file_is_told_and_the_others_are_read() -> None:
    put([chat(0), chat(1)], "a.jsonl")
    Path("b.jsonl.gz").write_bytes(gzip.compress(b"".join(json.dumps(chat(n)).encode() for n in range(9)))[:-30])
    put([chat(2), "{"], "c.jsonl")
    sources = [{"path": name, "format": "messages"} for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl")]
    done = here(recipe({"train": sources, "bad_rows": "drop"}), "--format", "json")
    assert (done.exit_code, done.stderr) == (2, "")
    data = json.loads(done.stdout)
    said = [(item["code"], item["level"], item["file"], item["line"]) for item in data["findings"]]
    assert said == [("FTC526", "error", "b.jsonl.gz", 1), ("FTC510", "warning", "c.jsonl", 2)]
    assert (data["parts"]["train"]["read"], data["valid"], data["epoch"]) == (4, False, None)


def test_a_file_that_may_not_be_read() -> None:
    path = put([chat(0)])
    path.chmod(0)
    command = [sys.executable, "-m", "compiler.cli", "data", str(recipe()), "--set", f"model.base={HUB}"]
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may read everything")
        command = ["setpriv", "--reuid=65534", "--clear-groups", *command]
        Path.cwd().chmod(0o755)
        for folder in Path.cwd().parents:
            if folder.stat().st_mode & 0o077 == 0:  # pytest's own, which nobody else may enter
                folder.chmod(0o755)
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "rows.jsonl:1: error FTC526: the file cannot be read: Permission denied" in done.stdout


# --- what is not here


def test_a_base_that_is_not_found() -> None:
    """Its rows are checked all the same."""
    put([chat(0), {"messages": []}])
    path = recipe(model={"base": "nobody/nothing-7b"})
    done = here(path)
    assert (done.exit_code, done.stderr) == (1, "")
    assert "error FTC011" in done.stdout
    assert "rows.jsonl:2: error FTC517" in done.stdout
    put([chat(0), chat(1)])
    assert here(path).exit_code == 4
    data = told(path)
    assert data["parts"]["train"] == {"read": 2, "bad": 0}
    assert not data["tokenizer"]["found"]
    assert data["rows"][0]["stretches"][0]["text"] == "user: 0?\nassistant: " + chat(0)["messages"][1]["content"]


def test_a_base_without_its_tokenizer() -> None:
    put([chat(0), chat(1)])
    done = ftc("data", recipe(model={"base": HUB}), cwd=Path.cwd())
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"no tokenizer: tokenizer \"\S+\" cannot be loaded: .*[^.]\. Rows were checked", done.stdout)
    assert "tokens " not in done.stdout.replace("of their tokens", "")


def test_a_damaged_tokenizer() -> None:
    put([chat(0)])
    shutil.copytree(BASE, "base")
    for text in ("", '{"version": "1.0", "model": {"type": "None"}}', (BASE / "tokenizer.json").read_text()[:999]):
        Path("base/tokenizer.json").write_text(text, "utf-8")
        data = told(recipe(model={"base": "./base"}))
        assert not data["tokenizer"]["found"]
        assert "cannot be loaded" in data["tokenizer"]["why"]
        assert [(item["code"], item["path"]) for item in data["diagnostics"]] == [("FTC554", "model.base")]
        assert here(recipe(model={"base": "./base"})).exit_code == 1


def test_a_token_that_the_tokenizer_does_not_know() -> None:
    put([chat(0), {"messages": []}])
    path = recipe(model={"base": str(BASE), "tokens": {"eos": "<none>"}})
    data = told(path)
    assert [(item["code"], item["path"]) for item in data["diagnostics"]] == [("FTC554", "model.tokens")]
    assert [item["code"] for item in data["findings"]] == ["FTC517"]
    assert here(path).exit_code == 1


def test_another_tokenizer_without_a_chat_template() -> None:
    put([chat(0), {"messages": []}])
    shutil.copytree(BASE, "bare")
    Path("bare/chat_template.jinja").unlink()
    data = told(recipe(model={"base": str(BASE), "tokenizer": "./bare"}))
    assert [(item["code"], item["path"]) for item in data["diagnostics"]] == [("FTC239", "model.chat_template")]
    assert [item["code"] for item in data["findings"]] == ["FTC517"]


def test_rows_of_the_hub_that_are_not_here() -> None:
    """Those that are here are checked all the same."""
    put([chat(0), {"messages": []}])
    hub = {"path": "tatsu-lab/alpaca", "format": "alpaca"}
    path = recipe({"train": [hub, {"path": "rows.jsonl"}], "bad_rows": "drop"})
    done = ftc("data", path, cwd=Path.cwd())
    assert done.returncode == 4
    assert "tatsu-lab/alpaca: error FTC527: the dataset (split train) cannot be read: " in done.stdout
    assert "rows.jsonl:2: warning FTC517: " in done.stdout
    data = json.loads(ftc("data", path, "--format", "json", cwd=Path.cwd()).stdout)
    first = data["findings"][0]
    assert (first["file"], first["line"], first["row"]) == (hub["path"], None, None)
    assert (data["valid"], data["epoch"]) == (False, None)
    assert ftc("data", recipe({"train": [hub, {"path": "rows.jsonl"}]}), cwd=Path.cwd()).returncode == 1


@pytest.mark.parametrize("form", ["auto", "messages"])
def test_a_file_for_which_a_package_is_missing(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    Path("rows.jsonl.zst").write_bytes(b"(\xb5/\xfd")
    done = here(recipe({"train": {"path": "rows.jsonl.zst", "format": form}}))
    assert done.exit_code == (1 if form == "auto" else 4)
    assert "pip install zstandard" in done.stdout + done.stderr


BLOCKED = "import sys; sys.modules.update(dict.fromkeys({names!r})); from compiler.cli import main; main()"


@pytest.mark.parametrize(
    ("base", "names", "said"),
    [
        (HUB, ("torch",), "cannot be loaded: We couldn't connect"),
        (HUB, ("torch", "transformers", "tokenizers", "datasets", "pyarrow"), "pip install 'ftc[native]'"),
        (HUB, ("torch", "transformers", "numpy"), "not estimated: it needs numpy"),
        (str(BASE), ("torch",), "2 rows"),
    ],
    ids=["no torch", "no transformers", "no numpy", "a tokenizer without torch"],
)
def test_little_must_be_installed(base: str, names: tuple[str, ...], said: str) -> None:
    put([chat(0), chat(1)])
    code = BLOCKED.format(names=names)
    command = [sys.executable, "-c", code, "data", str(recipe(model={"base": base}))]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout
    assert "no problems found" in done.stdout


# --- which files


def test_files_of_a_pattern() -> None:
    """Folders and pipes that it matches as well are none; brackets in a folder's name are part of it."""
    folder = Path("a [v1]")
    folder.mkdir()
    os.chdir(folder)
    put([chat(0), chat(1)], "a.jsonl")
    put([chat(2)], "b.jsonl")
    put([chat(3)], ".c.jsonl")
    Path("d.jsonl").mkdir()
    os.mkfifo("e.jsonl")
    assert told(recipe({"train": {"path": "*.jsonl"}}))["parts"]["train"]["read"] == 3
    for name, code, words in (("d.jsonl", "FTC502", "a folder"), ("e.jsonl", "FTC501", "a pipe or a device")):
        (finding,) = told(recipe({"train": {"path": name}}))["diagnostics"]
        assert (finding["code"], finding["message"]) == (code, f'"{name}" is {words}')
        assert "did you mean" not in finding["hint"]
    put([{"text": "a"}], "f.jsonl")
    (finding,) = told(recipe({"train": {"path": "*.jsonl"}}))["diagnostics"]
    assert finding["code"] == "FTC504"
    assert "f.jsonl is not like a.jsonl" in finding["message"]


def test_a_file_named_twice() -> None:
    put([chat(0), chat(1), chat(2)])
    data = told(recipe({"train": [SINGLE, SINGLE]}))
    assert [item["code"] for item in data["diagnostics"]] == ["FTC241"]
    (finding,) = data["findings"]
    assert (finding["code"], finding["line"], finding["rows"]) == ("FTC535", 1, 3)
    assert finding["more"] == ["rows.jsonl:2", "rows.jsonl:3"]
    assert finding["message"] == "the same row as rows.jsonl:1"


def test_rows_that_share_a_line_are_told_apart() -> None:
    one, other = (json.dumps(chat(at)) for at in (0, 1))
    Path("rows.json").write_text(f"[{one},\n{other}, {one}, {other}, {other}]", "utf-8")
    (finding,) = told(recipe({"train": {"path": "rows.json"}}))["findings"]
    assert (finding["code"], finding["line"], finding["rows"]) == ("FTC535", 2, 3)


def test_a_limit_hides_the_rows_after_it() -> None:
    put([chat(0), chat(1), "{", chat(2)])
    for limit in (2, 0.5):
        data = told(recipe({"train": {**SINGLE, "limit": limit}}))
        assert (data["valid"], data["parts"]["train"]["read"]) == (True, 2)
    assert not told(recipe({"train": {**SINGLE, "limit": 3}}))["valid"]


def test_weights_count_in_an_epoch() -> None:
    put([chat(number, 2 + number) for number in range(20)])
    for weight, rows in ((1, 20), (2, 40), (0.5, 10), (0.1, 2), (1.25, 25)):
        data = told(recipe({"train": {**SINGLE, "weight": weight}}))
        assert data["parts"]["train"]["kept"] == 20
        assert data["epoch"]["rows"] == rows
        tokens = data["parts"]["train"]["tokens"]
        assert data["epoch"]["tokens"] == pytest.approx(tokens * weight, rel=0.15)


def test_so_many_rows_are_shown() -> None:
    put([chat(number) for number in range(9)])
    for wanted in (0, 1, 5, 100):
        rows = told(recipe(), "--rows", wanted)["rows"]
        assert [row["place"] for row in rows] == [f"rows.jsonl:{line}" for line in range(1, 10)][:wanted]


# --- always the same


def mixed(count: int) -> Path:
    """Rows of every kind, in two files."""
    rows: list[Any] = [chat(number, number % 90) for number in range(count)]
    rows[10::97] = [chat(0)] * len(rows[10::97])
    odd = ("{", {"messages": 5}, {"messages": []}, {"messages": [chat(1)["messages"][0]]}, "null")
    for at, row in zip(range(50, count, 30), odd * count, strict=False):
        rows[at] = row
    put(rows)
    put([chat(number, 5) for number in range(0, count, 7)], "more.jsonl")
    return recipe(
        {"train": [SINGLE, {**SINGLE, "path": "more.jsonl", "weight": 0.3}], "validation": 0.1, "max_length": 64}
    )


def test_any_number_of_processes_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    path = mixed(2000)
    monkeypatch.setattr(readers, "SIZE", 20_000)
    monkeypatch.setattr("backends.native.examine.SMALL", 0)
    said: list[str] = []
    for processes in (1, 2, 5):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, count=processes: set(range(count)))
        said.append(here(path, "--format", "json").stdout)
    assert json.loads(said[0])["parts"]["train"]["bad"] > 5
    assert said[1:] == said[:1] * 2


def test_every_time_the_same() -> None:
    path = mixed(400)
    first, second = (ftc("data", path, cwd=Path.cwd(), env={"PYTHONHASHSEED": seed}) for seed in ("1", "2"))
    assert first.stdout == second.stdout
    assert (first.returncode, first.stderr) == (1, "")


# --- many rows


def many(size: int) -> Path:
    """Rows of about two thousand characters."""
    with Path("rows.jsonl").open("w") as file:
        number = 0
        while file.tell() < size:
            file.write(json.dumps(chat(number, 300)) + "\n")
            number += 1
    return recipe(model={"base": HUB})


def test_progress_is_shown_on_a_terminal() -> None:
    command = [sys.executable, "-m", "compiler.cli", "data", str(many(5 << 20))]
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    )
    os.close(theirs)
    shown = b""
    try:
        while more := os.read(ours, 4096):
            shown += more
    except OSError:  # the other end is closed
        pass
    out = child.communicate()[0]
    assert child.returncode == 0
    assert b"reading rows" in shown
    assert b"100%" in shown
    assert b"reading rows" not in out


def test_stopped_by_the_user() -> None:
    """At once, without a word, and without a process that is left behind."""
    path = many(30 << 20)
    command = [sys.executable, "-m", "compiler.cli", "data", str(path), "--set", f"model.base={BASE}"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, env=env)
    workers = Path(f"/proc/{child.pid}/task/{child.pid}/children")
    started = time.monotonic()
    wanted = min(2, len(os.sched_getaffinity(0)))
    while len(workers.read_text().split()) < wanted and time.monotonic() - started < 60:
        time.sleep(0.05)
    found = workers.read_text().split()
    os.killpg(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err.strip()) == (130, b"", b"")
    assert found
    assert not any(Path(f"/proc/{pid}").exists() for pid in found)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file() -> None:
    peaks: list[int] = []
    for size in (4 << 20, 44 << 20):
        command = [sys.executable, "-m", "compiler.cli", "data", str(many(size)), "--rows", "0"]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=env)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        peaks.append(usage.ru_maxrss >> 10)
    assert peaks[1] - peaks[0] < 25
