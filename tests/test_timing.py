"""Time and cost: arithmetic that is stated, and no number where something is unknown."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from plans import A100_80, CPU, a_plan, card

from compiler.duration.estimate import estimate
from compiler.memory import weigh
from compiler.memory.batch import batch
from compiler.memory.stacks import profile
from compiler.throughput.products import operations
from compiler.timing import tokens_per_second
from schemas.footprint import Stack
from schemas.plan import Plan
from schemas.work import pair_flops, token_flops


def flops_per_token(plan: Plan, stack: Stack) -> float:
    facts = profile(stack)
    found = operations(plan, facts, batch(plan, plan.training.micro_batch_size, facts))
    return found.products + found.attention


LLAMA = "meta-llama/Llama-3.1-8B"


def speed(plan: Plan) -> float:
    found = tokens_per_second(plan, weigh(plan, "native"))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("method", "checkpointing", "ceiling"),
    [("full", False, 16_900), ("full", True, 12_870), ("lora", False, 24_800), ("lora", True, 16_910)],
)
def test_operations_agree_with_the_ceiling_worked_out_by_hand(method: str, checkpointing: bool, ceiling: int) -> None:
    """Tokens a second at 790 TFLOP/s, 2048 tokens, rank 16 on all linear layers; the head is not computed again."""
    plan = a_plan(LLAMA, method, checkpointing=checkpointing, attention="flash_attention_2")
    assert 790e12 / flops_per_token(plan, "native") == pytest.approx(ceiling, rel=0.01)


def test_answers_that_are_compared_are_asked_of_the_base_too() -> None:
    """Once for dpo; for kto the answers of others are asked of both as well, by which it sees how far it has moved."""
    plans = [a_plan(LLAMA, "full", objective=name, packing=False) for name in ("sft", "orpo", "dpo", "kto")]
    for count in (token_flops, pair_flops):
        sft, orpo, dpo, kto = map(count, plans)
        assert (orpo, dpo, kto) == (sft, sft * 4 // 3, sft * 2)


def test_recomputing_longer_rows_and_larger_models_are_slower() -> None:
    base = speed(a_plan(LLAMA, "qlora", checkpointing=False, loss="chunked"))
    assert speed(a_plan(LLAMA, "qlora", loss="chunked")) < base
    assert speed(a_plan(LLAMA, "qlora", checkpointing=False, loss="chunked", length=8192)) < base
    assert speed(a_plan("Qwen/Qwen2.5-0.5B", "qlora", checkpointing=False, loss="chunked")) > base


def test_a_mask_that_is_written_out_costs_all_pairs() -> None:
    flash, apart, masked, flat = (
        flops_per_token(a_plan(LLAMA, "lora", micro=4, attention=attention), stack)
        for attention, stack in (
            *(("flash_attention_2", "native"), ("sdpa", "native")),
            *(("sdpa", "llamafactory"), ("eager", "native")),
        )
    )
    assert flash == apart < masked < flat


def test_cards_add_up_but_not_quite() -> None:
    one = speed(a_plan(LLAMA, "qlora", loss="chunked"))
    eight = speed(a_plan(LLAMA, "qlora", loss="chunked", count=8, strategy="ddp"))
    assert 6 * one < eight < 8 * one


def test_hours_and_cost_need_the_number_of_tokens() -> None:
    plan = a_plan(LLAMA, "qlora", loss="chunked", accumulation=16)
    unknown = estimate(plan, weigh(plan, "native"))
    assert unknown.tokens_per_second
    assert (unknown.hours, unknown.usd) == (None, None)
    assert "--tokens" in unknown.basis
    known = estimate(plan, weigh(plan, "native"), tokens=10_000_000)
    assert known.hours == pytest.approx(10_000_000 / known.tokens_per_second / 3600)
    assert known.usd == pytest.approx(known.hours * 2.0)
    assert "medium confidence" in known.basis
    assert "2026-11" in known.cost_basis


def test_steps_of_packed_rows_are_at_most_full() -> None:
    plan = a_plan(LLAMA, "qlora", loss="chunked", accumulation=16)
    plan = replace(plan, training=replace(plan.training, max_steps=100, epochs=None))
    found = estimate(plan, weigh(plan, "native")).amount.tokens
    assert found
    assert found.high == 100 * 16 * 2048
    assert 0.8 * found.high < found.low < found.middle < found.high


@pytest.mark.parametrize("gpu", [None, CPU, card(79.3, bf16=None)])
def test_an_unknown_rate_gives_no_number(gpu: object) -> None:
    plan = a_plan(LLAMA, "qlora", gpu=gpu)  # type: ignore[arg-type]
    found = estimate(plan, weigh(plan, "native"), tokens=1_000_000)
    assert (found.tokens_per_second, found.hours, found.usd) == (None, None, None)
    assert "no estimate" in found.basis


def test_a_card_without_a_price_costs_nothing_that_is_known() -> None:
    plan = a_plan(LLAMA, "qlora", loss="chunked", gpu=replace(A100_80, usd_per_hour=None))
    found = estimate(plan, weigh(plan, "native"), tokens=1_000_000)
    assert found.hours is not None
    assert found.usd is None
    assert found.cost_basis == "no price is known"
