"""Expressions over module names: matched where that is quick, left alone where it could take long."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.models import find_model
from compiler.rules.expressions import expression_findings
from schemas.facts import ModelFacts


def codes(expression: str, model: str = "llama-3.1-8b", path: str = "method.target_modules") -> list[str]:
    facts = find_model(model, Path(), online=False)
    assert isinstance(facts, ModelFacts)
    return [item.code for item in expression_findings(path, expression, facts)]


@pytest.mark.parametrize(
    "expression",
    [
        r".*layers\.[0-7]\..*_proj",
        r"model\.layers\.(1[0-9]|2[0-3])\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj",
        r".*\.layers\.\d+\..*(q|v)_proj",
        r"(?:.*?)\.[qv]_proj?",
        r".*self_attn\.[qkvo]_proj|.*mlp\.down_proj",
    ],
)
def test_expressions_that_match(expression: str) -> None:
    assert codes(expression) == []


@pytest.mark.parametrize("expression", [r"q_proj", r".*layers\.99\..*", r".*attn_proj", r".*\.mlp\.q_proj"])
def test_expressions_that_match_nothing(expression: str) -> None:
    assert codes(expression) == ["FTC206"]


@pytest.mark.parametrize("expression", ["(", "*", "[", "a{2,1}", "(" * 5000])
def test_no_expressions(expression: str) -> None:
    assert codes(expression) == ["FTC212"]


def test_an_expression_stands_alone() -> None:
    assert codes(".*q_proj", path="method.target_modules[0]") == ["FTC212"]


@pytest.mark.parametrize(
    "expression",
    [
        "(a*)*!",
        "(.*)+!",
        "(.?)" * 70 + "!",
        "(.|..)" * 40 + "!",
        ".*" * 30 + "!",
        r"(.)(?=.*\1)!",
        "(?:x+x+)+y",
        ".{0,9}" * 20,
    ],
)
def test_what_could_take_long_is_not_tried(expression: str) -> None:
    assert codes(expression, "llama-3.1-405b") == []
