"""Changes of a recipe's text: what was wanted is there, and nothing else moved."""

from __future__ import annotations

import string
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.source import parse
from compiler.yaml_edit import SECTIONS, apply, edits_between, move, remove, rename, set_leaves, spell
from schemas.leaves import leaves

TEXT = """\
# head
version: 1
name: x  # its name
model: {base: llama-3.2-1b}  # small
method:
  kind: lora   # kind
  # rank next
  rank: 8

data:
  train:
    - path: a.jsonl
      weight: 2
  system: |
    hello
      there
# tail of data
training:   # none

hardware: {gpu: t4}
"""


def set_one(text: str, path: tuple[str | int, ...], value: object) -> str:
    found = set_leaves(text, {path: value}, SECTIONS)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("path", "value", "old", "new"),
    [
        (("method", "rank"), 16, "  rank: 8\n", "  rank: 16\n"),
        (("method", "alpha"), 32, "  rank: 8\n", "  rank: 8\n  alpha: 32\n"),
        (("method", "kind"), "qlora", "kind: lora   # kind", "kind: qlora   # kind"),
        (("training", "loss"), "chunked", "training:   # none\n", "training:   # none\n  loss: chunked\n"),
        (("data", "max_length"), 512, "      there\n", "      there\n  max_length: 512\n"),
        (("data", "train", 0, "format"), "text", "      weight: 2\n", "      weight: 2\n      format: text\n"),
        (("hardware", "count"), 2, "{gpu: t4}", "{gpu: t4, count: 2}"),
        (("model", "tokens", "pad"), "<a: b>", "-1b}", '-1b, tokens: {pad: "<a: b>"}}'),
        (("method", "quantization", "bits"), 4, "rank: 8\n", "rank: 8\n  quantization:\n    bits: 4\n"),
        (
            ("evaluation", "every"),
            None,
            "training:   # none\n\n",
            "training:   # none\n\nevaluation:\n  every: null\n\n",
        ),
        (("method",), {"kind": "full"}, "kind: lora   # kind\n  # rank next\n  rank: 8", "kind: full"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_leaf_is_set_where_a_person_would_write_it(path: Any, value: object, old: str, new: str) -> None:
    assert set_one(TEXT, path, value) == TEXT.replace(old, new, 1)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (("method", "rank"), "  rank: 8\n", ""),
        (("data", "train", 0, "weight"), "      weight: 2\n", ""),
        (("data", "system"), "  system: |\n    hello\n      there\n", ""),
        (("hardware", "gpu"), "hardware: {gpu: t4}", "hardware: "),
        (("data", "train", 0, "path"), "- path: a.jsonl\n      weight", "- weight"),
    ],
)
def test_a_leaf_is_taken_out(path: Any, old: str, new: str) -> None:
    assert remove(TEXT, path) == TEXT.replace(old, new, 1)


def test_a_key_is_renamed_and_moved() -> None:
    assert rename(TEXT, ("method", "rank"), "r") == TEXT.replace("  rank:", "  r:")
    moved = move(TEXT.replace("  rank: 8\n", "  max_length: 8\n"), ("method", "max_length"), ("data", "max_length"))
    assert moved is not None
    assert "  max_length: 8\n# tail" in moved
    assert "rank" not in moved.replace("# rank next", "")


def test_what_an_alias_stands_for_is_left_alone() -> None:
    text = "a: &x {b: 1}\nc: *x\n"
    assert set_leaves(text, {("a", "b"): 2}) is None
    assert set_leaves(text, {("c", "b"): 2}) is None
    assert set_leaves(text, {("c",): 2}) == "a: &x {b: 1}\nc: 2\n"


def test_a_value_stands_in_the_way() -> None:
    assert set_leaves("data: 5\n", {("data", "max_length"): 5}) is None
    assert set_leaves("data: [\n", {("data", "max_length"): 5}) is None


def test_lines_end_as_they_did() -> None:
    text = TEXT.replace("\n", "\r\n")
    found = set_one(set_one(text, ("method", "alpha"), 32), ("evaluation", "every"), 5)
    assert "rank: 8\r\n  alpha: 32\r\n" in found
    assert "\n" not in found.replace("\r\n", "")


def test_a_byte_order_mark_stays() -> None:
    assert set_one(f"\ufeff{TEXT}", ("method", "rank"), 16) == "\ufeff" + TEXT.replace("rank: 8", "rank: 16")
    assert rename(f"\ufeff{TEXT}", ("version",), "v") == "\ufeff" + TEXT.replace("version", "v", 1)


# --- laws

WORDS = st.text(st.sampled_from(string.ascii_letters + string.digits + " ._-:#'\"{}[],&*!|>%@`~é😀\t"), max_size=12)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    WORDS,
    st.sampled_from(["yes", "no", "on", "null", "~", "1e-4", "0x1f", "012", "12:30", "2024-01-01", "-", "=", "<<"]),
)
NESTED = st.one_of(VALUES, st.lists(VALUES, max_size=3), st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3))
PATHS = [
    tuple(leaf.path.split("."))
    for leaf in leaves()
    if "[]" not in leaf.path and leaf.path.count(".") and not leaf.path.startswith("data.validation.")
]


@settings(max_examples=300, deadline=None)
@given(NESTED)
def test_what_is_spelled_is_read_back_by_both_yamls(value: object) -> None:
    written = f"a: {spell(value)}\nb: [{spell(value)}]\n"
    read = parse(written, "")
    assert read.data == {"a": value, "b": [value]}, written
    assert yaml.safe_load(written) == {"a": value, "b": [value]}, written


@st.composite
def recipes(draw: st.DrawFn) -> str:
    """Sections in blocks and in brackets, with comments, empty lines, empty sections, blocks of text."""
    lines = [draw(st.sampled_from(["", "# a comment", "---"]))] if draw(st.booleans()) else []
    sections = draw(st.lists(st.sampled_from(sorted({path[0] for path in PATHS})), unique=True, max_size=6))
    for section in sections:
        if draw(st.booleans()):
            lines.append(draw(st.sampled_from(["", "# before", "  # odd"])))
        keys = draw(st.lists(st.sampled_from([p[1] for p in PATHS if p[0] == section]), unique=True, max_size=4))
        tail = draw(st.sampled_from(["", "  # behind"]))
        if not keys:
            lines.append(f"{section}:{draw(st.sampled_from(['', ' {}', ' null']))}{tail}")
        elif draw(st.booleans()):
            comma = draw(st.sampled_from([", ", ",", " , ", ",\n    "]))
            inner = comma.join(f"{key}: {spell(draw(NESTED))}" for key in keys)
            lines.append(f"{section}: {{{inner}{draw(st.sampled_from(['', ' ', ',']))}}}{tail}")
        else:
            indent = draw(st.sampled_from(["  ", "    ", " "]))
            lines.append(f"{section}:{tail}")
            for key in keys:
                if draw(st.integers(0, 5)) == 0:
                    lines += [f"{indent}{key}: |", f"{indent}  some", f"{indent}  # text"]
                else:
                    lines.append(f"{indent}{key}: {spell(draw(NESTED))}{draw(st.sampled_from(['', '  # why', ' ']))}")
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return "\n".join(lines).replace("\n", end) + draw(st.sampled_from(["", end, end * 2]))


def tree(text: str) -> dict[str, Any]:
    read = parse(text, "")
    assert not read.diagnostics or read.data is None, read.diagnostics
    return read.data or {}


def changed_alone(old: str, new: str, path: tuple[str, ...]) -> None:
    """Every comment that is not within the value is still there."""
    edits = edits_between(old, new)
    assert apply(old, edits) == new
    assert len(edits) <= 2, (path, edits)
    for comment in ("# a comment", "# before", "# behind", "# odd"):
        assert new.count(comment) == old.count(comment), (path, comment)


def expected(data: dict[str, Any], path: tuple[str, ...], value: object) -> dict[str, Any] | None:
    """The data with the leaf; None where something else than a section stands in the way."""
    head, *rest = path
    inner = data.get(head)
    if not rest:
        return {**data, head: value}
    if inner is not None and not isinstance(inner, dict):
        return None
    deeper = expected(inner or {}, tuple(rest), value)
    return None if deeper is None else {**data, head: deeper}


@settings(max_examples=500, deadline=None)
@given(recipes(), st.sampled_from(PATHS), NESTED)
def test_any_leaf_of_any_recipe_can_be_set(text: str, path: tuple[str, ...], value: object) -> None:
    before = tree(text)
    found, wanted = set_leaves(text, {path: value}, SECTIONS), expected(before, path, value)
    if wanted is None:
        assert found is None
        return
    assert found is not None, (text, path, value)
    assert tree(found) == wanted
    changed_alone(text, found, path)


@settings(max_examples=300, deadline=None)
@given(recipes(), st.data())
def test_any_leaf_of_any_recipe_can_be_taken_out(text: str, data: st.DataObject) -> None:
    before = tree(text)
    there = [(section, key) for section, keys in before.items() if isinstance(keys, dict) for key in keys]
    if not there:
        return
    section, key = path = data.draw(st.sampled_from(there))
    found = remove(text, path)
    assert found is not None, (text, path)
    left = {name: value for name, value in before[section].items() if name != key}
    assert tree(found) == {**before, section: left or None}


@settings(max_examples=300, deadline=None)
@given(recipes(), st.data())
def test_any_key_of_any_recipe_can_be_renamed(text: str, data: st.DataObject) -> None:
    before = tree(text)
    there = [(section, key) for section, keys in before.items() if isinstance(keys, dict) for key in keys]
    if not there:
        return
    section, key = path = data.draw(st.sampled_from(there))
    found = rename(text, path, "called")
    assert found is not None, (text, path)
    assert list(tree(found)[section]) == ["called" if name == key else name for name in before[section]]
    changed_alone(text, found, path)


@settings(max_examples=200, deadline=None)
@given(recipes(), recipes())
def test_edits_between_any_texts(old: str, new: str) -> None:
    assert apply(old, edits_between(old, new)) == new
    assert apply(new, edits_between(new, old)) == old
