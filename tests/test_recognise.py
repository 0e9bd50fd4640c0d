"""Which files a source names, and what the first row of a file shows."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.native.readers import LONGEST
from compiler.data.files import expand, is_local
from compiler.data.recognise import bad_row, first_row, likely
from schemas.recipe import DataFormat, Fields


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


def seen(path: Path, fields: Fields | None = None) -> DataFormat | None:
    return first_row(path, fields or Fields()).format


@pytest.mark.parametrize("name", ROWS)
def test_columns_tell_the_format(tmp_path: Path, name: str) -> None:
    row = json.dumps(ROWS[name])
    (tmp_path / "a.jsonl").write_text(f"\n{row}\n{row}\n")
    (tmp_path / "a.json").write_text(json.dumps([ROWS[name], ROWS[name]], indent=2))
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as stream:
        stream.write(row)
    assert [seen(tmp_path / file) for file in ("a.jsonl", "a.json", "a.jsonl.gz")] == [name] * 3


def test_csv_and_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('prompt,completion\n"two, three",5\n')
    (tmp_path / "a.txt").write_text("anything")
    assert (seen(tmp_path / "a.csv"), seen(tmp_path / "a.txt")) == ("prompt_completion", "text")


def test_the_last_ending_tells_how_a_file_is_read(tmp_path: Path) -> None:
    row = json.dumps(ROWS["messages"])
    (tmp_path / "notes.txt.jsonl").write_text(row)
    (tmp_path / "a.txt.json").write_text(f"[{row}]")
    (tmp_path / "a.jsonl.txt").write_text(row)
    with gzip.open(tmp_path / "a.jsonl.TXT.gz", "wt") as stream:
        stream.write(row)
    names = ("notes.txt.jsonl", "a.txt.json", "a.jsonl.txt", "a.jsonl.TXT.gz")
    assert [seen(tmp_path / name) for name in names] == ["messages", "messages", "text", "text"]


def test_a_text_file_is_looked_into(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"")
    assert first_row(tmp_path / "a.txt", Fields()).empty
    (tmp_path / "a.txt").write_bytes(b"\xff\n")
    row = first_row(tmp_path / "a.txt", Fields())
    assert (row.format, row.problem) == ("text", "a.txt:1: no UTF-8: invalid start byte at byte 1 of the line")


def test_fields_say_what_columns_are_called(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"question": "2 + 3?", "answer": "5"}')
    assert seen(file) is None
    assert seen(file, Fields(prompt="question", completion="answer")) == "prompt_completion"
    file.write_text('{"conversation": [{"who": "user", "says": "hi"}]}')
    assert seen(file, Fields(messages="conversation", role="who", content="says")) == "messages"


DAMAGED = "the file cannot be read: Error -3 while decompressing data: invalid block type"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", b"", "the file has no rows"),
        ("a.jsonl", b"\n\n", "the file has no rows"),
        ("a.jsonl", b"{", "a.jsonl:1: not JSON: expecting property name enclosed in double quotes (column 2)"),
        ("a.jsonl", b"\n[1]", 'a.jsonl:2: a row must be a mapping of columns, as {"messages": […]}'),
        ("a.json", b"[]", "the file has no rows"),
        ("a.json", b"[" * 200_000, "the file is damaged: no JSON from line 1 on: it is nested too deeply"),
        ("a.csv", b"text\n", "the file has no rows"),
        ("a.jsonl", b'{"text": "\xff"}', "a.jsonl:1: no UTF-8: invalid start byte at byte 11 of the line"),
        ("a.jsonl.gz", b"plain", "the file cannot be read: Not a gzipped file (b'pl')"),
        ("a.jsonl.gz", gzip.compress(b"{}", mtime=0)[:10] + b"\xff\xff", DAMAGED),
    ],
)
def test_what_speaks_against_a_file(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    row = first_row(tmp_path / name, Fields())
    assert (row.format, row.problem) == (None, problem)


def test_a_parquet_file_is_looked_into(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist([ROWS["messages"]]), tmp_path / "a.parquet")
    assert seen(tmp_path / "a.parquet") == "messages"
    (tmp_path / "b.parquet").write_bytes(b"\x00")
    assert "Parquet" in str(first_row(tmp_path / "b.parquet", Fields()).problem)


def test_a_line_without_end_is_no_row(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "' + "x" * (LONGEST + (2 << 20)) + '"}')
    row = first_row(tmp_path / "a.jsonl", Fields())
    assert (row.format, row.problem) == (None, f"the file cannot be read: a line of over {LONGEST >> 20} MiB is no row")


def test_the_evidence_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(ROWS["sharegpt"]))
    assert first_row(file, Fields()).evidence == 'turns with "from" and "value" in "conversations"'
    file.write_text(json.dumps({"chosen": [ROWS["messages"]["messages"][0]], "rejected": []}))
    assert first_row(file, Fields()).evidence == 'columns "chosen" and "rejected" with lists of turns'


def test_other_names_of_a_prompt_and_its_answer_are_guessed() -> None:
    assert likely(("id", "Question", "response")) == (
        "format: prompt_completion, fields: {prompt: Question, completion: response}"
    )
    assert likely(("id", "title")) is None


def test_a_bad_row_among_the_first_ones_is_found(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "a"}\n{"text": 5}\n')
    assert bad_row(file, "text", Fields(), templated=True) == 'a.jsonl:2: "text" is no text: a number'
    file.write_text('{"text": "a"}\n')
    assert bad_row(file, "text", Fields(), templated=True) is None


def test_a_row_is_bad_as_the_plan_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    turns = {"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]}
    file.write_text(json.dumps(turns))
    assert first_row(file, Fields()).turns
    assert bad_row(file, "prompt_completion", Fields(), templated=True) is None
    assert bad_row(file, "prompt_completion", Fields(), templated=False) == 'a.jsonl:1: "prompt" is no text: a list'


@given(st.binary(max_size=120), st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.txt", "a.jsonl.gz"]))
def test_any_bytes_are_looked_at(tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str) -> None:
    file = tmp_path_factory.getbasetemp() / name
    file.write_bytes(content)
    first_row(file, Fields())
