"""Leaves that were left open: the fastest plan that fits, with reasons."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec.structs import replace
from plans import A100_80, a_plan, card

from compiler.memory import weigh
from compiler.solve import solve
from compiler.solve.search import Point, Search
from compiler.solve.space import Setting
from compiler.throughput import pace
from schemas.plan import Plan

MICRO, CHECKPOINTING = "training.micro_batch_size", "training.gradient_checkpointing"
EVALUATION, STRATEGY = "evaluation.batch_size", "hardware.strategy"
OPEN = (MICRO, CHECKPOINTING, EVALUATION)
WHY = "no GPU is named"
LLAMA = "meta-llama/Llama-3.1-8B"


def reasons(plan: Plan) -> dict[str, str]:
    return {decision.path: decision.because for decision in plan.decisions}


def solved(plan: Plan, leaves: Iterable[str] = OPEN) -> Plan:
    return solve(plan, dict.fromkeys(leaves, WHY), "native", "native")


def test_a_large_card_recomputes_nothing() -> None:
    plan = solved(a_plan(LLAMA, "lora", accumulation=16, loss="chunked", gpu=A100_80))
    assert plan.training.gradient_checkpointing is False
    assert weigh(plan, "native").verdict == "fits"
    assert "GiB" in reasons(plan)[MICRO]


def test_the_next_larger_micro_batch_would_not_fit() -> None:
    flash = {"loss": "chunked", "gpu": card(22.0), "attention": "flash_attention_2"}
    plan = solved(a_plan(LLAMA, "lora", accumulation=16, **flash))
    assert weigh(plan, "native").verdict == "fits"
    assert "would need" in reasons(plan)[MICRO]
    training = plan.training
    twice = {"micro": training.micro_batch_size * 2, "checkpointing": training.gradient_checkpointing}
    larger = a_plan(LLAMA, "lora", accumulation=2, **twice, **flash)
    assert weigh(larger, "native").verdict != "fits"


def test_a_small_card_recomputes() -> None:
    plan = solved(a_plan(LLAMA, "qlora", accumulation=16, loss="chunked", gpu=card(9.5)))
    assert plan.training.gradient_checkpointing is True
    assert weigh(plan, "native").verdict == "fits"
    assert "without it" in reasons(plan)[CHECKPOINTING]


def test_the_micro_batch_divides_the_share_of_a_device() -> None:
    plan = solved(a_plan(LLAMA, "qlora", accumulation=12, length=512, loss="chunked"))
    assert 12 % plan.training.micro_batch_size == 0
    assert plan.training.micro_batch_size * plan.accumulation == 12


def test_no_more_tokens_at_once_than_gain_speed() -> None:
    start = a_plan("Qwen/Qwen2.5-0.5B", "qlora", accumulation=64, loss="chunked")
    plan = solved(start)
    assert 1 < plan.training.micro_batch_size < 64
    assert "no faster" in reasons(plan)[MICRO]
    # Scores are computed for all pairs of positions that lie end to end: one row at a time is fastest.
    flat = solved(replace(start, model=replace(start.model, attention="eager")))
    assert flat.training.micro_batch_size == 1


def test_evaluation_follows_the_micro_batch() -> None:
    plan = solved(a_plan(LLAMA, "qlora", accumulation=8, loss="chunked", validation=0.05))
    assert plan.evaluation.batch_size == plan.training.micro_batch_size


def test_what_was_said_stays() -> None:
    plan = solved(a_plan(LLAMA, "qlora", micro=2, accumulation=4, loss="chunked"), (CHECKPOINTING,))
    assert plan.training.micro_batch_size == 2
    assert plan.training.gradient_checkpointing is False
    assert MICRO not in reasons(plan)


def test_nothing_open_changes_nothing() -> None:
    plan = a_plan(LLAMA, "qlora")
    assert solved(plan, ()) is plan


def test_without_a_card_the_fallback_stays_and_is_explained() -> None:
    plan = solved(a_plan(LLAMA, "qlora", accumulation=8, gpu=None))
    assert plan.training.micro_batch_size == 1
    assert plan.training.gradient_checkpointing is True
    assert all("no GPU is named" in because for because in reasons(plan).values())
    assert set(reasons(plan)) == set(OPEN)


def test_where_nothing_fits_the_smallest_is_named_with_its_need() -> None:
    plan = solved(a_plan("meta-llama/Llama-3.1-70B", "qlora", accumulation=8, loss="chunked", gpu=card(39.4)))
    assert plan.training.micro_batch_size == 1
    assert plan.training.gradient_checkpointing == "offload"
    assert "39.4 GiB" in reasons(plan)[MICRO]
    assert "needs least" in reasons(plan)[CHECKPOINTING]


@pytest.mark.parametrize(("method", "strategy"), [("qlora", "ddp"), ("full", "fsdp")])
def test_cards_hold_copies_where_they_can_and_shards_where_they_must(method: str, strategy: str) -> None:
    start = a_plan(LLAMA, method, accumulation=4, loss="chunked", count=8, strategy="ddp", gpu=card(39.4))
    plan = solved(start, (*OPEN, STRATEGY))
    assert plan.hardware.strategy == strategy
    assert weigh(plan, "native").verdict == "fits"
    assert reasons(plan)[STRATEGY]


def test_kto_compares_rows_and_so_takes_two() -> None:
    plan = solved(a_plan(LLAMA, "qlora", accumulation=8, objective="kto", packing=False))
    assert plan.training.micro_batch_size >= 2


def test_the_share_of_a_card_is_not_called_the_whole_batch() -> None:
    start = a_plan(LLAMA, "qlora", accumulation=2, length=512, loss="chunked", count=4, strategy="ddp")
    assert "a card's whole share" in reasons(solved(start))[MICRO]


def test_tokens_at_once_are_those_of_both_answers_of_a_pair() -> None:
    start = a_plan(LLAMA, "qlora", accumulation=64, length=2048, objective="dpo", packing=False, gpu=card(4000))
    plan = solved(start)
    tokens = plan.training.micro_batch_size * 2 * 2048
    assert f"more than {tokens:,} tokens at once are no faster" in reasons(plan)[MICRO]


def test_many_divisors_are_not_all_weighed(monkeypatch: pytest.MonkeyPatch) -> None:
    """And yet what is taken is the largest that fits, or as fast as any."""
    tried = list[int]()
    weighed = Search.weighed

    def counted(search: Search, plan: Plan, setting: Setting) -> Point:
        tried.append(plan.training.micro_batch_size)
        return weighed(search, plan, setting)

    monkeypatch.setattr(Search, "weighed", counted)
    plan = solved(a_plan(LLAMA, "qlora", accumulation=840, length=64, loss="chunked", gpu=card(22.0)))
    assert len(set(tried)) < 24  # of 32
    training = plan.training
    larger = [size for size in range(training.micro_batch_size + 1, 841) if 840 % size == 0]
    for size in larger:
        other = replace(plan, training=replace(training, micro_batch_size=size))
        assert weigh(other, "native").verdict != "fits" or pace(other, "native") > 0.99 * pace(plan, "native")
