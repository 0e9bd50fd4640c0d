"""`ftc lsp` while a recipe is being typed: every beginning of each recipe, and damage at random places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lsp_client import Editor

from compiler.lsp.cursor import cursor_at
from compiler.lsp.document import Shift
from compiler.source import parse

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.ftc.yaml"))
BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
CURSOR = [
    ("model:\n  base: ll<|>\n", ("model", "base"), "value", "ll"),
    ("model:\n  base:<|>\n", ("model", "base"), "value", ""),
    ("model:\n  base: <|>  # c\n", ("model", "base"), "value", ""),
    ("model:\n  ba<|>\n", ("model",), "key", "ba"),
    ("model:\n  <|>\n", ("model",), "key", ""),
    ("model:\n  base: x\n<|>\n", (), "key", ""),
    ("model:\n  base: x\n  <|>", ("model",), "key", ""),
    ("mo<|>del:\n  base: x\n", (), "key", "mo"),
    ("data:\n  train:\n    - path: da<|>ta/x.jsonl # c\n", ("data", "train", 0, "path"), "value", "da"),
    ("data:\n  train:\n    - path: a\n      weight: 1\n    - pa<|>\n", ("data", "train", 1), "item", "pa"),
    ("data:\n  train:\n  - path: a\n  - <|>\n", ("data", "train", 1), "item", ""),
    ("data:\n  train: {path: data/tr<|>}\n", ("data", "train", "path"), "value", "data/tr"),
    ("data:\n  train: {path: 'data/tr<|>'}\n", ("data", "train", "path"), "value", "data/tr"),
    ('data:\n  train: {path: "da<|>ta/tr', ("data", "train", "path"), "value", "da"),
    ("data:\n  train: {path: a, <|>\n", ("data", "train"), "key", ""),
    ("data:\n  train: [{path: a}, {path: b, wei<|>\n", ("data", "train", 1), "key", "wei"),
    ("method: {kind: lora, target_modules: [q_proj, k<|>]}\n", ("method", "target_modules", 1), "item", "k"),
    ("method: {kind: lora, target_modules: [\nhardware: {gpu: <|>}", ("hardware", "gpu"), "value", ""),
    ("method:\n  target_modules:\n    - q_proj\n    - <|>", ("method", "target_modules", 1), "item", ""),
    ("data:\n  system: |\n    hello\n  tr<|>: x\n", ("data",), "key", "tr"),
    ("x:\r\n  y: <|>\r\n", ("x", "y"), "value", ""),
    ("m: {k: l, t: [\n    q_proj,\n    <|>\n  ]}\n", ("m", "t", 1), "item", ""),
    ("hardware: {gpu:<|>}\n", ("hardware", "gpu"), "value", ""),
    ("<|>", (), "key", ""),
]


@pytest.mark.parametrize(("marked", "path", "kind", "typed"), CURSOR, ids=[marked for marked, *_ in CURSOR])
def test_where_the_cursor_stands(marked: str, path: tuple[str | int, ...], kind: str, typed: str) -> None:
    found = cursor_at(marked.replace("<|>", ""), marked.index("<|>"))
    assert found
    assert (found.path, found.kind, found.typed) == (path, kind, typed)


@pytest.mark.parametrize(
    "marked", ["# comm<|>ent\n", "a: b # c<|>\n", "a: |\n  text <|>\n", "a: 'b'<|>\n", "a: {b: c} <|>"]
)
def test_where_nothing_is_to_be_completed(marked: str) -> None:
    assert cursor_at(marked.replace("<|>", ""), marked.index("<|>")) is None


@pytest.mark.parametrize("file", [*RECIPES, *BAD], ids=lambda file: file.stem)
def test_the_cursor_is_where_the_parser_says(file: Path) -> None:
    """At the beginning of every value that is one word."""
    text = file.read_text(encoding="utf-8")
    source = parse(text, file.name)
    lines = text.splitlines(keepends=True)
    for path in source.marks:
        place = source.place(path)
        if place is None or place.key is None or place.value.line != place.value.end_line or path.startswith("targets"):
            continue
        offset = sum(map(len, lines[: place.value.line - 1])) + place.value.column - 1
        inner = any(other.startswith((f"{path}.", f"{path}[")) for other in source.marks)
        if inner or text[offset] in "{[|>&*!'\"\n" or place.value.column == place.value.end_column:
            continue
        found = cursor_at(text, offset)
        assert found, path
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in found.path).lstrip(".")
        assert (dotted, found.kind) == (path, "value")


@given(st.text("ab\n", max_size=20), st.text("ab\n", max_size=20))
def test_what_did_not_change_is_where_it_was(old: str, new: str) -> None:
    shift = Shift(old, new)
    for offset in range(len(old)):
        there = shift.forward(offset)
        if there is not None and offset not in (shift.head,) and there < len(new):
            assert new[there] == old[offset]
            assert shift.back(there) in (offset, None, shift.head)


@pytest.fixture(scope="module")
def editor() -> Any:
    """A server that must have nothing to complain of in the end."""
    one = Editor(RECIPES[0].parent, {"schemaDiagnostics": True, "target": "all"})
    yield one
    assert one.stop() == 0
    assert not one.errors, b"".join(one.errors).decode()
    assert not [item for item in one.said if item.get("method") in ("window/showMessage", "window/logMessage")]


def asked(editor: Editor, uri: str, text: str, place: tuple[int, int]) -> None:
    """Everything that an editor asks after a keystroke; an error as an answer fails."""
    editor.change(uri, text)
    editor.complete(uri, place)
    editor.hover(uri, place)
    editor.hints(uri)
    editor.actions(uri, place[0])
    editor.ask("textDocument/documentLink", {"textDocument": {"uri": uri}})


def end_of(text: str) -> tuple[int, int]:
    return text.count("\n"), len(text.rpartition("\n")[2])


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_every_beginning_of_a_recipe(editor: Editor, file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    uri = editor.open("", file.name)
    for length in range(0, len(text) + 1, 7):
        asked(editor, uri, text[:length], end_of(text[:length]))
    editor.change(uri, text)
    assert not [item for item in editor.diagnostics(uri) if item["code"].startswith("FTC0")]
    editor.close(uri)


PIECES = [
    ":",
    "- ",
    "\n",
    "  ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "!!x ",
    "? ",
    "|",
    "\t",
    "'",
    '"',
    "\ufeff",
    "%",
    "<<: ",
    "#",
]
EDITS = st.lists(
    st.tuples(st.integers(0, 600), st.integers(0, 9), st.sampled_from([*PIECES, "😀", "\u2028", "\r"])), max_size=5
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(RECIPES), EDITS)
def test_damaged_recipes(editor: Editor, file: Path, edits: list[tuple[int, int, str]]) -> None:
    text = file.read_text(encoding="utf-8")
    uri = editor.open(text, file.name)
    for start, length, piece in edits:
        text = text[:start] + piece + text[start + length :]
        asked(editor, uri, text, (min(text.count("\n"), start // 30), start % 30))
    editor.close(uri)
