# ruff: noqa: E402 (the scripts are found in their folder, as in an artifact)
"""What the native run trains on: which tokens of a row have labels, and what becomes of each format's columns."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from native_base import LLAMA3, UNMARKED, chats, make_tokenizer, source, write_rows

from backends.native import TEMPLATES, chat_templates
from compiler.prepare import prepare as write_prepared
from schemas.artifact import Preparation
from schemas.recipe import Fields

ROOT = Path(__file__).parents[1]

from backends.native.data import IGNORED, Counts, Encoder, Rules, Tokens, fit
from backends.native.findings import DataError, RowError, Tally
from backends.native.formats import Row
from backends.native.rows import chooser, read_rows, sound, weighted

TURNS = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "car 1?"},
    {"role": "assistant", "content": "green"},
    {"role": "user", "content": "car 2?"},
    {"role": "assistant", "content": "blau, 青い"},
)


@pytest.fixture
def tokenizer() -> Any:
    return make_tokenizer()


def encoded(rows: list[Row], tokenizer: Any, loss_on: str) -> list[Tokens]:
    found = [tokens for _, tokens in Encoder(tokenizer, loss_on).encode(rows)]
    for tokens in found:
        if isinstance(tokens, RowError):
            raise tokens
    return [tokens for tokens in found if isinstance(tokens, Tokens)]


def all_rows(sources: list[dict[str, Any]], system: str | None, *, templated: bool) -> list[Row]:
    return list(sound(read_rows(sources, system, templated), Tally(), drop_bad=False))


def trained(tokenizer: Any, row: Row, loss_on: str = "assistant") -> str:
    """The text that the loss sees, pieces of it apart by a bar."""
    (tokens,) = encoded([row], tokenizer, loss_on)
    assert len(tokens.ids) == len(tokens.labels)
    pieces: list[list[int]] = [[]]
    for token, label in zip(tokens.ids, tokens.labels, strict=True):
        assert label in (token, IGNORED)
        if label == IGNORED and pieces[-1]:
            pieces.append([])
        elif label != IGNORED:
            pieces[-1].append(label)
    return "|".join(tokenizer.decode(piece) for piece in pieces if piece)


@pytest.mark.parametrize("template", [LLAMA3, UNMARKED], ids=["marked", "unmarked"])
def test_answers_and_their_ends_are_trained_and_nothing_else(tokenizer: Any, template: str) -> None:
    tokenizer.chat_template = template
    row = Row("here", 1.0, TURNS)
    assert trained(tokenizer, row) == "green<|eot_id|>|blau, 青い<|eot_id|>"
    assert trained(tokenizer, row, "last_assistant") == "blau, 青い<|eot_id|>"
    assert trained(tokenizer, row, "completion") == "blau, 青い<|eot_id|>"
    everything = trained(tokenizer, row, "all")
    assert everything.startswith("<|start_header_id|>system")
    assert everything.endswith("blau, 青い<|eot_id|>")


def test_end_of_turn_that_a_template_leaves_unmarked_is_trained_too(tokenizer: Any) -> None:
    before = "{{- message['content'] | trim + '<|eot_id|>' -}}\n        {%- endgeneration -%}"
    after = "{{- message['content'] | trim -}}\n        {%- endgeneration -%}{{- '<|eot_id|>' -}}"
    tokenizer.chat_template = LLAMA3.replace(before, after)
    assert tokenizer.chat_template != LLAMA3
    assert trained(tokenizer, Row("here", 1.0, TURNS[1:3])) == "green<|eot_id|>"


def test_newline_after_the_end_of_turn_is_not_trained(tokenizer: Any) -> None:
    tokenizer.chat_template = UNMARKED.replace("'<|eot_id|>' -}}", "'<|eot_id|>\\n' -}}")
    assert trained(tokenizer, Row("here", 1.0, TURNS)) == "green<|eot_id|>|blau, 青い<|eot_id|>"


def test_template_that_rewrites_the_past_is_refused(tokenizer: Any) -> None:
    tokenizer.chat_template = "{{ messages | length }}" + UNMARKED
    with pytest.raises(DataError, match="renders a turn differently once others follow"):
        trained(tokenizer, Row("here", 1.0, TURNS))


def test_raw_text_ends_and_its_prompt_is_not_trained(tokenizer: Any) -> None:
    assert trained(tokenizer, Row("here", 1.0, prompt="car 1?", text=" green")) == " green<|eot_id|>"
    assert trained(tokenizer, Row("here", 1.0, text="<|begin_of_text|>The car"), "all") == "The car<|eot_id|>"


@pytest.mark.parametrize("name", chat_templates())
def test_known_templates_mark_exactly_the_answers(tokenizer: Any, name: str) -> None:
    tokenizer.chat_template = (TEMPLATES / f"{name}.jinja").read_text("utf-8")
    text = trained(tokenizer, Row("here", 1.0, TURNS))
    assert text.strip().startswith("green<")
    assert text.endswith(
        ("blau, 青い<|eot_id|>", "blau, 青い<|im_end|>", "blau, 青い<end_of_turn>", "blau, 青い<|end|>")
    )
    assert "car" not in text
    asked = tokenizer.apply_chat_template(list(TURNS[:2]), tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(list(TURNS[:3]), tokenize=False)
    assert whole.startswith(asked)


COLUMNS = {
    "messages": ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, Fields()),
    "sharegpt": (
        {"system": "s", "conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
        Fields(),
    ),
    "alpaca": ({"task": "a", "about": "x", "output": "b"}, Fields(instruction="task", input="about")),
    "prompt_completion": ({"question": "a", "completion": "b"}, Fields(prompt="question")),
}
READ = {
    "messages": ["default", "a", "b"],
    "sharegpt": ["s", "a", "b"],
    "alpaca": ["default", "a\nx", "b"],
    "prompt_completion": ["default", "a", "b"],
}


def as_config(path: Path, kind: str, fields: Fields | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "path": str(path),
        "local": True,
        "format": kind,
        "weight": 1.0,
        "limit": None,
        "fields": (fields or Fields()).model_dump(),
        **changes,
    }


@pytest.mark.parametrize("kind", COLUMNS)
def test_formats_become_conversations(kind: str, tmp_path: Path) -> None:
    record, fields = COLUMNS[kind]
    path = write_rows(tmp_path / "rows.jsonl", [record])
    (row,) = all_rows([as_config(path, kind, fields)], "default", templated=True)
    assert [message["content"] for message in row.messages] == READ[kind]
    assert [message["role"] for message in row.messages] == ["system", "user", "assistant"]


def test_files_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n007\n", "utf-8")
    (tmp_path / "b.json").write_text(json.dumps([{"text": "one"}, {"text": "two"}]), "utf-8")
    (tmp_path / "c.txt").write_text("three\nfour\n", "utf-8")
    with gzip.open(tmp_path / "d.jsonl.gz", "wt", encoding="utf-8") as stream:
        stream.write('{"text": "five"}\n\n{"text": "six"}\n')
    rows = all_rows([as_config(tmp_path / "*", "text")], None, templated=False)
    assert [row.text for row in rows] == ["007", "one", "two", "three", "four", "five", "six"]
    assert str(rows[-1].place).endswith("d.jsonl.gz:3")
    half = all_rows([as_config(tmp_path / "*", "text", limit=0.5)], None, templated=False)
    assert len(half) == 3


BROKEN = {
    "not JSON": ('{"text": ', "rows.jsonl:1: not JSON"),
    "no object": ("[1]", "rows.jsonl:1: a row must be a mapping"),
    "no column": ('{"body": "x"}', 'rows.jsonl:1: no column "text"; there is body'),
    "no text": ('{"text": 1}', 'rows.jsonl:1: "text" is no text'),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_rows_are_named(what: str, tmp_path: Path) -> None:
    line, words = BROKEN[what]
    (tmp_path / "rows.jsonl").write_text(line, "utf-8")
    with pytest.raises(DataError) as caught:
        all_rows([as_config(tmp_path / "rows.jsonl", "text")], None, templated=False)
    assert words in str(caught.value)


def rows_of(lengths: list[int]) -> list[Row]:
    return [Row(f"row {length}", 1.0, text=" ".join(["car"] * length), cuttable=True) for length in lengths]


def fitted(tokenizer: Any, rules: Rules) -> tuple[list[Tokens], Counts]:
    counts, rows = Counts(), rows_of([2, 40])
    pieces = [
        fit(tokens, row, rules, counts) for row, tokens in zip(rows, encoded(rows, tokenizer, "all"), strict=True)
    ]
    return [piece for found in pieces for piece in found], counts


def test_long_rows_by_every_policy(tokenizer: Any) -> None:
    short, long = encoded(rows_of([2, 40]), tokenizer, "all")
    limit = len(short.ids)
    kept, counts = fitted(tokenizer, Rules("all", limit, "drop"))
    assert (len(kept), counts.dropped) == (1, 1)
    kept, counts = fitted(tokenizer, Rules("all", limit, "truncate"))
    assert (len(kept), counts.truncated) == (2, 1)
    assert kept[1].ids == long.ids[:limit]
    kept, counts = fitted(tokenizer, Rules("all", limit, "split"))
    assert counts.split == 1
    assert [token for piece in kept[1:] for token in piece.ids] == long.ids[: sum(len(piece.ids) for piece in kept[1:])]
    assert all(len(piece.ids) <= limit and piece.labels[0] == IGNORED for piece in kept)
    with pytest.raises(DataError, match=r"row 40: .* more than data.max_length"):
        fitted(tokenizer, Rules("all", limit, "error"))


def test_validation_rows_are_those_that_the_compiler_parts(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", chats(0, 200))
    for share in (0.1, 17):
        part = Preparation((source(path),), share, 7, None, True, "train.jsonl", "validation.jsonl")
        write_prepared(part, tmp_path, lambda _: None)
        kept = [json.loads(line) for line in (tmp_path / "validation.jsonl").read_text("utf-8").splitlines()]
        held = chooser([as_config(path, "messages")], share, 7)
        assert kept == [row for number, row in enumerate(chats(0, 200)) if held(number)]
        assert share != 17 or len(kept) == 17


def test_weights_repeat_and_thin_out() -> None:
    rows = [Row(f"{number}", weight, text="x") for weight in (2.0, 0.5, 1.0) for number in range(100)]
    seen = list(weighted(rows, 0))
    counts = {weight: sum(row.weight == weight for row in seen) for weight in (2.0, 0.5, 1.0)}
    assert counts[2.0] == 200
    assert counts[1.0] == 100
    assert 35 <= counts[0.5] <= 65
    assert seen == list(weighted(rows, 0))
