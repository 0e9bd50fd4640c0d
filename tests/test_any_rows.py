"""Whatever stands in a file of rows, `ftc data` comes to an end, and counts every row once."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from test_data_command import BASE

from backends.native.data import Rules
from backends.native.examine import Job
from backends.native.findings import UNREADABLE
from compiler.cli import main
from compiler.codes import pages
from compiler.data.survey import Asked, Survey, survey
from schemas.recipe import DataFormat, Fields

KINDS: tuple[DataFormat, ...] = get_args(DataFormat)
ENDINGS = ("jsonl", "json", "csv", "txt", "jsonl.gz", "parquet")
LIMIT = 48
OF_FILES = (UNREADABLE, "FTC540")
"""Codes about a file, not about its rows."""

TEXTS = st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(
    ["hi", "<|eot_id|>", "\ufffd", "[", '[{"role": "user", "content": "hi"}]', "{% x %}", " ", "word " * 60]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(TEXTS, inside, max_size=3),
    max_leaves=6,
)
ROLES = st.sampled_from(["user", "assistant", "system", "developer", "tool", "human", "gpt", "bot", "function_call"])
CALLS = st.lists(st.fixed_dictionaries({"function": st.fixed_dictionaries({"name": TEXTS, "arguments": VALUES})}))


def mostly(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What belongs there, in most cases."""
    return st.one_of(good, good, good, VALUES)


TURNS = st.lists(
    mostly(
        st.fixed_dictionaries(
            {},
            optional={
                **{name: mostly(ROLES) for name in ("role", "from")},
                **{name: mostly(TEXTS) for name in ("content", "value", "reasoning_content")},
                "tool_calls": mostly(CALLS),
                **dict.fromkeys(("name", "weight", "train"), VALUES),
            },
        )
        | st.fixed_dictionaries({"role": ROLES, "content": TEXTS})
        | st.fixed_dictionaries({"from": ROLES, "value": TEXTS})
    ),
    max_size=4,
)
SIDES = mostly(TEXTS | TURNS)
ROWS = mostly(
    st.fixed_dictionaries(
        {},
        optional={
            **{name: mostly(TURNS) for name in ("messages", "conversations")},
            **dict.fromkeys(("prompt", "completion", "chosen", "rejected"), SIDES),
            **{name: mostly(TEXTS) for name in ("text", "instruction", "input", "output", "system")},
            "label": mostly(st.booleans()),
            "tools": mostly(st.lists(st.dictionaries(TEXTS, VALUES, max_size=2), max_size=2)),
        },
    )
)
LINES = st.lists(ROWS.map(lambda row: json.dumps(row).encode()) | st.binary(max_size=30), max_size=6)
FILES = (
    LINES.map(b"\n".join)
    | LINES.map(lambda lines: b"[" + b",".join(lines) + b"]")
    | st.lists(ROWS, max_size=5).map(lambda rows: json.dumps(rows).encode())
    | st.binary(max_size=200)
    | st.text('ab,"\n\r;[]{}: 1', max_size=80).map(str.encode)
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(BASE)


@pytest.fixture(autouse=True, scope="module")
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.chdir(tmp_path_factory.mktemp("any"))
        yield


def put(content: bytes, ending: str) -> Path:
    path = Path.cwd() / f"rows.{ending}"
    path.write_bytes(gzip.compress(content) if ending.endswith("gz") and len(content) % 7 else content)
    return path


def surveyed(path: Path, kind: DataFormat, tokenizer: Any, *, templated: bool, overlong: str) -> Survey:
    source = {"path": str(path), "local": True, "format": kind, "weight": 1.0, "limit": None}
    job = Job(
        train=[{**source, "fields": Fields().model_dump()}],
        validation=None,
        system=None,
        templated=templated,
        rules=Rules("assistant" if kind in ("messages", "sharegpt") else "completion", LIMIT, overlong),
        drop_bad=False,
        seed=1,
    )
    return survey(Asked(job, tokenizer, frozenset({6}), 2, 1), lambda _: None)


@settings(max_examples=400)
@given(FILES, st.sampled_from(ENDINGS), st.sampled_from(KINDS), st.booleans(), st.sampled_from(["drop", "error"]))
def test_every_row_is_counted_once(  # noqa: PLR0917 (what hypothesis draws)
    tokenizer: Any, content: bytes, ending: str, kind: DataFormat, templated: bool, overlong: str
) -> None:
    path = put(content, ending)
    found = surveyed(path, kind, tokenizer, templated=templated, overlong=overlong)
    part = found.parts["train"]
    counts = part.counts
    assert counts.kept + counts.dropped + counts.untrained + counts.bad == counts.read
    assert found.rows == ([counts.read] if counts.read or found.rows[0] else [], [])
    bad = sum(met.count for code, met in part.met.met.items() if met.bad and code != UNREADABLE)
    assert bad == counts.bad
    # A row that is too long has a length all the same.
    most = counts.read if overlong == "error" else counts.read - counts.bad
    assert counts.read - counts.bad <= part.lengths.total() <= most
    assert all(met.count <= counts.read for code, met in part.met.met.items() if code not in OF_FILES)
    assert counts.kept <= part.pieces.total() <= counts.kept * (2 if kind == "preference" else 1)
    assert counts.truncated == counts.split == 0
    for code, met in part.met.met.items():
        assert code in pages()
        assert met.count >= len(met.first) >= 1
        for note in met.first:
            assert (note.place.file, note.code) == (str(path), code)
            assert 1 <= note.place.number <= content.count(b"\n") + 1 or note.place.counted


@settings(max_examples=100)
@given(FILES, st.sampled_from(ENDINGS), st.sampled_from(KINDS))
def test_without_a_tokenizer_the_same_rows_are_bad(content: bytes, ending: str, kind: DataFormat) -> None:
    path = put(content, ending)
    found = surveyed(path, kind, None, templated=True, overlong="drop")
    counts = found.parts["train"].counts
    bad = sum(met.count for code, met in found.parts["train"].met.met.items() if met.bad and code != UNREADABLE)
    assert 0 <= bad == counts.bad <= counts.read


RECIPE = """
version: 1
name: any
model: {{base: {base}, chat_template: llama3}}
method: {{kind: lora}}
data:
  train: {{path: rows.{ending}, format: {form}}}
  validation: null
  packing: false
  max_length: {limit}
hardware: {{gpu: cpu, memory: 8GiB}}
"""


@settings(max_examples=150)
@given(FILES, st.sampled_from(ENDINGS), st.sampled_from(["auto", "messages", "sharegpt", "alpaca", "text"]))
def test_the_command_comes_to_an_end(content: bytes, ending: str, form: str) -> None:
    put(content, ending)
    Path("r.yaml").write_text(RECIPE.format(base=BASE, ending=ending, form=form, limit=LIMIT), "utf-8")
    done = CliRunner().invoke(main, ["data", "r.yaml", "--format", "json"])
    assert done.exit_code in (0, 1, 2), done.stderr
    assert not done.stderr
    data = json.loads(done.stdout)
    assert data["valid"] == (done.exit_code == 0)
    assert CliRunner().invoke(main, ["data", "r.yaml"]).exit_code == done.exit_code
