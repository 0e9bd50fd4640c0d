"""Hours and cost of a run: laws that hold for every plan, and what the command says."""

from __future__ import annotations

import json

import pytest
from calls import ftc
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from plans import A100_80, a_plan

from compiler.duration.amount import millions
from compiler.duration.estimate import Estimate, estimate
from compiler.duration.ranges import Range, combined, exactly
from compiler.memory import weigh
from compiler.report.time_words import hours_words
from schemas.plan import Plan


def ready(plan: Plan) -> Estimate:
    return estimate(plan, weigh(plan, "native"), tokens=1_000_000)


@given(st.floats(0.1, 50), st.floats(0.1, 50))
def test_more_epochs_never_take_less_time(one: float, other: float) -> None:
    plan = a_plan("meta-llama/Llama-3.1-8B", "qlora", loss="chunked")
    few, many = sorted((one, other))
    fewer, more = (ready(replace(plan, training=replace(plan.training, epochs=each))) for each in (few, many))
    assert fewer.time
    assert more.time
    assert fewer.time.low <= more.time.low
    assert fewer.time.middle <= more.time.middle
    assert fewer.time.high <= more.time.high


@given(st.floats(0.01, 100), st.integers(1, 10**12))
def test_cost_is_hours_times_price(price: float, seen: int) -> None:
    plan = a_plan("meta-llama/Llama-3.1-8B", "qlora", loss="chunked", gpu=replace(A100_80, usd_per_hour=price))
    found = estimate(plan, weigh(plan, "native"), tokens=seen)
    assert found.price
    assert found.time
    for end in ("low", "middle", "high"):
        assert getattr(found.price, end) == pytest.approx(getattr(found.time, end) * price)


@pytest.mark.parametrize("said", ["training.epochs=1e308", "data.train.weight=1e300", "data.train.weight=1e308"])
def test_no_figure_is_given_for_what_no_run_could_take(said: str) -> None:
    found = ftc("plan", "recipes/llama3-8b-qlora-t4.ftc.yaml", "--format", "json", "--set", said)

    def impossible(constant: str) -> None:
        raise AssertionError(constant)

    report = json.loads(found.stdout, parse_constant=impossible)
    assert report["time"]["hours"] is None
    assert "more tokens than any run could have" in report["time"]["basis"]


def test_several_cards_cost_as_many_times() -> None:
    plan = a_plan("meta-llama/Llama-3.1-8B", "qlora", loss="chunked", count=8, strategy="ddp")
    found = ready(plan)
    assert found.usd == pytest.approx(found.hours * 8 * 2.0)  # type: ignore[operator]


@given(st.floats(1, 1e12), st.floats(0.01, 0.9), st.floats(0.01, 5), st.floats(0.01, 0.9))
def test_an_interval_grows_with_every_reason(middle: float, below: float, above: float, other: float) -> None:
    one = Range(middle * (1 - below), middle, middle * (1 + above))
    wider = one.wider(other, other)
    assert wider.low <= one.low * 1.0001
    assert wider.high >= one.high * 0.9999
    assert wider.low <= wider.middle <= wider.high
    both = combined(middle, (one, exactly(3.0)))
    assert (both.low, both.high) == (pytest.approx(one.low), pytest.approx(one.high))


def test_numbers_in_words() -> None:
    assert [millions(each) for each in (7, 9876, 123_456, 1_000_000, 41_234_000, 2.5e9)] == [
        "7",
        "9,876",
        "123,000",
        "1 million",
        "41.2 million",
        "2.5 billion",
    ]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [("12M", 12e6), ("1.5b", 1.5e9), ("800k", 8e5), ("12_000_000", 12e6), ("1,000", 1e3), ("7", 7), (" 3 M", 3e6)],
)
def test_stated_tokens(said: str, wanted: float) -> None:
    found = ftc("plan", "recipes/llama3-8b-qlora-t4.ftc.yaml", "--format", "json", "--tokens", said)
    assert json.loads(found.stdout)["time"]["tokens"] == wanted


@pytest.mark.parametrize("said", ["", "0", "-3", "many", "12T", "1e6", "9" * 20, "12 M tokens"])
def test_other_words_are_no_count(said: str) -> None:
    found = ftc("plan", "recipes/llama3-8b-qlora-t4.ftc.yaml", f"--tokens={said}")
    assert found.returncode == 2
    assert "no number of tokens" in found.stderr


def test_text_and_json_say_the_same() -> None:
    name = "recipes/llama3-8b-qlora-t4.ftc.yaml"
    report = json.loads(ftc("plan", name, "--format", "json", "--tokens", "12M").stdout)
    text = ftc("plan", name, "--tokens", "12M").stdout
    time, cost = report["time"], report["cost"]
    for found, key in ((time, "tokens_per_second"), (time, "hours"), (cost, "usd")):
        assert found[f"{key}_low"] < found[key] < found[f"{key}_high"]
    hours = Range(*(time[key] for key in ("hours_low", "hours", "hours_high")))
    assert hours_words(hours) in text
    assert f"{cost['usd']:.2f} USD ({cost['usd_low']:.2f} to {cost['usd_high']:.2f})" in text
    assert "12 million tokens in 1 epoch, as stated" in text
