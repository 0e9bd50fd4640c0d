"""When it does not fit: the changes that are proposed keep what they promise, also when a user makes them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from msgspec.structs import replace
from plans import A100_40, A100_80, CPU, a_plan, card, facts, lora

from backends import TARGETS, load
from backends.base import pattern, refused
from compiler.build import Compiled, Options, compile_recipe
from compiler.hardware import all_gpus
from compiler.memory import weigh
from compiler.memory.fixes import Fix, fixes
from compiler.memory.fixes.setting import with_leaves
from compiler.solve.reasons import ORDER
from schemas.artifact import Target
from schemas.facts import GIB, Gpu
from schemas.footprint import Stack
from schemas.plan import Plan, SourcePlan, leaves
from schemas.recipe import Fields

STACKS: tuple[Stack, ...] = get_args(Stack)
LLAMA, SMALL, GEMMA = "meta-llama/Llama-3.1-8B", "Qwen/Qwen2.5-0.5B", "google/gemma-2-9b"
EXPERTS = "mistralai/Mixtral-8x7B-v0.1"
RECIPES = Path(__file__).parents[1] / "recipes"
NAMES = sorted(path.name for path in RECIPES.glob("*.ftc.yaml"))
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


def with_memory(plan: Plan, gpu: Gpu) -> Plan:
    return replace(plan, gpu=gpu, hardware=replace(plan.hardware, gpu=gpu.name, memory=gpu.memory))


def larger(plan: Plan, factor: float) -> Plan:
    """The same plan on the same card with more memory."""
    assert plan.gpu is not None
    return with_memory(plan, replace(plan.gpu, memory=int(plan.gpu.memory * factor)))


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
    alone = [fix for fix in found if not any(path in fix.set for path in HARDWARE)]
    if weigh(roomy, stack).verdict == "fits":
        assert fixes(roomy, stack) == ()
    for fix in alone:
        assert weigh(with_leaves(roomy, fix.set), stack).verdict == "fits"
    if any(len(fix.set) == 1 for fix in alone) and weigh(roomy, stack).verdict != "fits":
        assert any(len(fix.set) == 1 for fix in fixes(roomy, stack))


UNEVEN = on_cards(
    LLAMA,
    "lora",
    (1, "single"),
    micro=1,
    accumulation=1,
    length=5000,
    packing=False,
    checkpointing=False,
    loss="full",
    optimizer="adamw_8bit",
    attention="eager",
    gpu=card(14.6, capability=7.5, bf16=None),
)
"""Where making one change milder makes another one needless."""


@given(any_plan(), any_stack)
@example(UNEVEN, "native")
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
        if set(fix.set) != {"hardware.gpu"}:
            continue
        chosen = with_leaves(plan, fix.set).gpu
        assert chosen is not None
        assert "USD" in fix.costs or "no price" in fix.costs
        for gpu in all_gpus():
            if gpu.has_bf16 and (plan.hardware.memory or 0) < gpu.memory < chosen.memory - GIB:
                assert weigh(with_leaves(plan, {"hardware.gpu": gpu.name}), stack).verdict != "fits"


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
    solved = {decision.path for decision in plan.decisions}
    changed = leaves(with_leaves(plan, fix.set))
    return said({path: changed[path] for path in ORDER if path in solved and path in changed and path not in fix.set})


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


def on(plan: Plan, size: int) -> Plan:
    """The plan on a card of that many bytes."""
    return with_memory(plan, replace(A100_80, memory=size))


def just_after(plan: Plan, stack: Stack, **changes: object) -> Plan:
    """The plan on the smallest card that takes it after this change; a double underscore stands for a dot."""
    leaves_set = {path.replace("__", "."): value for path, value in changes.items()}
    roomy = with_leaves(with_memory(plan, A100_80), leaves_set)
    return on(plan, weigh(roomy, stack).high)


def test_what_leaves_the_result_as_it_is_comes_first_and_other_cards_last() -> None:
    plan = a_plan(LLAMA, "lora", accumulation=4, checkpointing=False)
    changes = ({"training.gradient_checkpointing": True}, {"method.kind": "qlora"})
    roomy = with_memory(plan, A100_80)
    small = on(plan, max(weigh(with_leaves(roomy, change), "peft").high for change in changes))
    order = paths(fixes(small, "peft"))
    assert order[0] == ("training.gradient_checkpointing",)
    assert order.index(("training.gradient_checkpointing",)) < order.index(("method.kind",))
    assert {"hardware.gpu", "hardware.count"} & set(order[-1])


@pytest.mark.parametrize(("method", "share"), [("lora", 42), ("full", 33)])
def test_recomputing_costs_what_its_arithmetic_says(method: str, share: int) -> None:
    """4 N FLOP a token become 6 N of a frozen base, 6 N become 8 N where all is trained; what moves more than it
    computes is done again on the way to the loss alone."""
    plan = a_plan(LLAMA, method, checkpointing=False, length=4096, optimizer="sgd", loss="chunked")
    found = fixes(just_after(plan, "native", training__gradient_checkpointing=True), "native")
    costs = next(fix.costs for fix in found if fix.set == {"training.gradient_checkpointing": True})
    told = int(costs.partition("about ")[2].partition("%")[0])
    assert told == pytest.approx(share, abs=4)


def test_the_loss_is_chunked_where_the_stack_has_one() -> None:
    plan = a_plan("Qwen/Qwen2.5-7B", "qlora", length=4096)
    chunked = just_after(plan, "axolotl", training__loss="chunked")
    assert ("training.loss",) in paths(fixes(chunked, "axolotl"))
    liger = just_after(plan, "llamafactory", training__kernels="liger")
    assert ("training.kernels",) in paths(fixes(liger, "llamafactory"))
    kept = a_plan("Qwen/Qwen2.5-7B", "qlora", length=4096, checkpointing=False, loss="chunked")
    natively = just_after(kept, "native", training__kernels="liger")
    assert ("training.kernels",) in paths(fixes(natively, "native"))
    asked = {path for fix in fixes(liger, "peft") for path in fix.set}
    assert not {"training.loss", "training.kernels"} & asked


def test_evaluation_is_changed_where_it_is_the_peak() -> None:
    plan = a_plan(SMALL, "qlora", validation=0.05, evaluation=16)
    plan = replace(plan, data=replace(plan.data, train=(SOURCE,)))
    footprint = weigh(plan, "peft")
    assert footprint.phases.eval == footprint.allocated
    small = just_after(plan, "peft", evaluation__batch_size=4)
    found = fixes(small, "peft")
    assert {"evaluation.batch_size": 4} in [fix.set for fix in found]
    assert ("evaluation.every",) in paths(found)
    best = replace(small, checkpoint=replace(small.checkpoint, best=True))
    assert ("evaluation.every",) not in paths(fixes(best, "peft"))


def test_scores_are_not_written_out_unless_the_model_needs_them() -> None:
    plan = a_plan(LLAMA, "qlora", length=8192, attention="eager", packing=False)
    found = fixes(just_after(plan, "peft", model__attention="sdpa"), "peft")
    assert {"model.attention": "sdpa"} in [fix.set for fix in found]
    capped = a_plan(GEMMA, "qlora", length=8192, attention="eager", packing=False)
    found = fixes(just_after(capped, "peft", model__attention="sdpa"), "peft")
    assert all(fix.set.get("model.attention") != "sdpa" for fix in found)


def test_a_mask_over_packed_rows_goes_with_a_fused_kernel_or_without_packing() -> None:
    plan = a_plan(SMALL, "lora", length=16384, checkpointing=True, loss="chunked")
    for change in ({"model__attention": "flash_attention_2"}, {"data__packing": False}):
        found = [fix.set for fix in fixes(just_after(plan, "axolotl", **change), "axolotl")]
        assert {path.replace("__", "."): value for path, value in change.items()} in found


def test_fused_experts_are_not_quantised() -> None:
    found = fixes(a_plan(EXPERTS, "lora", gpu=A100_40), "native")
    assert all(fix.set.get("method.kind") != "qlora" for fix in found)


def test_pissa_is_not_quantised() -> None:
    found = fixes(a_plan(LLAMA, lora(facts(LLAMA), init="pissa"), gpu=card(12)), "native")
    assert all(fix.set.get("method.kind") != "qlora" for fix in found)


def test_the_result_is_kept_by_several_changes_rather_than_harmed_by_one() -> None:
    plan = a_plan(LLAMA, "lora", micro=8, checkpointing=False)
    both = {"training__micro_batch_size": 1, "training__gradient_checkpointing": True}
    best = fixes(just_after(plan, "axolotl", **both), "axolotl")[0]
    assert len(best.set) > 1
    assert "method.kind" not in best.set
    assert "data.max_length" not in best.set


def test_full_training_becomes_training_of_adapters_on_a_small_card() -> None:
    """With the section as a whole: what was said of all weights cannot be said of adapters."""
    together = fixes(a_plan(LLAMA, "full", micro=4, checkpointing=False, gpu=card(23.5)), "llamafactory")[0]
    assert together.set["method"] in ({"kind": "lora"}, {"kind": "qlora"})
    assert together.set["training.learning_rate"] == 2e-4
    assert "data.max_length" not in together.set


def test_replicas_become_shards_and_one_card_becomes_several() -> None:
    ddp = fixes(a_plan(LLAMA, "full", accumulation=2, count=8, strategy="ddp", gpu=A100_40), "peft")
    assert ("hardware.strategy",) in paths(ddp)
    one = fixes(a_plan(LLAMA, "full", accumulation=8, gpu=A100_40), "peft")
    assert ("hardware.count", "hardware.strategy") in paths(one)
    odd = fixes(a_plan(LLAMA, "full", accumulation=7, gpu=A100_40), "peft")
    assert all("hardware.count" not in path for path in paths(odd))


def test_targets_are_asked_only_for_what_they_shard_by() -> None:
    one = a_plan(LLAMA, "full", accumulation=8, gpu=A100_40)
    asked = {stack: {fix.set.get("hardware.strategy") for fix in fixes(one, stack)} for stack in ("native", "unsloth")}
    assert asked["native"] & {"zero2", "zero3", "fsdp"}
    assert not asked["unsloth"] & {"zero2", "zero3"}


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
