"""When it does not fit: the changes that are proposed keep what they promise, also when a user makes them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace
from plans import A100_40, A100_80, CPU, a_plan, card, facts, lora

from backends import TARGETS, load
from backends.base import pattern, refused
from compiler.build import Compiled, Options, compile_recipe
from compiler.memory import weigh
from compiler.memory.fixes import Fix, fixes
from compiler.memory.fixes.setting import with_leaves
from schemas.artifact import Target
from schemas.facts import Gpu
from schemas.footprint import Stack
from schemas.plan import Plan, SourcePlan, leaves
from schemas.recipe import Fields

STACKS: tuple[Stack, ...] = get_args(Stack)
LLAMA, SMALL, GEMMA = "meta-llama/Llama-3.1-8B", "Qwen/Qwen2.5-0.5B", "google/gemma-2-9b"
EXPERTS = "mistralai/Mixtral-8x7B-v0.1"
RECIPES = Path(__file__).parents[1] / "recipes"
NAMES = sorted(path.name for path in RECIPES.glob("*.ftc.yaml"))
SOLVED = ("training.micro_batch_size", "training.gradient_checkpointing", "hardware.strategy")
SOURCE = SourcePlan("rows.jsonl", True, "messages", "train", None, None, 1.0, None, Fields())
HARDWARE = ("hardware.gpu", "hardware.count")
COMPANIONS = ("method.alpha", "training.learning_rate", "hardware.strategy", "hardware.memory")
"""Leaves that only come beside another one."""


def with_source(plan: Plan, overlong: str, best: bool) -> Plan:
    data = replace(plan.data, train=(SOURCE,), overlong=overlong)
    return replace(plan, data=data, checkpoint=replace(plan.checkpoint, best=best))


def on_cards(model: str, kind: str, cards: tuple[int, str], **changes: object) -> Plan:
    count, strategy = cards
    return a_plan(model, kind, count=count, strategy=strategy, **changes)  # type: ignore[arg-type]


def any_plan() -> st.SearchStrategy[Plan]:
    plans = st.builds(
        on_cards,
        st.sampled_from((LLAMA, SMALL, GEMMA, EXPERTS, "microsoft/phi-4")),
        st.sampled_from(("full", "lora", "qlora", "dora", "qdora")),
        st.sampled_from(((1, "single"), (1, "single"), (2, "ddp"), (4, "fsdp"))),
        micro=st.sampled_from((1, 2, 4, 6)),
        accumulation=st.sampled_from((1, 4)),
        length=st.sampled_from((512, 2048, 5000)),
        packing=st.booleans(),
        checkpointing=st.sampled_from((True, False, "selective", "offload")),
        loss=st.sampled_from(("full", "chunked")),
        optimizer=st.sampled_from(("adamw", "adamw_8bit", "adafactor")),
        attention=st.sampled_from(("sdpa", "flash_attention_2", "eager")),
        objective=st.sampled_from(("sft", "pretrain", "dpo", "kto")),
        gpu=st.sampled_from((card(7.6), card(14.6, capability=7.5, bf16=None), card(23.5), A100_40, CPU)),
        validation=st.sampled_from((None, 0.05)),
        evaluation=st.sampled_from((1, 8)),
    )
    return st.builds(with_source, plans, st.sampled_from(("drop", "truncate", "error")), st.booleans())


any_stack = st.sampled_from(STACKS)


def larger(plan: Plan, factor: float) -> Plan:
    """The same plan on the same card with more memory."""
    assert plan.gpu is not None
    gpu = replace(plan.gpu, memory=int(plan.gpu.memory * factor))
    return replace(plan, gpu=gpu, hardware=replace(plan.hardware, memory=gpu.memory))


@given(any_plan(), any_stack)
def test_a_fix_applied_weighs_what_it_promised(plan: Plan, stack: Stack) -> None:
    for fix in fixes(plan, stack):
        found = weigh(with_leaves(plan, fix.set), stack)
        assert (found.verdict, found.device) == (fix.footprint.verdict, fix.footprint.device)
        assert found.verdict == "fits"
        assert fix.set
        assert fix.costs


@given(any_plan(), any_stack)
def test_there_are_fixes_only_where_it_does_not_fit(plan: Plan, stack: Stack) -> None:
    if weigh(plan, stack).verdict == "fits":
        assert fixes(plan, stack) == ()
    assert fixes(with_leaves(replace(plan, gpu=None), {"hardware.memory": None}), stack) == ()


@given(any_plan(), st.sampled_from(TARGETS))
def test_a_fix_asks_nothing_that_the_target_refuses(plan: Plan, target: Target) -> None:
    backend, before = load(target), leaves(plan)
    lost = {item.path for item in backend.losses(plan) if item.level == "error"}
    for fix in fixes(plan, target):
        changed = with_leaves(plan, fix.set)
        assert {item.path for item in backend.losses(changed) if item.level == "error"} <= lost
        for path, value in leaves(changed).items():
            answer = backend.TABLE.get(pattern(path))
            if answer and not (path in before and (before[path] == value or refused(answer, before[path]))):
                assert refused(answer, value) is None, path


@given(any_plan(), any_stack, st.sampled_from((1.1, 1.5, 3.0)))
def test_on_a_larger_card_nothing_more_is_needed(plan: Plan, stack: Stack, factor: float) -> None:
    found, roomy = fixes(plan, stack), larger(plan, factor)
    settings = [fix for fix in found if not any(path in fix.set for path in HARDWARE)]
    if weigh(roomy, stack).verdict == "fits":
        assert fixes(roomy, stack) == ()
    for fix in settings:
        assert weigh(with_leaves(roomy, fix.set), stack).verdict == "fits"
    if any(len(fix.set) == 1 for fix in settings) and weigh(roomy, stack).verdict != "fits":
        assert any(len(fix.set) == 1 for fix in fixes(roomy, stack))


@given(any_plan(), any_stack)
def test_nothing_in_a_combination_can_be_left_out(plan: Plan, stack: Stack) -> None:
    for fix in fixes(plan, stack):
        parts = [path for path in fix.set if path not in COMPANIONS]
        if len(parts) < 2 or "hardware.gpu" in fix.set or "hardware.count" in fix.set:
            continue
        for path in parts:
            beside = {"method.rank": "method.alpha"}.get(path)
            fewer = {name: value for name, value in fix.set.items() if name not in (path, beside)}
            less = with_leaves(plan, fewer)
            assert weigh(less, stack).verdict != "fits" or not taken(less, plan, stack), path


def taken(changed: Plan, plan: Plan, stack: Stack) -> bool:
    """Whether the target loses no more of the changed plan than of the plan."""
    if stack not in TARGETS:
        return True
    before, after = (
        {item.path for item in load(stack).losses(each) if item.level == "error"} for each in (plan, changed)
    )
    return after <= before


@given(any_plan(), any_stack)
def test_the_larger_card_is_the_smallest_that_takes_the_plan(plan: Plan, stack: Stack) -> None:
    for fix in fixes(plan, stack):
        if set(fix.set) == {"hardware.gpu"}:
            moved = with_leaves(plan, fix.set)
            assert moved.gpu is not None
            assert "USD" in fix.costs or "no price" in fix.costs
            assert moved.gpu.memory > (plan.hardware.memory or 0)


# Through the recipe, as a user does it.


@cache
def text_of(name: str) -> str:
    return (RECIPES / name).read_text(encoding="utf-8")


def compiled(name: str, target: Target | None, sets: tuple[str, ...], stack: Stack | None = None) -> Compiled:
    options = Options(target=target, sets=sets, stack=stack)
    return compile_recipe(name, text_of(name), RECIPES, options)


def said(leaves_set: dict[str, object]) -> tuple[str, ...]:
    """Leaves as options of --set."""
    return tuple(f"{path}={json.dumps(value)}" for path, value in leaves_set.items())


def pinned(plan: Plan, fix: Fix) -> tuple[str, ...]:
    """What was solved for the plan, so that the fix alone differs. Evaluation follows the micro batch."""
    solved = {decision.path: decision.value for decision in plan.decisions}
    changed = with_leaves(plan, fix.set)
    if "evaluation.batch_size" in solved:
        solved["evaluation.batch_size"] = changed.evaluation.batch_size
    held = (*SOLVED, "evaluation.batch_size")
    return said({path: solved[path] for path in held if path in solved and path not in fix.set})


def keeps_its_promise(fix: Fix, name: str, target: Target | None, sets: tuple[str, ...], plan: Plan) -> None:
    stack = fix.footprint.stack
    again = compiled(name, target, (*sets, *said(fix.set)), stack)
    assert again.valid, [item.message for item in again.diagnostics if item.level == "error"]
    assert again.footprint is not None
    assert again.footprint.verdict == "fits"
    held = compiled(name, target, (*sets, *said(fix.set), *pinned(plan, fix)), stack)
    assert held.footprint is not None
    assert held.footprint.device == fix.footprint.device


CHANGES = (
    (),
    ("training.micro_batch_size=2",),
    ("training.micro_batch_size=4", "training.gradient_checkpointing=false"),
    ("training.gradient_checkpointing=false", "training.optimizer=adamw"),
    ("training.loss=full", "evaluation.batch_size=8"),
    ("data.max_length=4096", "data.packing=true", "data.overlong=truncate"),
    ("method={kind: full, weights_dtype: model, freeze: [model.embed_tokens*]}", "training.learning_rate=1e-5"),
    ("method={kind: lora, rank: 256, init: pissa}",),
    ("method={kind: lora, rank: 256, alpha: 64, dropout: 0.1, modules_to_save: [lm_head]}",),
    ("method={kind: qlora, rank: 16, quantization: {bits: 8}}",),
    ("model.attention=eager", "data.packing=false"),
    ("model.dtype=bfloat16", "hardware.memory=9GiB"),
    ("evaluation.batch_size=16", "checkpoint.best=true"),
    ("training.optimizer=adafactor", "method={kind: full}"),
)
CARDS = ("rtx-3060", "rtx-4090", "t4", "rtx-3070", "l4", "a100-40gb")


@given(st.sampled_from(NAMES), st.sampled_from(TARGETS), st.sampled_from(CHANGES), st.sampled_from(CARDS))
def test_a_fix_is_valid_as_a_change_of_the_recipe(
    name: str, target: Target, changes: tuple[str, ...], gpu: str
) -> None:
    sets = (f"hardware.gpu={gpu}", *changes)
    first = compiled(name, target, sets)
    assume(first.plan is not None and first.footprint is not None)
    assert first.plan is not None
    assert first.footprint is not None
    for fix in fixes(first.plan, target):
        keeps_its_promise(fix, name, target, sets, first.plan)


@given(st.sampled_from(NAMES), st.sampled_from(CHANGES), st.sampled_from(CARDS), st.sampled_from((1, 2, 8)))
def test_a_plain_loop_takes_what_no_target_refuses(name: str, changes: tuple[str, ...], gpu: str, count: int) -> None:
    sets = (f"hardware.gpu={gpu}", *changes, f"hardware.count={count}", "hardware.strategy=auto")
    first = compiled(name, None, sets, "peft")
    assume(first.plan is not None and first.footprint is not None)
    assert first.plan is not None
    for fix in fixes(first.plan, "peft"):
        keeps_its_promise(fix, name, None, sets, first.plan)
        assert fix.set.get("training.loss") != "chunked"
        assert fix.set.get("training.gradient_checkpointing") != "offload"


# What is proposed, and in which order.


def paths(found: tuple[Fix, ...]) -> list[tuple[str, ...]]:
    return [tuple(fix.set) for fix in found]


def only(gpu: Gpu, plan: Plan, stack: Stack) -> tuple[Fix, ...]:
    moved = replace(plan, gpu=gpu, hardware=replace(plan.hardware, gpu=gpu.name, memory=gpu.memory))
    return fixes(moved, stack)


def test_what_leaves_the_result_as_it_is_comes_first_and_other_cards_last() -> None:
    found = fixes(a_plan(LLAMA, "lora", micro=2, accumulation=4, checkpointing=False, gpu=card(31)), "peft")
    order = paths(found)
    assert order[0] == ("training.gradient_checkpointing",)
    assert order.index(("training.gradient_checkpointing",)) < order.index(("method.kind",))
    assert "hardware.gpu" in order[-1] or "hardware.count" in order[-1]


@pytest.mark.parametrize(("method", "share"), [("lora", "50%"), ("full", "33%")])
def test_recomputing_costs_what_its_arithmetic_says(method: str, share: str) -> None:
    """4 N FLOP a token become 6 N of a frozen base, 6 N become 8 N where all is trained; attention adds a little."""
    plan = a_plan(
        SMALL, method, micro=8, checkpointing=False, length=512, optimizer="sgd", gpu=card(10), loss="chunked"
    )
    needed = weigh(replace(plan, training=replace(plan.training, gradient_checkpointing=True)), "native")
    found = only(card(needed.high / (1 << 30) + 0.01), plan, "native")
    costs = next(fix.costs for fix in found if fix.set == {"training.gradient_checkpointing": True})
    told = int(costs.partition("about ")[2].partition("%")[0])
    assert told == pytest.approx(int(share.rstrip("%")), abs=4)


def test_the_loss_is_chunked_where_the_stack_has_one() -> None:
    plan = a_plan("Qwen/Qwen2.5-7B", "qlora", length=4096, gpu=card(20))
    assert ("training.loss",) in paths(fixes(plan, "axolotl"))
    assert ("training.kernels",) in paths(fixes(plan, "llamafactory"))
    assert not {"training.loss", "training.kernels"} & {path for fix in fixes(plan, "peft") for path in fix.set}


def test_evaluation_is_changed_where_it_is_the_peak() -> None:
    plan = a_plan(SMALL, "qlora", length=2048, validation=0.05, evaluation=16, gpu=card(15))
    plan = replace(plan, data=replace(plan.data, train=(SOURCE,)))
    footprint = weigh(plan, "peft")
    assert footprint.phases.eval == footprint.allocated
    assert ("evaluation.batch_size",) in paths(fixes(plan, "peft"))
    assert ("evaluation.every",) in paths(fixes(plan, "peft"))
    best = replace(plan, checkpoint=replace(plan.checkpoint, best=True))
    assert ("evaluation.every",) not in paths(fixes(best, "peft"))


def test_scores_are_not_written_out_unless_the_model_needs_them() -> None:
    long = {"length": 8192, "attention": "eager", "packing": False, "gpu": card(30)}
    assert {"model.attention": "sdpa"} in [fix.set for fix in fixes(a_plan(LLAMA, "qlora", **long), "peft")]
    capped = [fix.set for fix in fixes(a_plan(GEMMA, "qlora", **long), "peft")]
    assert all(found.get("model.attention") != "sdpa" for found in capped)


def test_a_mask_over_packed_rows_goes_with_a_fused_kernel_or_without_packing() -> None:
    plan = a_plan(SMALL, "lora", length=16384, checkpointing=True, loss="chunked", gpu=card(7.2))
    found = [fix.set for fix in fixes(plan, "native")]
    assert {"model.attention": "flash_attention_2"} in found
    assert {"data.packing": False} in found


def test_fused_experts_are_not_quantised() -> None:
    found = fixes(a_plan(EXPERTS, "lora", gpu=A100_40), "native")
    assert all(fix.set.get("method.kind") != "qlora" for fix in found)


def test_pissa_is_not_quantised() -> None:
    found = fixes(a_plan(LLAMA, lora(facts(LLAMA), init="pissa"), gpu=card(12)), "native")
    assert all(fix.set.get("method.kind") != "qlora" for fix in found)


def test_the_result_is_kept_by_several_changes_rather_than_harmed_by_one() -> None:
    plan = a_plan(LLAMA, "lora", micro=8, checkpointing=False, gpu=card(24))
    best = fixes(plan, "axolotl")[0]
    assert len(best.set) > 1
    assert "method.kind" not in best.set
    assert "data.max_length" not in best.set


def test_full_training_becomes_qlora_on_a_small_card() -> None:
    found = fixes(a_plan(LLAMA, "full", micro=4, checkpointing=False, gpu=card(23.5)), "llamafactory")
    together = found[0]
    assert together.set["method"] == {"kind": "qlora"}
    assert together.set["training.learning_rate"] == 2e-4
    assert "data.max_length" not in together.set


def test_replicas_become_shards_and_one_card_becomes_several() -> None:
    ddp = fixes(a_plan(LLAMA, "full", accumulation=2, count=8, strategy="ddp", gpu=A100_40), "peft")
    assert ("hardware.strategy",) in paths(ddp)
    one = fixes(a_plan(LLAMA, "full", accumulation=8, gpu=A100_40), "peft")
    assert ("hardware.count", "hardware.strategy") in paths(one)
    odd = fixes(a_plan(LLAMA, "full", accumulation=7, gpu=A100_40), "peft")
    assert all("hardware.count" not in path for path in paths(odd))


def test_targets_that_cannot_shard_are_not_asked_to() -> None:
    found = fixes(a_plan(LLAMA, "full", accumulation=8, gpu=A100_40), "unsloth")
    assert all("hardware.count" not in path for path in paths(found))


def test_a_stated_memory_goes_with_its_card() -> None:
    plan = a_plan(LLAMA, "lora", loss="chunked", gpu=A100_80)
    stated = replace(plan, hardware=replace(plan.hardware, memory=card(12).memory))
    moved = next(fix.set for fix in fixes(stated, "native") if "hardware.gpu" in fix.set)
    assert moved["hardware.memory"] is None


def test_where_neither_suffices_a_card_and_changes_come_together() -> None:
    found = fixes(a_plan("meta-llama/Llama-3.1-70B", "full", accumulation=7, gpu=card(23.5)), "native")
    assert found
    assert "hardware.gpu" in found[0].set
    assert len(found[0].set) > 1


def test_a_plan_that_fits_needs_no_fixes() -> None:
    assert fixes(a_plan(LLAMA, "qlora", loss="chunked"), "native") == ()
    assert fixes(a_plan(LLAMA, "qlora", gpu=None), "native") == ()
