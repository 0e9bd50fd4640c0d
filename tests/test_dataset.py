"""Which files a source names, and what the first row of a file shows."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.dataset import expand, first_row, is_local, sniff
from schemas.recipe import Fields


@pytest.mark.parametrize(
    ("path", "local"),
    [
        ("data/train.jsonl", True),
        ("train.json", True),
        ("a/b/c.csv", True),
        ("x.parquet", True),
        ("notes.txt.gz", True),
        ("data/*.jsonl.zst", True),
        ("./folder", True),
        ("../up", True),
        ("/abs/olute", True),
        ("~/home", True),
        ("tatsu-lab/alpaca", False),
        ("org/name.v2", False),
        ("squad", False),
        ("data/train.JSONL.bak", False),
    ],
)
def test_spelling_decides_between_file_and_hub(path: str, local: bool) -> None:
    assert is_local(path) is local


def test_files_of_a_source(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "c.csv", "deep/d.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert expand("a.jsonl", tmp_path) == (tmp_path / "a.jsonl",)
    assert [file.name for file in expand("*.jsonl", tmp_path)] == ["a.jsonl", "b.jsonl"]
    assert [file.name for file in expand("**/*.jsonl", tmp_path)] == ["a.jsonl", "b.jsonl", "d.jsonl"]
    assert [file.name for file in expand("d*/*.jsonl", tmp_path)] == ["d.jsonl"]
    assert [file.name for file in expand("**/deep/**/[a-d].jsonl", tmp_path)] == ["d.jsonl"]
    assert [file.name for file in expand("./?.csv", tmp_path)] == ["c.csv"]
    assert expand(str(tmp_path / "c.csv"), Path("/elsewhere")) == (tmp_path / "c.csv",)
    for missing in ("none.jsonl", "deep", "*.txt", "~nobody-of-that-name/x.jsonl", "a\0b.jsonl", "[.jsonl"):
        assert expand(missing, tmp_path) == ()


def test_hidden_files_are_named_and_never_matched(tmp_path: Path) -> None:
    (tmp_path / ".a.jsonl").write_text("{}")
    assert expand("*.jsonl", tmp_path) == ()
    assert len(expand(".*.jsonl", tmp_path)) == len(expand(".a.jsonl", tmp_path)) == 1


def test_a_pattern_for_the_whole_disk_is_given_up(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(tmp_path)
    assert expand("**/*.none", tmp_path) == ()
    assert expand("/**/*.no-such-suffix-anywhere", tmp_path) == ()


ROWS = {
    "messages": {"messages": [{"role": "user", "content": "hi"}]},
    "sharegpt": {"conversations": [{"from": "human", "value": "hi"}], "system": "x"},
    "alpaca": {"instruction": "add", "input": "", "output": "5", "text": "add 5"},
    "prompt_completion": {"prompt": "2 + 3?", "completion": "5"},
    "preference": {"prompt": "2 + 3?", "chosen": "5", "rejected": "23"},
    "kto": {"prompt": "2 + 3?", "completion": "5", "label": True},
    "text": {"text": "five", "source": "web"},
}


@pytest.mark.parametrize("name", ROWS)
def test_columns_tell_the_format(tmp_path: Path, name: str) -> None:
    row = json.dumps(ROWS[name])
    (tmp_path / "a.jsonl").write_text(f"\n{row}\n{row}\n")
    (tmp_path / "a.json").write_text(json.dumps([ROWS[name], ROWS[name]], indent=2))
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as stream:
        stream.write(row)
    assert [sniff(tmp_path / file) for file in ("a.jsonl", "a.json", "a.jsonl.gz")] == [name] * 3


def test_csv_and_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('prompt,completion\n"two, three",5\n')
    (tmp_path / "a.txt").write_text("anything")
    assert (sniff(tmp_path / "a.csv"), sniff(tmp_path / "a.txt")) == ("prompt_completion", "text")


def test_fields_say_what_columns_are_called(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"question": "2 + 3?", "answer": "5"}')
    assert sniff(file) is None
    assert sniff(file, Fields(prompt="question", completion="answer")) == "prompt_completion"
    file.write_text('{"conversation": [{"who": "user", "says": "hi"}]}')
    assert sniff(file, Fields(messages="conversation", role="who", content="says")) == "messages"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", b"", "the file has no rows"),
        ("a.jsonl", b"\n\n", "the file has no rows"),
        ("a.jsonl", b"{", "line 1 is not JSON: expecting property name enclosed in double quotes"),
        ("a.jsonl", b"\n[1]", 'a row must be a mapping of columns, as {"messages": […]}'),
        ("a.json", b"[]", "the list has no rows"),
        ("a.json", b"[" * 200_000, "the first row is not JSON: it is nested too deeply"),
        ("a.csv", b"text\n", "the file has no rows below its header"),
        ("a.jsonl", b'{"text": "\xff"}', "the file is not UTF-8 text"),
        ("a.jsonl.gz", b"plain", "the file cannot be read: damaged or not compressed"),
        ("a.jsonl.gz", gzip.compress(b"{}")[:10] + b"\xff\xff", "the file cannot be read: damaged or not compressed"),
    ],
)
def test_what_speaks_against_a_file(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    row = first_row(tmp_path / name, Fields())
    assert (row.format, row.problem) == (None, problem)


def test_what_cannot_be_looked_at_is_no_problem(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.jsonl.zst"):
        (tmp_path / name).write_bytes(b"\x00")
        assert first_row(tmp_path / name, Fields()).problem is None


def test_a_huge_first_row_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "' + "x" * (2 << 20) + '"}')
    row = first_row(tmp_path / "a.jsonl", Fields())
    assert (row.format, row.problem) == (None, None)


@given(st.binary(max_size=120), st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.txt", "a.jsonl.gz"]))
def test_any_bytes_are_looked_at(tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str) -> None:
    file = tmp_path_factory.getbasetemp() / name
    file.write_bytes(content)
    first_row(file, Fields())
