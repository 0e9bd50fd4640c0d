"""Laws that any weighing must obey, whatever the plan."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from plans import A100_40, A100_80, NF4, a_plan, card, facts, lora

from compiler.memory import weigh
from compiler.memory.stacks import profile
from schemas.facts import GIB
from schemas.footprint import Footprint, Stack
from schemas.method_plan import QuantizationPlan
from schemas.plan import Plan

STACKS: tuple[Stack, ...] = get_args(Stack)
DENSE = (
    "meta-llama/Llama-3.1-8B",
    "Qwen/Qwen2.5-7B",
    "google/gemma-2-9b",
    "Qwen/Qwen3-8B",
    "Qwen/Qwen2.5-0.5B",
    "microsoft/phi-4",
)
EXPERTS = "mistralai/Mixtral-8x7B-v0.1"
KINDS = ("full", "lora", "qlora", "dora", "qdora")


def on_cards(*arguments: str, cards: tuple[int, str, str], **changes: object) -> Plan:
    count, strategy, offload = cards
    return a_plan(*arguments, count=count, strategy=strategy, offload=offload, **changes)  # type: ignore[arg-type]


def any_plan() -> st.SearchStrategy[Plan]:
    return st.builds(
        on_cards,
        st.sampled_from((*DENSE, EXPERTS)),
        st.sampled_from(KINDS),
        micro=st.sampled_from((1, 2, 4)),
        accumulation=st.sampled_from((1, 4)),
        length=st.sampled_from((256, 2048, 8192)),
        packing=st.booleans(),
        checkpointing=st.sampled_from((True, False, "selective", "offload")),
        loss=st.sampled_from(("full", "chunked")),
        optimizer=st.sampled_from(("adamw", "adamw_8bit", "paged_adamw", "adafactor", "lion_8bit", "sgd", "muon")),
        attention=st.sampled_from(("sdpa", "flash_attention_2", "flex", "eager")),
        objective=st.sampled_from(("sft", "pretrain", "dpo", "orpo", "kto")),
        kernels=st.sampled_from(("none", "liger")),
        gpu=st.sampled_from((A100_40, A100_80, card(14.6, capability=7.5, bf16=None))),
        validation=st.sampled_from((None, 0.05)),
        merge=st.booleans(),
        cards=st.sampled_from(
            ((1, "single", "none"), (4, "ddp", "none"), (4, "fsdp", "all"), (8, "zero3", "optimizer"))
        ),
    )


any_stack = st.sampled_from(STACKS)


@given(any_plan(), any_stack)
def test_parts_sum_to_the_device_and_the_peak_is_a_phase(plan: Plan, stack: Stack) -> None:
    footprint = weigh(plan, stack)
    parts = {name: getattr(footprint.parts, name) for name in footprint.parts.__slots__}
    phases = [getattr(footprint.phases, name) for name in footprint.phases.__slots__]
    assert min(parts.values()) >= 0
    assert sum(parts.values()) == footprint.device
    assert footprint.allocated == max(phases)
    assert footprint.allocated == footprint.device - parts["context"] - parts["fragmentation"]
    assert footprint.reserved == footprint.device - parts["context"]


@given(any_plan(), any_stack)
def test_the_verdict_follows_from_the_numbers(plan: Plan, stack: Stack) -> None:
    footprint = weigh(plan, stack)
    assert footprint.low <= footprint.device <= footprint.high
    assert footprint.capacity is not None
    expected = "fits" if footprint.high <= footprint.capacity else "tight"
    if footprint.allocated + footprint.parts.context > footprint.capacity:
        expected = "does_not_fit"
    assert footprint.verdict == expected


def never_less(smaller: Footprint, larger: Footprint) -> None:
    assert larger.allocated >= smaller.allocated
    assert larger.device >= smaller.device
    assert larger.high >= smaller.high


@given(any_plan(), any_stack)
def test_a_longer_context_never_costs_less(plan: Plan, stack: Stack) -> None:
    longer = replace(plan, data=replace(plan.data, max_length=plan.data.max_length * 2))
    never_less(weigh(plan, stack), weigh(longer, stack))


@given(any_plan(), any_stack)
def test_a_larger_micro_batch_never_costs_less(plan: Plan, stack: Stack) -> None:
    """At the same accumulation: with one pass fewer, gradients need not be kept between passes."""
    training = plan.training
    twice = replace(
        training, micro_batch_size=training.micro_batch_size * 2, global_batch_size=training.global_batch_size * 2
    )
    never_less(weigh(plan, stack), weigh(replace(plan, training=twice), stack))


@given(any_plan(), any_stack, st.sampled_from((1, 16, 64)))
def test_more_rank_never_costs_less(plan: Plan, stack: Stack, rank: int) -> None:
    if plan.lora is None:
        return
    ranked = [replace(plan, method=replace(plan.lora, rank=size)) for size in (rank, rank * 2)]
    never_less(*(weigh(item, stack) for item in ranked))


@given(any_plan(), any_stack)
def test_checkpointing_never_costs_more(plan: Plan, stack: Stack) -> None:
    kept, again = (
        weigh(replace(plan, training=replace(plan.training, gradient_checkpointing=mode)), stack)
        for mode in (False, True)
    )
    # The step back through the first layer holds that layer's input, which an unchecked layer has given up by then:
    # seen where gradients, not activations, make the peak.
    tokens = plan.training.micro_batch_size * plan.data.max_length
    assert again.allocated <= kept.allocated + 4 * tokens * plan.facts.hidden


def in_bits(plan: Plan, model: str, bits: int) -> Plan:
    """The plan on one card, with adapters on this model's base in 16, 8 or 4 bit, every other leaf held."""
    known = facts(model)
    quantization = {16: None, 8: QuantizationPlan(8, None, None, "bfloat16"), 4: NF4}[bits]
    method = lora(known, kind="lora" if bits == 16 else "qlora", quantization=quantization)
    hardware = replace(plan.hardware, count=1, strategy="single", offload="none")
    return replace(plan, facts=known, method=method, hardware=hardware)


@given(any_plan(), any_stack, st.sampled_from(DENSE))
def test_fewer_bits_never_make_weights_larger(plan: Plan, stack: Stack, model: str) -> None:
    four, eight, sixteen = (at_rest(in_bits(plan, model, bits), stack) for bits in (4, 8, 16))
    assert four <= eight <= sixteen


@pytest.mark.parametrize("stack", [stack for stack in STACKS if profile(stack).upcast == "never"])
@pytest.mark.parametrize("model", [EXPERTS, "google/gemma-3-270m"])
def test_nor_where_little_of_a_model_is_quantised(model: str, stack: Stack) -> None:
    four, eight, sixteen = (at_rest(in_bits(a_plan(model), model, bits), stack) for bits in (4, 8, 16))
    assert four <= eight <= sixteen


def at_rest(plan: Plan, stack: Stack) -> int:
    """Bytes of weights while it trains: loading has a peak of its own."""
    return weigh(plan, stack).by_phase["optimizer"].weights


@pytest.mark.parametrize("stack", [stack for stack in STACKS if profile(stack).upcast == "never"])
@given(any_plan(), st.sampled_from(DENSE))
def test_fewer_bits_never_cost_more_where_nothing_is_upcast(stack: Stack, plan: Plan, model: str) -> None:
    four, eight, sixteen = (weigh(in_bits(plan, model, bits), stack) for bits in (4, 8, 16))
    assert four.allocated <= eight.allocated <= sixteen.allocated


def test_k_bit_preparation_can_cost_more_than_it_saves() -> None:
    """Qwen2.5 0.5B, 1024 tokens, read on an RTX 4080 (DaoyuanLi2816/can-i-finetune-this): QLoRA 3.12, LoRA 3.03 GiB."""
    model = "Qwen/Qwen2.5-0.5B"
    names = ("q_proj", "k_proj", "v_proj", "o_proj")
    plain, four = (
        weigh(
            a_plan(
                model,
                lora(facts(model), kind=kind, target_modules=names),
                length=1024,
                packing=False,
                optimizer="paged_adamw_8bit",
            ),
            "peft",
        ).allocated
        for kind in ("lora", "qlora")
    )
    assert four > plain
    assert four / GIB == pytest.approx(3.116, rel=0.02)
    assert plain / GIB == pytest.approx(3.032, rel=0.02)
