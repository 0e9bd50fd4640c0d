"""Rows that ftc writes for a tool: one shape whatever their columns were, the same at build time and in an artifact."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest

from backends.alike import job
from backends.emission import PREPARES, scripts
from compiler.errors import FtcError
from compiler.prepare import prepare
from schemas.artifact import Preparation
from schemas.plan import SourcePlan
from schemas.recipe import DataFormat, Fields


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


ASKED, SAID, WORSE = turn("user", "2 + 2?"), turn("assistant", "4"), turn("assistant", "5")
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


def source(path: Path, kind: DataFormat, weight: float = 1.0, limit: float | None = None, **fields: str) -> SourcePlan:
    return SourcePlan(str(path), True, kind, "train", None, None, weight, limit, Fields(**fields))


def written(
    folder: Path,
    *sources: SourcePlan,
    system: str | None = None,
    templated: bool = True,
    marked: bool = False,
    answers: Literal["turns", "turn"] = "turn",
) -> list[Any]:
    made = Preparation(sources, None, 42, system, templated, "train.jsonl", "validation.jsonl", marked, answers)
    prepare(made, folder, lambda _: None)
    assert not (folder / "validation.jsonl").exists()
    return [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]


def rows(path: Path, *items: object) -> Path:
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


SHAPES: dict[str, tuple[DataFormat, dict[str, Any], dict[str, Any]]] = {
    "messages": ("messages", {"messages": [ASKED, SAID]}, {"messages": [ASKED, SAID]}),
    "sharegpt": (
        "sharegpt",
        {"conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]},
        {"messages": [ASKED, SAID]},
    ),
    "alpaca": (
        "alpaca",
        {"instruction": "Add", "input": "2 + 2", "output": "4"},
        {"messages": [turn("user", "Add\n2 + 2"), SAID]},
    ),
    "prompt and completion": (
        "prompt_completion",
        {"prompt": "2 + 2?", "completion": "4"},
        {"messages": [ASKED, SAID]},
    ),
    "text": ("text", {"text": "2 + 2 = 4"}, {"text": "2 + 2 = 4"}),
    "tools": (
        "messages",
        {"messages": [ASKED, SAID], "tools": TOOLS},
        {"messages": [ASKED, SAID], "tools": json.dumps(TOOLS)},
    ),
    "preference of texts": (
        "preference",
        {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"},
        {"messages": [ASKED], "chosen": SAID, "rejected": WORSE},
    ),
    "preference of turns": (
        "preference",
        {"prompt": [ASKED], "chosen": [SAID], "rejected": [WORSE]},
        {"messages": [ASKED], "chosen": SAID, "rejected": WORSE},
    ),
    "preference of whole conversations": (
        "preference",
        {"chosen": [ASKED, SAID], "rejected": [ASKED, WORSE]},
        {"messages": [ASKED], "chosen": SAID, "rejected": WORSE},
    ),
    "preference that repeats its prompt": (
        "preference",
        {"prompt": "2 + 2?", "chosen": [ASKED, SAID], "rejected": [ASKED, WORSE]},
        {"messages": [ASKED], "chosen": SAID, "rejected": WORSE},
    ),
    "kto": (
        "kto",
        {"prompt": "2 + 2?", "completion": "4", "label": True},
        {"messages": [ASKED, SAID], "label": True},
    ),
    "kto of turns": ("kto", {"messages": [ASKED, WORSE], "label": False}, {"messages": [ASKED, WORSE], "label": False}),
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_format_gets_one_shape(tmp_path: Path, name: str) -> None:
    kind, row, wanted = SHAPES[name]
    assert written(tmp_path, source(rows(tmp_path / "rows.jsonl", row), kind)) == [wanted]


@pytest.mark.parametrize("name", [name for name, (kind, _, _) in SHAPES.items() if kind != "text"])
def test_a_system_text_goes_in_front(tmp_path: Path, name: str) -> None:
    kind, row, wanted = SHAPES[name]
    (found,) = written(tmp_path, source(rows(tmp_path / "rows.jsonl", row), kind), system="Be brief.")
    assert found["messages"] == [turn("system", "Be brief."), *wanted["messages"]]


def test_a_pair_without_a_template_stays_one(tmp_path: Path) -> None:
    file = rows(tmp_path / "rows.jsonl", {"question": "2 + 2?", "answer": "4"})
    pair = source(file, "prompt_completion", prompt="question", completion="answer")
    assert written(tmp_path, pair, templated=False) == [{"prompt": "2 + 2?", "completion": "4"}]


def test_only_the_last_answer_is_marked(tmp_path: Path) -> None:
    talk = [ASKED, WORSE, turn("user", "Sure?"), SAID, turn("user", "Thanks")]
    (found,) = written(tmp_path, source(rows(tmp_path / "rows.jsonl", {"messages": talk}), "messages"), marked=True)
    assert [item["train"] for item in found["messages"]] == [False, False, False, True, False]


@pytest.mark.parametrize("name", ["preference of texts", "kto"])
def test_answers_as_trl_reads_them(tmp_path: Path, name: str) -> None:
    kind, row, _ = SHAPES[name]
    (found,) = written(tmp_path, source(rows(tmp_path / "rows.jsonl", row), kind), answers="turns")
    wanted = {"chosen": [SAID], "rejected": [WORSE]} if kind == "preference" else {"completion": [SAID], "label": True}
    assert found == {"prompt": [ASKED], **wanted}


def test_weights_and_limits_are_applied(tmp_path: Path) -> None:
    few = rows(tmp_path / "few.jsonl", *({"text": f"few {n}"} for n in range(10)))
    many = rows(tmp_path / "many.jsonl", *({"text": f"many {n}"} for n in range(10)))
    found = written(tmp_path, source(few, "text", weight=2.0), source(many, "text", limit=0.5))
    assert [row["text"] for row in found] == [
        *(f"few {n}" for n in range(10) for _ in range(2)),
        *(f"many {n}" for n in range(5)),
    ]


def test_a_column_of_dates_would_be_read_as_times(tmp_path: Path) -> None:
    pairs = [{"prompt": f"{n} May", "completion": f"2011-05-{n:02}", "label": True} for n in range(1, 9)]
    judged = rows(tmp_path / "rows.jsonl", *pairs)
    with pytest.raises(FtcError, match=r"every completion.content is a date"):
        written(tmp_path, source(judged, "kto"), answers="turns")
    rows(tmp_path / "rows.jsonl", *pairs, {"prompt": "today", "completion": "I do not know", "label": True})
    assert len(written(tmp_path, source(judged, "kto"), answers="turns")) == 9


BROKEN: dict[str, tuple[DataFormat, dict[str, Any]]] = {
    "no prompt in common": ("preference", {"chosen": [ASKED, SAID], "rejected": [turn("user", "3?"), WORSE]}),
    "neither true nor false": ("kto", {"prompt": "2 + 2?", "completion": "4", "label": "yes"}),
    "neither text nor turns": ("preference", {"prompt": "2 + 2?", "chosen": 4, "rejected": "5"}),
    "an answer of 3 turns": ("preference", {"prompt": "?", "chosen": [SAID, ASKED, SAID], "rejected": [WORSE]}),
}


@pytest.mark.parametrize("words", BROKEN)
def test_a_row_that_is_not_what_its_format_says(tmp_path: Path, words: str) -> None:
    kind, row = BROKEN[words]
    with pytest.raises(FtcError, match=rf"rows\.jsonl:1: .*{words}"):
        written(tmp_path, source(rows(tmp_path / "rows.jsonl", row), kind))


def test_an_artifact_prepares_the_same_rows_by_itself(tmp_path: Path) -> None:
    """In a process of its own that knows nothing of ftc; done once, it is not done again."""
    file = rows(tmp_path / "rows.jsonl", *({"messages": [turn("user", f"{n}? ✓"), SAID]} for n in range(50)))
    made = Preparation(
        (source(file, "messages", weight=1.5),), 0.2, 7, "Be brief.", True, "data/t.jsonl", "data/v.jsonl"
    )
    prepare(made, tmp_path / "built", lambda _: None)
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    for name, text in {**scripts(PREPARES), "prepare.json": json.dumps(job(made))}.items():
        (artifact / name).write_text(text)
    run = [sys.executable, "prepare.py"]
    first = subprocess.run(run, cwd=artifact, env={}, capture_output=True, text=True, check=True)
    assert "to validate with" in first.stdout
    for name in made.files:
        assert (artifact / name).read_bytes() == (tmp_path / "built" / name).read_bytes()
    file.unlink()
    assert subprocess.run(run, cwd=artifact, env={}, capture_output=True, text=True, check=True).stdout == ""
