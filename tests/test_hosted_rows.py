"""Rows that a provider would refuse are named by file and line; files that it would refuse, by the recipe's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hosted_ground import conversation, ftc, recipe, write_rows

OK = conversation(1)
USER = {"role": "user", "content": "2 + 2?"}
SAYS = {"role": "assistant", "content": "4"}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "add"}}


def calls(call: Any, answer: object = "c1", tools: Any = (TOOL,)) -> dict[str, Any]:
    turns = [USER, {"role": "assistant", "content": "", "tool_calls": [call]}]
    return {"messages": [*turns, {"role": "tool", "tool_call_id": answer, "content": "4"}, SAYS], "tools": [*tools]}


BAD: list[tuple[str, str, dict[str, Any]]] = [
    ("both", "FTC440", {"messages": [{"role": "bot", "content": "hi"}, USER, SAYS]}),
    ("both", "FTC440", {"messages": [{"role": "developer", "content": "be kind"}, USER, SAYS]}),
    ("both", "FTC441", {"messages": [USER, {"role": "assistant", "content": "  "}]}),
    ("both", "FTC441", {"messages": [{"role": "user", "content": ""}, SAYS]}),
    ("both", "FTC442", {"messages": [USER, SAYS, USER]}),
    ("both", "FTC442", {"messages": [USER]}),
    ("both", "FTC447", {"messages": [USER, {**SAYS, "mood": "sure"}]}),
    ("both", "FTC516", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, SAYS]}),
    ("both", "FTC529", {"messages": [USER, {**SAYS, "weight": 0}]}),
    ("both", "FTC513", {"prompt": "2 + 2?", "completion": "4"}),
    ("bedrock", "FTC443", {"messages": [SAYS]}),
    ("bedrock", "FTC443", {"messages": [USER, USER, SAYS]}),
    ("bedrock", "FTC440", {"messages": [USER, {"role": "system", "content": "be kind"}, SAYS]}),
    ("bedrock", "FTC444", calls(CALL)),
    ("bedrock", "FTC444", {"messages": [USER, SAYS], "tools": [TOOL]}),
    ("openai", "FTC444", calls({**CALL, "id": None})),
    ("openai", "FTC444", calls({key: said for key, said in CALL.items() if key != "type"})),
    ("openai", "FTC444", calls({**CALL, "function": {"name": "add", "arguments": {"a": 1}}})),
    ("openai", "FTC444", calls({**CALL, "function": {"name": "a b", "arguments": "{}"}})),
    ("openai", "FTC444", calls(CALL, answer="c2")),
    ("openai", "FTC444", calls(CALL, answer=["c1"])),
    ("openai", "FTC444", calls(CALL, tools=())),
    ("openai", "FTC444", calls(CALL, tools=({"name": "add"},))),
    ("openai", "FTC444", calls(CALL, tools=({"type": "function", "function": {"name": 3}},))),
]
CASES = [
    pytest.param(provider, code, row, id=f"{provider}-{number}-{code}")
    for number, (who, code, row) in enumerate(BAD)
    for provider in (("openai", "bedrock") if who == "both" else (who,))
]


@pytest.mark.parametrize(("provider", "code", "row"), CASES)
def test_a_bad_row_is_named_by_file_and_line(provider: str, code: str, row: dict[str, Any], tmp_path: Path) -> None:
    write_rows(tmp_path, [*(conversation(number) for number in range(40)), row, OK])
    done = ftc("build", recipe(tmp_path, provider), "--target", provider, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert f"{tmp_path / 'train.jsonl'}:41: " in done.output
    assert f"{code}, 1 row: " in done.output
    assert "or leave them out with data.bad_rows = drop" in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("provider", ["openai", "bedrock"])
def test_bad_rows_are_all_named_at_once(provider: str, tmp_path: Path) -> None:
    bad = [row for who, _, row in BAD if who == "both"]
    write_rows(tmp_path, [OK, *bad, *(conversation(number) for number in range(40))])
    done = ftc("plan", recipe(tmp_path, provider))
    assert done.exit_code == 1
    assert f"{len(bad)} rows cannot be trained on:" in done.output
    for code in {code for who, code, _ in BAD if who == "both"}:
        assert code in done.output


@pytest.mark.parametrize("provider", ["openai", "bedrock"])
def test_bad_rows_may_be_left_out_and_are_counted(provider: str, tmp_path: Path) -> None:
    bad = [row for who, _, row in BAD if who == "both"]
    write_rows(tmp_path, [OK, *bad, *(conversation(number) for number in range(40))])
    data = {"train": {"path": "train.jsonl", "format": "messages"}, "validation": None, "bad_rows": "drop"}
    file = recipe(tmp_path, provider, data=data)
    done = ftc("build", file, "--target", provider, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert f"{len(bad)} rows left out" in done.output
    assert len((tmp_path / "out" / "train.jsonl").read_text().splitlines()) == 41
    assert f"{len(bad)} rows left out" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("provider", "count", "data", "message"),
    [
        ("openai", 9, {}, "9 rows to train on, and OpenAI takes 10 or more"),
        ("bedrock", 31, {}, "31 rows to train on, and Amazon Bedrock takes 32 to 10,000"),
        ("bedrock", 10_001, {}, "10,001 rows to train on, and Amazon Bedrock takes 32 to 10,000"),
        ("bedrock", 80, {"validation": 31}, "31 rows to validate with"),
        ("bedrock", 3000, {"validation": 1001}, "1,001 rows to validate with"),
    ],
)
def test_too_few_rows_and_too_many(
    provider: str, count: int, data: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = "data.validation" if "validate" in message else "data.train"
    write_rows(tmp_path, [conversation(number) for number in range(count)])
    file = recipe(tmp_path, provider, data={"train": {"path": "train.jsonl"}, "validation": None, **data})
    done = ftc("plan", file, "--format", "json")
    assert done.exit_code == 1
    found = [item for item in json.loads(done.output)["diagnostics"] if item["level"] == "error"]
    assert [(item["code"], item["path"]) for item in found][:1] == [("FTC446", path)]
    assert message in found[0]["message"]
    assert found[0]["line"] > 1
    assert ftc("build", file, "--target", provider, "--out", tmp_path / "out").exit_code == 1
    assert not (tmp_path / "out").exists()


# --- lengths


def long_row(size: int) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "x" * size}, SAYS]}


def of_length(folder: Path, size: int, **data: Any) -> Path:
    write_rows(folder, [*(conversation(number) for number in range(40)), long_row(size)])
    return recipe(
        folder, "openai", data={"train": {"path": "train.jsonl"}, "validation": None, "max_length": 100, **data}
    )


def test_rows_that_are_surely_too_long_are_left_out_and_counted(tmp_path: Path) -> None:
    done = ftc("plan", of_length(tmp_path, 1000))
    assert done.exit_code == 0
    assert f"1 left out for their length, the first at {tmp_path / 'train.jsonl'}:41" in done.output
    assert "40 to train on" in done.output


def test_or_are_an_error_at_their_line(tmp_path: Path) -> None:
    done = ftc("plan", of_length(tmp_path, 1000, overlong="error"))
    assert done.exit_code == 1
    assert f"FTC445, 1 row: {tmp_path / 'train.jsonl'}:41: " in done.output
    assert "or more tokens, more than data.max_length = 100" in done.output


def test_rows_that_may_be_too_long_are_kept_with_a_warning(tmp_path: Path) -> None:
    done = ftc("plan", of_length(tmp_path, 300))
    assert done.exit_code == 0
    assert "FTC448: 1 rows may be longer than 100 tokens" in done.output
    assert "41 to train on" in done.output


@pytest.mark.parametrize("provider", ["openai", "bedrock"])
def test_a_length_over_the_provider_s_own_is_an_error_of_the_recipe(provider: str, tmp_path: Path) -> None:
    write_rows(tmp_path, [OK])
    data = {"train": {"path": "train.jsonl"}, "max_length": 65_537}
    done = ftc("validate", recipe(tmp_path, provider, data=data))
    assert done.exit_code == 1
    assert "FTC434" in done.output


# --- formats


FORMATS: dict[str, Any] = {
    "sharegpt": lambda n: {"conversations": [{"from": "human", "value": f"{n}?"}, {"from": "gpt", "value": f"{n}!"}]},
    "alpaca": lambda n: {"instruction": f"{n}?", "input": "", "output": f"{n}!"},
    "prompt_completion": lambda n: {"prompt": f"{n}?", "completion": f"{n}!"},
    "messages": lambda n: {
        "messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"{n}!"}]
    },
}


@pytest.mark.parametrize("provider", ["openai", "bedrock"])
@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_becomes_the_provider_s(kind: str, provider: str, tmp_path: Path) -> None:
    write_rows(tmp_path, [FORMATS[kind](number) for number in range(40)])
    data = {"train": {"path": "train.jsonl"}, "validation": None, "system": "Be brief."}
    done = ftc("build", recipe(tmp_path, provider, data=data), "--target", provider, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    row = json.loads((tmp_path / "out" / "train.jsonl").read_text().splitlines()[7])
    said = [{"role": "user", "content": "7?"}, {"role": "assistant", "content": "7!"}]
    if provider == "openai":
        assert row == {"messages": [{"role": "system", "content": "Be brief."}, *said]}
    else:
        assert row == {"system": "Be brief.", "messages": said}


def test_the_last_answer_alone_is_told_by_weights(tmp_path: Path) -> None:
    write_rows(tmp_path, [{"messages": [USER, SAYS, USER, SAYS]} for _ in range(10)])
    data = {"train": {"path": "train.jsonl"}, "validation": None, "loss_on": "last_assistant"}
    file = recipe(tmp_path, "openai", data=data)
    assert ftc("build", file, "--target", "openai", "--out", tmp_path / "out").exit_code == 0
    row = json.loads((tmp_path / "out" / "train.jsonl").read_text().splitlines()[0])
    assert [turn.get("weight") for turn in row["messages"]] == [None, 0, None, None]


def test_weights_of_sources_repeat_rows_and_a_share_is_kept_by_hash(tmp_path: Path) -> None:
    write_rows(tmp_path, [conversation(number) for number in range(50)])
    data = {"train": {"path": "train.jsonl", "weight": 2.0}, "validation": 10}
    file = recipe(tmp_path, "openai", data=data)
    assert ftc("build", file, "--target", "openai", "--out", tmp_path / "out").exit_code == 0
    train, held = ((tmp_path / "out" / name).read_text().splitlines() for name in ("train.jsonl", "validation.jsonl"))
    assert (len(train), len(set(train)), len(held)) == (80, 40, 10)
    assert not set(train) & set(held)


def test_a_compared_answer_of_several_turns_is_named(tmp_path: Path) -> None:
    pairs: list[dict[str, Any]] = [{"prompt": f"{n}?", "chosen": "yes", "rejected": "no"} for n in range(10)]
    pairs[3] = {"prompt": [USER], "chosen": [SAYS, {"role": "user", "content": "Sure?"}, SAYS], "rejected": "no"}
    write_rows(tmp_path, pairs)
    file = recipe(tmp_path, "openai", model={"base": "gpt-4.1"}, training={"objective": "dpo"})
    done = ftc("plan", file)
    assert done.exit_code == 1
    assert f"FTC449, 1 row: {tmp_path / 'train.jsonl'}:4: " in done.output
