"""Reading YAML: values as YAML 1.2 has them, a place for everything, and no text that ends in a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from compiler.errors import FtcError
from compiler.source import Source, parse, read
from compiler.yaml_reader import MAX_DEPTH, MAX_NODES
from schemas.diagnostic import Span


def codes(source: Source) -> list[str]:
    return [item.code for item in source.diagnostics]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4),
        ("1.5E+3", 1500.0),
        (".5", 0.5),
        ("-3.", -3.0),
        ("012", 12),
        ("+7", 7),
        ("0o14", 12),
        ("0xff", 255),
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("true", True),
        ("TRUE", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2001-01-01", "2001-01-01"),
        ("0b1", "0b1"),
        ('"2e-4"', "2e-4"),
        ("'true'", "true"),
        ("1" * 400, float("inf")),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    data = parse(f"a: {text}\n", "r").data
    assert data is not None
    assert data["a"] == value
    assert type(data["a"]) is type(value)


def test_not_a_number() -> None:
    data = parse("a: .nan", "r").data
    assert data is not None
    assert data["a"] != data["a"]


TEXT = """\
model:
  base: é-model
training:
  betas: [0.9, 0.95]   # two

  empty:
data:
  train:
    - path: a.jsonl
      fields: {text: body}
"""


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ("model", Span(1, 1, 1, 6), Span(2, 3, 2, 16)),
        ("model.base", Span(2, 3, 2, 7), Span(2, 9, 2, 16)),
        ("training.betas", Span(4, 3, 4, 8), Span(4, 10, 4, 21)),
        ("training.betas[1]", None, Span(4, 16, 4, 20)),
        ("training.empty", Span(6, 3, 6, 8), Span(6, 9, 6, 9)),
        ("data.train[0]", None, Span(9, 7, 10, 27)),
        ("data.train[0].fields.text", Span(10, 16, 10, 20), Span(10, 22, 10, 26)),
    ],
)
def test_everything_written_has_a_place(path: str, key: Span | None, value: Span) -> None:
    place = parse(TEXT, "r").place(path)
    assert place is not None
    assert (place.file, place.key, place.value) == ("r", key, value)


def test_what_was_not_written_has_no_place() -> None:
    assert parse(TEXT, "r").place("model.revision") is None


def test_a_byte_order_mark_shifts_nothing() -> None:
    source = parse("\ufeff" + TEXT, "r")
    assert source.data == parse(TEXT, "r").data
    assert source.place("model.base") == parse(TEXT, "r").place("model.base")


def test_a_second_key_is_named_with_the_line_of_the_first() -> None:
    source = parse("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n", "r")
    assert source.data == {"a": 1, "b": {"c": 1, "d": 2}}
    [found] = source.diagnostics
    assert (found.code, found.span, found.path) == ("FTC002", Span(5, 3, 5, 4), "b.c")
    assert "line 3" in found.message


def test_what_stands_under_a_second_key_is_not_reported_too() -> None:
    source = parse("a: {x: 1}\na: {x: 1, x: 2, 3: 4}\n", "r")
    assert (source.data, codes(source)) == ({"a": {"x": 1}}, ["FTC002"])


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("a: [1, 2", "FTC001", 2, 1),
        ("a:\n\t- b", "FTC001", 2, 1),
        ("a: b: c", "FTC001", 1, 5),
        ("a: *x", "FTC001", 1, 4),
        ("a: &x [*x]", "FTC001", 1, 8),
        ("a: \x07", "FTC001", 1, 4),
        ("a: b\nc: \ufffe", "FTC001", 2, 4),
        ("a: \ud800", "FTC001", 1, 4),
        ("%YAML 3.0\n---\na: 1", "FTC001", 1, 1),
        ("1: a", "FTC003", 1, 1),
        ("null: a", "FTC003", 1, 1),
        ("? [a, b]\n: c", "FTC003", 1, 3),
        ("a: &x b\n*x : c", "FTC003", 2, 1),
        ("a: !!python/object:os.system b", "FTC004", 1, 4),
        ("a: !x {b: 1}", "FTC004", 1, 4),
        ("!x a: 1", "FTC004", 1, 1),
        ("a: &x {b: 1}\nc: {<<: *x}", "FTC005", 2, 5),
        ("", "FTC007", 1, 1),
        ("# nothing\n", "FTC007", 1, 1),
        ("- a", "FTC007", 1, 1),
        ("text", "FTC007", 1, 1),
        ("a: 1\n---\nb: 2", "FTC008", 2, 1),
    ],
)
def test_what_is_refused_and_where(text: str, code: str, line: int, column: int) -> None:
    [found] = parse(text, "r").diagnostics
    assert (found.code, found.span.line, found.span.column) == (code, line, column)


def test_quoted_merge_key_is_a_key() -> None:
    assert parse('"<<": 1', "r").data == {"<<": 1}


def test_aliases_are_read_and_what_they_stand_for_is_found_at_the_alias() -> None:
    source = parse("a: &x {b: [1, 2]}\nc: *x\n", "r")
    assert source.data == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}}
    place = source.place("c.b[1]")
    assert place is not None
    assert place.value == Span(2, 4, 2, 6)


def test_depth_is_limited() -> None:
    fine = "a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert codes(parse(fine, "r")) == []
    assert codes(parse("[" * 100_000, "r")) == ["FTC006"]
    assert codes(parse("a: " + "{a: " * 1000, "r")) == ["FTC006"]


def test_a_billion_laughs_are_not_laughed() -> None:
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    assert codes(parse("\n".join(lines), "r")) == ["FTC006"]


def test_size_is_limited() -> None:
    assert codes(parse(f"a: [{'1,' * MAX_NODES}]", "r")) == ["FTC006"]
    assert codes(parse("a: b\n" + "#" * (1 << 20), "r")) == ["FTC006"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"a: \xff", "not UTF-8"), (b"\x00" * ((1 << 20) + 1), "larger than"), (None, "no such file")],
)
def test_a_file_that_is_no_text_is_wrong_usage(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "r.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(FtcError, match=words) as caught:
        read(file)
    assert caught.value.exit_code == 2


def test_a_folder_and_an_impossible_name_are_wrong_usage(tmp_path: Path) -> None:
    for path in (tmp_path, Path("a\0b")):
        with pytest.raises(FtcError, match="cannot read"):
            read(path)


def test_a_file_is_read_without_its_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_bytes(b"\xef\xbb\xbfversion: 1\n")
    assert read(file) == "version: 1\n"


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    source = parse(text, "r")
    assert (source.data is None) <= bool(source.diagnostics)


@given(st.text(alphabet="ab:-?[]{},&*!|>'\"%@#<~.0 \n\t", max_size=60))
def test_any_punctuation_is_read_or_refused(text: str) -> None:
    source = parse(text, "r")
    assert (source.data is None) <= bool(source.diagnostics)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-99, 99)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("abc 1."),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abxy", min_size=1), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abxy", min_size=1), PLAIN, min_size=1, max_size=4), st.booleans())
def test_what_a_dumper_writes_is_read_back(data: dict[str, object], flow: bool) -> None:
    source = parse(yaml.safe_dump(data, default_flow_style=flow), "r")
    assert not source.diagnostics
    assert source.data == data
    assert all(source.place(path) for path in source.written)
