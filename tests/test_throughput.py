"""How fast a plan trains: against what was read on a card, what others published, and laws of arithmetic."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from plans import A100_80, CPU, a_plan, card

from compiler.hardware import find_gpu
from compiler.throughput import pace, speed
from schemas.facts import Gpu
from schemas.footprint import Stack
from schemas.plan import Plan
from schemas.work import adapter_params

ROOT = Path(__file__).parents[1]
LLAMA = "meta-llama/Llama-3.1-8B"
STACKS: tuple[Stack, ...] = ("native", "axolotl", "llamafactory", "unsloth", "peft")


def h100() -> Gpu:
    found = find_gpu("h100")
    assert isinstance(found, Gpu)
    return found


def read(method: str, *, kernels: str = "none", compiled: bool = False) -> Plan:
    """Steps of 16,384 tokens, as bench/gpu/ read them on an H100."""
    plan = a_plan(LLAMA, method, micro=8, checkpointing=False, loss="chunked", length=2048, kernels=kernels, gpu=h100())
    return replace(plan, training=replace(plan.training, compile=compiled))


@pytest.mark.parametrize(
    ("plan", "stack", "tokens"),
    [
        (read("lora"), "native", 11_026),
        (read("lora", kernels="liger"), "native", 13_408),
        (read("lora", compiled=True), "native", 14_737),
        (read("lora", kernels="liger", compiled=True), "native", 13_507),
        (read("qlora"), "native", 10_473),
        (read("lora"), "unsloth", 14_698),
    ],
)
def test_it_says_what_was_read_on_an_h100(plan: Plan, stack: Stack, tokens: int) -> None:
    """bench/results/h100.speed.json; the constants rest on the first, third, fourth and last."""
    found = speed(plan, stack)
    assert found
    assert found.tokens_per_second.middle == pytest.approx(tokens, rel=0.06)
    assert found.tokens_per_second.low <= tokens <= found.tokens_per_second.high


def test_published_runs_that_nothing_was_fitted_to_lie_within_the_interval() -> None:
    sys.path.insert(0, str(ROOT))
    from bench.speed_published import compared, held_out, page, rows

    found = list(rows())
    fresh = [(row, interval) for row, interval in compared(found) if held_out(row)]
    assert len(fresh) > 300
    inside = sum(interval.low <= row.measured <= interval.high for row, interval in fresh) / len(fresh)
    assert inside > 0.75
    assert median(abs(row.error) for row, _ in fresh) < 0.2
    assert (ROOT / "docs" / "speed-accuracy.md").read_text() == page(found)


def plans() -> st.SearchStrategy[Plan]:
    return st.builds(
        a_plan,
        st.sampled_from((LLAMA, "Qwen/Qwen2.5-0.5B", "google/gemma-2-9b", "mistralai/Mixtral-8x7B-v0.1")),
        st.sampled_from(("full", "lora", "qlora", "dora")),
        micro=st.sampled_from((1, 4)),
        accumulation=st.sampled_from((1, 4)),
        length=st.sampled_from((512, 4096)),
        packing=st.booleans(),
        checkpointing=st.just(False),
        loss=st.sampled_from(("full", "chunked")),
        attention=st.sampled_from(("sdpa", "eager", "flash_attention_2")),
        objective=st.sampled_from(("sft", "dpo", "kto")),
        gpu=st.sampled_from((A100_80, h100(), card(14.6, capability=7.5))),
    )


@given(plans(), st.sampled_from(STACKS))
def test_doing_more_never_takes_less(plan: Plan, stack: Stack) -> None:
    def took(**changes: object) -> float:
        return pace(replace(plan, training=replace(plan.training, **changes)), stack)

    nearly = 1 - 1e-9  # sums in another order
    assert took(gradient_checkpointing="selective") >= nearly * took()
    assert took(gradient_checkpointing=True) >= nearly * took(gradient_checkpointing="selective")
    assert took(gradient_checkpointing="offload") >= nearly * took(gradient_checkpointing=True)
    longer = replace(plan, data=replace(plan.data, max_length=2 * plan.data.max_length))
    # of a position it may: small passes wait for the host, and for weights
    assert 2 * pace(longer, stack) >= nearly * pace(plan, stack)


@given(plans(), st.sampled_from(STACKS))
def test_parts_are_never_negative_and_make_the_step(plan: Plan, stack: Stack) -> None:
    found = speed(plan, stack)
    assert found
    parts = [getattr(found.seconds, name) for name in found.seconds.__struct_fields__]
    assert min(parts) >= 0
    assert sum(parts) == pytest.approx(found.seconds.step)
    assert found.tokens_per_second.low < found.tokens_per_second.middle < found.tokens_per_second.high
    assert found.because


@given(plans(), st.sampled_from(STACKS))
def test_a_card_of_twice_the_rates_is_never_slower(plan: Plan, stack: Stack) -> None:
    gpu = plan.gpu
    assert gpu and gpu.bandwidth and gpu.bf16_tflops
    twice = replace(gpu, bf16_tflops=2 * gpu.bf16_tflops, bandwidth=2 * gpu.bandwidth)
    assert pace(replace(plan, gpu=twice), stack) <= pace(plan, stack) * (1 + 1e-9)


def test_cards_add_up_less_what_they_send() -> None:
    one = speed(a_plan(LLAMA, "full", micro=4, checkpointing=True), "native")
    for strategy in ("ddp", "fsdp", "zero2", "zero3"):
        eight = speed(a_plan(LLAMA, "full", micro=4, checkpointing=True, count=8, strategy=strategy), "native")
        assert one and eight
        assert 2 < eight.tokens_per_second.middle / one.tokens_per_second.middle < 8


def test_main_memory_costs_what_goes_to_it_and_back() -> None:
    def took(strategy: str = "zero3", **changes: object) -> float:
        plan = a_plan(LLAMA, "full", micro=4, checkpointing=True, count=8, strategy=strategy)
        return pace(replace(plan, hardware=replace(plan.hardware, **changes)), "native")

    def optimizer(name: str) -> float:
        plan = a_plan(LLAMA, "full", micro=4, checkpointing=True)
        found = speed(replace(plan, training=replace(plan.training, optimizer=name)), "native")
        assert found
        return found.seconds.optimizer

    assert took() < 0.9 * took(offload="optimizer") < 0.9 * took(offload="all")
    assert took("zero2") < took("zero2", offload="optimizer")
    # 8.03 billion weights: two values of 32 bit each, which go over PCIe at 25.2 GB/s and back
    assert optimizer("paged_adamw") == pytest.approx(2 * 8 * 8.03e9 / 25.2e9, rel=0.05)
    assert optimizer("adamw") < optimizer("paged_adamw_8bit") < optimizer("paged_adamw")


def test_of_adapted_experts_only_those_count_that_a_token_is_sent_to() -> None:
    plan = a_plan("Qwen/Qwen3-30B-A3B", "lora")
    lora = plan.lora
    assert lora
    all_linear = tuple(linear.name for linear in plan.facts.linears)
    found = adapter_params(replace(plan, method=replace(lora, target_modules=all_linear)))
    # 48 layers: attention, and of 8 experts of 768 the gate and up, and the down projection
    attention = (2048 + 4096) + 2 * (2048 + 512) + (4096 + 2048)
    assert found == 16 * 48 * (attention + 8 * ((2048 + 1536) + (768 + 2048)))


def test_small_passes_of_small_models_wait_for_the_host() -> None:
    small = speed(a_plan("Qwen/Qwen2.5-0.5B", "lora", length=256, gpu=h100()), "unsloth")
    large = speed(a_plan(LLAMA, "lora", micro=8, gpu=h100()), "unsloth")
    assert small and small.seconds.waiting > 0.5 * small.seconds.step
    assert large and large.seconds.waiting == 0


def test_unknown_rates_give_no_speed_but_a_pace_to_compare_by() -> None:
    plan = a_plan(LLAMA, "lora", gpu=CPU)
    assert speed(plan, "native") is None
    assert pace(plan, "native") > 0
    assert pace(replace(plan, training=replace(plan.training, gradient_checkpointing=False)), "native") < pace(
        plan, "native"
    )
