"""What is written for a provider, checked by the request types of its own client."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hosted_ground import built, recipe, write_rows
from hosted_ground import ftc as ftc_command
from openai.types.chat import (
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageParam,
    ChatCompletionToolMessageParam,
)
from openai.types.fine_tuning.job_create_params import JobCreateParams
from pydantic import ConfigDict, TypeAdapter, ValidationError

from backends.hosted import load
from backends.hosted.bedrock import slug

STRICT = ConfigDict(extra="forbid")


def forbidding(kind: Any) -> Any:
    """The client's own types, in which no key is allowed that they do not name."""
    seen: dict[Any, Any] = {}

    def walk(each: Any) -> None:
        if id(each) in seen:
            return
        seen[id(each)] = each
        if hasattr(each, "__total__"):
            each.__pydantic_config__ = STRICT
            for inner in each.__annotations__.values():
                walk(inner)
            from typing import get_type_hints

            for inner in get_type_hints(each).values():
                walk(inner)
        for inner in getattr(each, "__args__", ()):
            walk(inner)

    walk(kind)
    return TypeAdapter(kind)


REQUEST = forbidding(JobCreateParams)


TURN = TypeAdapter(ChatCompletionMessageParam)


def body(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "job.json").read_text())


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"training": {"epochs": 4, "global_batch_size": 8, "seed": 7}},
        {"method": {"kind": "hosted", "learning_rate_multiplier": 0.5}},
        {"logging": {"to": ["wandb"], "project": "orders"}},
        {"data": {"train": {"path": "train.jsonl"}, "validation": 10}},
    ],
    ids=["plain", "training", "multiplier", "wandb", "validation"],
)
def test_openai_s_client_takes_the_request(sections: dict[str, Any], tmp_path: Path) -> None:
    REQUEST.validate_python(body(built(tmp_path, "openai", **sections)))


def test_the_request_of_a_comparison(tmp_path: Path) -> None:
    pairs = [{"prompt": f"{n} + 1?", "chosen": f"{n + 1}", "rejected": "no"} for n in range(12)]
    write_rows(tmp_path, pairs)
    file = recipe(
        tmp_path,
        "openai",
        model={"base": "gpt-4.1-mini"},
        training={"objective": "dpo", "preference": {"beta": 0.2}},
    )
    done = ftc_command("build", file, "--target", "openai", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    told = REQUEST.validate_python(body(tmp_path / "out"))
    assert told["method"]["dpo"]["hyperparameters"]["beta"] == 0.2
    row = json.loads((tmp_path / "out" / "train.jsonl").read_text().splitlines()[0])
    assert row["input"] == {"messages": [{"role": "user", "content": "0 + 1?"}]}
    assert row["preferred_output"] == [{"role": "assistant", "content": "1"}]
    assert row["non_preferred_output"] == [{"role": "assistant", "content": "no"}]
    for turn in (*row["input"]["messages"], *row["preferred_output"], *row["non_preferred_output"]):
        TURN.validate_python(turn)


@pytest.mark.parametrize(
    "spoiled",
    [{"n_epochs": 3}, {"seed": "7"}, {"method": {"type": "lora"}}, {"method": {"type": "dpo", "dpo": {"beta": 1}}}],
)
def test_the_check_can_fail(spoiled: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        REQUEST.validate_python({**body(built(tmp_path, "openai")), **spoiled}, strict=True)


def test_rows_with_tools_are_of_openai_s_chat_types(tmp_path: Path) -> None:
    write_rows(tmp_path, [with_tools(number) for number in range(12)])
    done = ftc_command("build", recipe(tmp_path, "openai"), "--target", "openai", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    for line in (tmp_path / "out" / "train.jsonl").read_text().splitlines():
        row = json.loads(line)
        for turn in row["messages"]:
            TURN.validate_python(turn)
        TypeAdapter(list[ChatCompletionFunctionToolParam]).validate_python(row["tools"])
        TypeAdapter(ChatCompletionToolMessageParam).validate_python(row["messages"][2])
        assert set(row) == {"messages", "tools"}


def with_tools(number: int) -> dict[str, Any]:
    """A question that is answered by a call."""
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": json.dumps({"to": number})}}
    return {
        "messages": [
            {"role": "user", "content": f"{number} + 1?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": str(number + 1)},
            {"role": "assistant", "content": f"It is {number + 1}."},
        ],
        "tools": [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}],
    }


# --- Amazon Bedrock


MODEL = botocore.session.get_session().get_service_model("bedrock")
SHAPE: Any = MODEL.operation_model("CreateModelCustomizationJob").input_shape


def request(folder: Path, attempt: int = 1) -> dict[str, Any]:
    """The whole request, as the artifact's own start makes it."""
    spec = importlib.util.spec_from_file_location("bedrock_start_of_artifact", folder / "start.py")
    assert spec
    assert spec.loader
    start = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(start)
    held = (folder / "validation.jsonl").exists()
    return start.request(body(folder), attempt, "arn:aws:iam::123456789012:role/trains", "my-bucket", held)


def wrong(asked: dict[str, Any]) -> str:
    """What botocore's validator says, and what its patterns say, which it does not look at."""
    report = ParamValidator().validate(asked, SHAPE)
    return (report.generate_report() if report.has_errors() else "") + _patterns(asked, SHAPE)


def _patterns(value: Any, shape: Any) -> str:
    if shape.type_name == "structure":
        return "".join(_patterns(item, shape.members[name]) for name, item in value.items() if name in shape.members)
    if shape.type_name == "list":
        return "".join(_patterns(item, shape.member) for item in value)
    pattern = shape.metadata.get("pattern")
    named = "" if not pattern or re.fullmatch(pattern, value) else f"{value} is no {shape.name}\n"
    allowed = getattr(shape, "enum", [])
    return named + (f"{value} is none of {allowed}\n" if allowed and value not in allowed else "")


@pytest.mark.parametrize("name", ["sums", "a", "my_run.v2", "x" * 64, "ends-with-", "a__b..c"])
@pytest.mark.parametrize("attempt", [1, 2, 10])
def test_boto3_takes_the_request(name: str, attempt: int, tmp_path: Path) -> None:
    out = built(
        tmp_path,
        "bedrock",
        80,
        name=name,
        data={"train": {"path": "train.jsonl"}, "validation": 32},
        method={"kind": "hosted", "learning_rate_multiplier": 0.25},
    )
    asked = request(out, attempt)
    assert wrong(asked) == ""
    assert asked["hyperParameters"] == {"epochCount": "1", "batchSize": "16", "learningRateMultiplier": "0.25"}


@pytest.mark.parametrize(
    "spoiled",
    [{"jobName": "a_b"}, {"hyperParameters": {"epochCount": 1}}, {"customizationType": "LORA"}, {"rank": 3}],
)
def test_the_check_of_boto3_can_fail(spoiled: dict[str, Any], tmp_path: Path) -> None:
    assert wrong({**request(built(tmp_path, "bedrock")), **spoiled})


def test_names_of_recipes_become_names_of_jobs() -> None:
    assert slug("my_run.v2") == "my-run-v2"
    assert slug("a__b--") == "a-b"


@pytest.mark.parametrize("provider", ["openai", "bedrock"])
def test_the_pinned_client_is_the_one_that_is_tested(provider: Any) -> None:
    from importlib.metadata import version

    name, _, pinned = load(provider).CLIENT.partition("==")
    assert version(name) == pinned
    assert f"{load(provider).CLIENT}\n" == load(provider).REQUIREMENTS
