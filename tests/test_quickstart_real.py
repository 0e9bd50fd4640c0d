"""The data of quickstart-real: what is held out is unknown to training, and all is as its script makes it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parents[1] / "recipes" / "quickstart-real"
PARTS = ("train", "validation", "heldout")


@pytest.fixture(scope="module")
def making() -> ModuleType:
    import sys

    spec = importlib.util.spec_from_file_location("make_orders", HERE / "make_data.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_orders"] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def orders(part: str) -> list[tuple[str, dict[str, str | int | None]]]:
    rows = [json.loads(line)["messages"] for line in (HERE / "data" / f"{part}.jsonl").read_text("utf-8").splitlines()]
    return [(question["content"], json.loads(answer["content"])) for question, answer in rows]


@pytest.mark.parametrize("part", PARTS)
def test_the_files_are_what_the_script_makes(part: str, making: ModuleType) -> None:
    made = "".join(json.dumps(row) + "\n" for row in making.part(part))
    assert (HERE / "data" / f"{part}.jsonl").read_text("utf-8") == made
    assert len(orders(part)) == making.COUNTS[part]


@pytest.mark.parametrize("part", PARTS)
def test_every_answer_stands_in_its_order(part: str, making: ModuleType) -> None:
    words = {number: word for word, number in making.NUMBERS.items()}
    for said, told in orders(part):
        assert list(told) == ["item", "quantity", "city", "day"]
        assert str(told["item"]) in said
        assert str(told["city"]) in said
        assert str(told["quantity"]) in said or words[told["quantity"]] in said.lower()
        days = [day for day in making.DAYS if day in said]
        assert days == ([told["day"]] if told["day"] else [])


def test_what_is_held_out_is_new() -> None:
    known = orders("train") + orders("validation")
    for key in ("item", "city"):
        assert not {told[key] for _, told in known} & {told[key] for _, told in orders("heldout")}
    assert not {said for said, _ in known} & {said for said, _ in orders("heldout")}
    assert not {said for said, _ in orders("train")} & {said for said, _ in orders("validation")}
