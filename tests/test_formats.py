"""What rows say, read out of files: no key that nobody wrote, no question twice, no turn that is not to be trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backends.native.files import FileError, local_files
from backends.native.findings import DamagedError, RowError
from backends.native.formats import Row
from backends.native.readers import LONGEST
from backends.native.rows import count, read_rows
from compiler.data.similar import Sketches, sketch
from schemas.recipe import Fields

ASKED = {"role": "user", "content": "Q"}
GOOD = {"role": "assistant", "content": "good"}
BAD = {"role": "assistant", "content": "bad"}
SYSTEM = {"role": "system", "content": "Be brief."}
HELLO = {"role": "assistant", "content": "Hello!"}
FIRST = {"role": "user", "content": "A first question"}


def source(path: Path, kind: str = "messages", limit: float | None = None) -> dict[str, Any]:
    fields = Fields().model_dump()
    return {"path": str(path), "local": True, "format": kind, "weight": 1.0, "limit": limit, "fields": fields}


def read(path: Path, kind: str = "messages", system: str | None = None, limit: float | None = None) -> list[Any]:
    return list(read_rows([source(path, kind, limit)], system, True))


def only(tmp_path: Path, row: Any, kind: str = "messages", system: str | None = None) -> Any:
    (tmp_path / "a.jsonl").write_text(json.dumps(row), "utf-8")
    (found,) = read(tmp_path / "a.jsonl", kind, system)
    return found


def write_table(path: Path, rows: list[Any]) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def calling(**arguments: Any) -> dict[str, Any]:
    call = {"type": "function", "function": {"name": "weather", "arguments": arguments}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def tool(**properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": "weather", "parameters": parameters}}


TABLE = [
    {"messages": [ASKED, calling(city="P")], "tools": [tool(city={"type": "string"})], "id": 1},
    {"messages": [ASKED, calling(day=1, at={"hour": 3})], "tools": [tool(day={"type": "integer", "enum": [1]})]},
    {"messages": [ASKED, GOOD]},
]


def test_a_table_gives_back_the_keys_that_were_written(tmp_path: Path) -> None:
    """Arrow has all keys in all rows: {"city": "P", "day": null} was never called."""
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in TABLE), "utf-8")
    lines = read(tmp_path / "a.jsonl")
    rows = read(write_table(tmp_path / "a.parquet", TABLE))
    assert [(row.messages, row.tools) for row in rows] == [(row.messages, row.tools) for row in lines]
    assert [row.place.number for row in rows] == [1, 2, 3]


def test_null_in_a_column_of_a_table_is_told(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.parquet", [{"messages": [ASKED, GOOD]}, {"messages": None}])
    right, wrong = read(path)
    assert isinstance(right, Row)
    assert isinstance(wrong, RowError)
    assert (wrong.code, str(wrong.place)) == ("FTC514", f"{path}, row 2")


def test_a_table_of_texts_is_not_looked_into(tmp_path: Path) -> None:
    rows = read(write_table(tmp_path / "a.parquet", [{"text": "a", "id": None}, {"text": None, "id": 1}]), "text")
    assert rows[0].text == "a"
    assert isinstance(rows[1], RowError)


COMPARED: dict[str, tuple[Any, Any, Any, list[Any], list[Any]]] = {
    "a blank behind it": ("Q ", [ASKED, GOOD], [ASKED, BAD], [ASKED], [GOOD]),
    "a blank in one answer": ("Q", [ASKED, GOOD], [{**ASKED, "content": "Q\n"}, BAD], [ASKED], [GOOD]),
    "after a system turn": ("Q", [SYSTEM, ASKED, GOOD], [SYSTEM, ASKED, BAD], [SYSTEM, ASKED], [GOOD]),
    "a system turn in one answer": ("Q", [SYSTEM, ASKED, GOOD], [ASKED, BAD], [SYSTEM, ASKED], [GOOD]),
    "a system turn in the prompt": ([SYSTEM, ASKED], [ASKED, GOOD], [ASKED, BAD], [SYSTEM, ASKED], [GOOD]),
    "keys that no template reads": ("Q", [{**ASKED, "id": 1}, GOOD], "bad", [{**ASKED, "id": 1}], [GOOD]),
    "the end of a conversation": (
        "Q",
        [SYSTEM, FIRST, HELLO, ASKED, GOOD],
        [SYSTEM, FIRST, HELLO, ASKED, BAD],
        [SYSTEM, FIRST, HELLO, ASKED],
        [GOOD],
    ),
    "after a greeting": ("Q", [HELLO, ASKED, GOOD], "bad", [HELLO, ASKED], [GOOD]),
    "a whole conversation": ([FIRST, HELLO, ASKED], [FIRST, HELLO, ASKED, GOOD], "bad", [FIRST, HELLO, ASKED], [GOOD]),
    "not repeated": ("Q", "good", "bad", [ASKED], [GOOD]),
    "answers that call": (
        "Q",
        [calling(city="P"), {"role": "tool", "content": "mild"}, GOOD],
        [BAD],
        [ASKED],
        [calling(city="P"), {"role": "tool", "content": "mild"}, GOOD],
    ),
    "no column of its own": (None, [SYSTEM, ASKED, GOOD], [SYSTEM, ASKED, BAD], [SYSTEM, ASKED], [GOOD]),
}


@pytest.mark.parametrize("case", COMPARED)
def test_a_prompt_is_asked_once(tmp_path: Path, case: str) -> None:
    prompt, chosen, rejected, asked, answer = COMPARED[case]
    row = only(tmp_path, {"prompt": prompt, "chosen": chosen, "rejected": rejected}, "preference")
    assert (list(row.messages), list(row.chosen), list(row.rejected)) == (asked, answer, [BAD])


REFUSED: dict[str, tuple[Any, Any, Any, str]] = {
    "another question": ("Q", [FIRST, GOOD], [FIRST, BAD], "the turns before an answer are not the prompt; leave"),
    "another question in one": ("Q", [ASKED, GOOD], [FIRST, BAD], "the turns before an answer are not the prompt; "),
    "a system turn alone": ("Q", [SYSTEM, GOOD], [SYSTEM, BAD], "the turns before an answer are not the prompt; leave"),
    "other conversations": ("Q", [FIRST, HELLO, ASKED, GOOD], [ASKED, BAD], "the two answers end different conversa"),
    "other system texts": (
        [SYSTEM, ASKED],
        [{**SYSTEM, "content": "x"}, ASKED, GOOD],
        "bad",
        "the two answers have no",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_another_prompt_before_the_answers_is_told(tmp_path: Path, case: str) -> None:
    prompt, chosen, rejected, words = REFUSED[case]
    error = only(tmp_path, {"prompt": prompt, "chosen": chosen, "rejected": rejected}, "preference")
    assert isinstance(error, RowError)
    assert (error.code, error.what[: len(words)]) == ("FTC520", words)


def test_answers_that_are_the_same_behind_their_prompts(tmp_path: Path) -> None:
    row = {"prompt": "Q", "chosen": [ASKED, GOOD], "rejected": "good"}
    assert only(tmp_path, row, "preference").code == "FTC521"


@pytest.mark.parametrize("flag", [{"weight": 1}, {"weight": 1.0}, {"train": True}, {"training": True, "loss": 1}])
def test_a_turn_that_says_it_is_trained(tmp_path: Path, flag: dict[str, Any]) -> None:
    asked = {**ASKED, **dict.fromkeys(flag, 0)}
    assert only(tmp_path, {"messages": [asked, {**GOOD, **flag}]}).messages == (ASKED, GOOD)


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ({"weight": 0}, '"weight": 0'),
        ({"weight": 0.5}, '"weight": 0.5'),
        ({"train": False}, '"train": false'),
        ({"training": False}, '"training": false'),
        ({"loss": 0}, '"loss": 0'),
    ],
)
def test_a_turn_that_says_it_is_not_trained(tmp_path: Path, flag: dict[str, Any], said: str) -> None:
    error = only(tmp_path, {"messages": [ASKED, {**HELLO, **flag}, ASKED, GOOD]})
    assert isinstance(error, RowError)
    assert error.code == "FTC529"
    assert error.what.startswith(f"a turn of assistant says {said}, ")


def test_words_of_that_name_are_no_flags(tmp_path: Path) -> None:
    said = {**GOOD, "loss": "of the match"}
    assert only(tmp_path, {"messages": [ASKED, said]}).messages == (ASKED, said)


def test_in_a_prompt_nothing_is_trained_anyway(tmp_path: Path) -> None:
    told = [FIRST, {**HELLO, "weight": 0}, ASKED]
    heard = (FIRST, HELLO, ASKED)
    assert only(tmp_path, {"prompt": told, "chosen": "good", "rejected": "bad"}, "preference").messages == heard
    assert only(tmp_path, {"prompt": told, "completion": [GOOD]}, "prompt_completion").messages == (*heard, GOOD)
    assert only(tmp_path, {"messages": [*told, GOOD], "label": True}, "kto").messages == (*heard, GOOD)


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize("kind", ["messages", "preference"])
def test_a_first_turn_of_its_own_stays_alone(tmp_path: Path, role: str, kind: str) -> None:
    told = [{"role": role, "content": "Be kind."}, ASKED]
    row = {"messages": [*told, GOOD], "chosen": [*told, GOOD], "rejected": [*told, BAD], "system": "Be quick."}
    assert list(only(tmp_path, row, kind, "Be brief.").messages)[:2] == told


def test_a_share_is_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text\n" * 100, "utf-8")
    for hundredths in range(1, 100):
        assert count([source(tmp_path / "a.txt", "text", hundredths / 100)]) == hundredths
    assert count([source(tmp_path / "a.txt", "text", 0.299)]) == 29


def test_a_file_of_several_names_is_read_once(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    for name in ("a", "z"):
        (folder / f"{name}.txt").write_text(name, "utf-8")
    (folder / "inner").mkdir()
    (folder / "inner" / "b.txt").write_text("b", "utf-8")
    (folder / "loop").symlink_to(".")
    (folder / "y.txt").symlink_to("a.txt")
    found = [folder / name for name in ("a.txt", "inner/b.txt", "z.txt")]
    for pattern in ("**/*.txt", "**/**/*.txt"):
        assert local_files(str(folder / pattern)) == found
        assert [row.text for row in read(folder / pattern, "text")] == ["a", "b", "z"]
    with pytest.raises(FileError, match="no file matches"):
        local_files(str(folder / "**/*.csv"))


@pytest.mark.parametrize(("name", "begins"), [("a.jsonl", '{"text": "'), ("a.json", '[{"text": "a"},\n{"text": "')])
def test_a_row_of_many_megabytes_is_none(tmp_path: Path, name: str, begins: str) -> None:
    end = '"}]' if name == "a.json" else '"}'
    path = tmp_path / name
    path.write_text(begins + "x" * (LONGEST // 2) + end, "utf-8")
    assert len(read(path, "text")[-1].text) == LONGEST // 2
    path.write_text(begins + "x" * (LONGEST + (1 << 20)) + end, "utf-8")
    with pytest.raises(DamagedError, match=r"cannot be read: an? \w+ of over 16 MiB is no row") as caught:
        read(path, "text")
    assert caught.value.place.number == begins.count("\n") + 1


@pytest.mark.parametrize("as_text", [False, True])
def test_calls_tell_rows_apart(as_text: bool) -> None:
    """One question, and answers that say nothing but call the same tool otherwise."""
    question = {"role": "user", "content": "What is the weather going to be?"}
    sketches = Sketches()
    for order in (*range(50), 0):
        said = " ".join(str((order + 1) * prime % 9973) for prime in (7919, 6007, 499, 3571, 8111, 2003, 9341, 1013))
        turn = calling(city=said)
        if as_text:
            turn["tool_calls"][0]["function"]["arguments"] = json.dumps({"city": said})
        found = sketch(Row("", 1.0, (question, turn)))
        assert found
        sketches.add(order or len(sketches.orders), found)
    assert sketches.alike((), 5).pairs == ((0, 50),)


def test_single_carriage_returns_are_told_in_our_words(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text\rone\rtwo\r")
    (error,) = read(tmp_path / "a.csv", "text")
    assert isinstance(error, RowError)
    assert error.code == "FTC518"
    assert error.what.startswith(r"no CSV: a line ends in a single carriage return (\r); write \n there: ")
