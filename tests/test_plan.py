"""The plan: two lists of the same leaves as the recipe; what is trained and saved; the stacks side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import pytest
from leaf_patterns import leaf_patterns
from leaf_values import recipe_leaves
from msgspec.structs import replace
from plans import A100_40, A100_80, a_plan, facts, full, lora

from backends.base import pattern
from compiler.build import Compiled, Options, compile_recipe
from compiler.memory import weigh
from compiler.memory.differences import Difference, difference
from compiler.memory.saved import trained
from compiler.memory.stacks import profile
from compiler.report.alternatives import Option, headline, reason, sides
from compiler.report.paint import Paint
from compiler.report.plan_data import plan_report
from compiler.report.plan_text import plan_text
from schemas.footprint import Footprint, Parts, Stack
from schemas.method_plan import MethodPlan, PrefixPlan, PromptPlan, PTuningPlan
from schemas.plan import Plan

LLAMA = "meta-llama/Llama-3.1-8B"
STACKS: tuple[Stack, ...] = get_args(Stack)
QUICKSTART = Path(__file__).parents[1] / "recipes" / "quickstart" / "quickstart.ftc.yaml"
PLAIN = Paint(on=False)

DERIVED = {"data.train[].local", "data.validation[].local"}
"""Whether a source is a file: seen from its path."""


def test_every_leaf_of_the_recipe_is_in_the_plan_and_nothing_else() -> None:
    # A model that its provider trains has a plan of its own.
    written = {pattern(leaf.path) for leaf in recipe_leaves() if leaf.arm != "hosted"}
    planned = set(leaf_patterns())
    sections = {path for path in planned if any(other.startswith((f"{path}.", f"{path}[")) for other in planned)}
    assert planned - DERIVED - (sections - written) == written


# --- what is trained and saved


def test_an_adapter_is_as_large_as_its_matrices() -> None:
    """Rank 8 on q and v of Llama 3.1 8B: 3,407,872 parameters, which PEFT prints as 0.0424 %."""
    method = lora(facts(LLAMA), rank=8, target_modules=("q_proj", "v_proj"))
    found = trained(a_plan(LLAMA, method), "native")
    assert (found.parameters, found.saved, found.saved_bytes) == (3_407_872, "adapter", 4 * 3_407_872)
    assert found.share == pytest.approx(0.000424, abs=1e-6)
    half = trained(a_plan(LLAMA, replace(method, adapter_dtype="bfloat16")), "native")
    assert half.saved_bytes == 2 * 3_407_872


def test_of_full_fine_tuning_the_whole_model_is_saved() -> None:
    frozen = full(freeze=("model.layers.*",))
    whole, part = trained(a_plan(LLAMA, "full"), "native"), trained(a_plan(LLAMA, frozen), "native")
    assert (whole.share, whole.saved, whole.saved_bytes) == (1, "model", 2 * 8_030_261_248)
    assert part.share < 0.2
    assert part.saved_bytes == whole.saved_bytes


@pytest.mark.parametrize(
    ("method", "saved"),
    [
        (PromptPlan("prompt_tuning", 20, None), 20 * 4096 * 4),
        (PTuningPlan("p_tuning", 20, None, 512), 20 * 4096 * 4),
        (PrefixPlan("prefix_tuning", 20, None, True), 20 * 32 * 2 * 1024 * 4),
    ],
    ids=["prompt", "p-tuning", "prefix"],
)
def test_of_virtual_tokens_what_they_became_is_saved(method: MethodPlan, saved: int) -> None:
    assert trained(a_plan(LLAMA, method), "peft").saved_bytes == saved


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_the_size_is_the_files(kind: Literal["lora", "dora"], tmp_path: Path) -> None:
    """PEFT's own file of the quickstart's adapter: the same bytes and a header."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    plan = compile_recipe("r", QUICKSTART.read_text("utf-8"), QUICKSTART.parent, Options()).plan
    assert plan is not None
    assert plan.lora is not None
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(QUICKSTART.parent / "base"))
    config = LoraConfig(r=plan.lora.rank, target_modules=list(plan.lora.target_modules), use_dora=kind == "dora")
    get_peft_model(model, config).save_pretrained(str(tmp_path), save_embedding_layers=False)
    size = (tmp_path / "adapter_model.safetensors").stat().st_size
    expected = trained(replace(plan, method=replace(plan.lora, kind=kind)), "native").saved_bytes
    assert expected <= size <= expected * 1.02


def planned(plan: Plan, stack: Stack = "native") -> Compiled:
    return Compiled("r.ftc.yaml", None, plan, weigh(plan, stack), None, ())


def test_the_plan_says_what_is_saved() -> None:
    one = planned(a_plan(LLAMA, "lora"))
    assert "trained: 41,943,040 parameters, 0.52 % of all; the adapter that is saved is 160 MiB" in plan_text(
        one, [], PLAIN
    )
    assert plan_report(one, "native", [])["trained"] == {
        "parameters": 41_943_040,
        "share": 0.005196,
        "saved": "adapter",
        "saved_bytes": 167_772_160,
    }


# --- the stacks side by side


def part(footprint: Footprint, name: str) -> int:
    return getattr(footprint.parts, name)


WORSE: list[tuple[str, Plan, Stack, Stack, str, str]] = [
    ("whole logits", a_plan(LLAMA, loss="chunked", micro=4), "llamafactory", "native", "logits", "losses"),
    ("float32 weights", a_plan(LLAMA, "qlora", loss="full"), "peft", "axolotl", "weights", "upcast"),
    ("foreach", a_plan(LLAMA, "full"), "peft", "unsloth", "workspace", "foreach"),
    (
        "copies of inputs",
        a_plan(LLAMA, checkpointing=False, loss="chunked"),
        "axolotl",
        "native",
        "activations",
        "casts_adapter_inputs",
    ),
]


@pytest.mark.parametrize(
    ("plan", "stack", "leaner", "biggest", "fact"), [case[1:] for case in WORSE], ids=[case[0] for case in WORSE]
)
def test_a_stack_needs_more_because_of_its_biggest_part(
    plan: Plan, stack: Stack, leaner: Stack, biggest: str, fact: str
) -> None:
    found = difference(plan, stack, leaner)
    assert found is not None
    mine, other = weigh(plan, stack), weigh(plan, leaner)
    grown = {name: part(mine, name) - part(other, name) for name in Parts.__struct_fields__}
    assert found.part == biggest == max(grown, key=lambda name: grown[name])
    assert found.part_more == grown[biggest]
    assert found.fact == fact
    assert found.source == profile(stack).sources[fact]
    assert f"more {biggest}" in reason(found)


def test_the_leaner_stack_has_no_reason() -> None:
    assert difference(a_plan(LLAMA, loss="chunked"), "native", "llamafactory") is None
    assert difference(a_plan(LLAMA), "native", "native") is None


def test_a_peak_at_another_moment_is_said() -> None:
    """A part that grows by more than the whole: another one is smaller then."""
    moved = Difference("peft", "native", 1 << 30, "activations", 5 << 30, "upcast", "because", "source")
    assert reason(moved).startswith("1.0 GiB more than ftc's own script over TRL, at another moment, which has 5.0 GiB")


ROOMY = a_plan(LLAMA, "lora", micro=8, loss="chunked", gpu=A100_40)


def everywhere(plan: Plan) -> list[Option]:
    return [Option(stack, plan.hardware.gpu, planned(plan, stack)) for stack in STACKS]


def test_stacks_side_by_side_in_words() -> None:
    text = plan_text(planned(ROOMY), everywhere(ROOMY), PLAIN)
    assert "fits with ftc's own script over TRL, Axolotl and Unsloth" in text
    assert "not fit with" in text
    assert "because the loss holds all logits" in text
    assert "llamafactory 0.9.5: no chunked loss but Liger's" in text
    assert all(f"\n  {stack}" in text for stack in STACKS)


def test_stacks_side_by_side_for_programs() -> None:
    report = plan_report(planned(ROOMY), "native", everywhere(ROOMY))
    by_stack = {item["stack"]: item for item in report["alternatives"]}  # type: ignore[union-attr]
    assert set(by_stack) == set(STACKS)
    for stack, item in by_stack.items():
        assert item["as_planned"]["verdict"] == weigh(ROOMY, stack).verdict
        assert item["settings"] == {}
    worst = by_stack["llamafactory"]
    assert worst["as_planned"]["verdict"] == "does_not_fit"
    assert worst["reason"]["part"] == "logits"
    assert worst["reason"]["part_more_gib"] > 15
    assert [stack for stack, item in by_stack.items() if item["reason"] is None] == [worst["reason"]["than"]]


def test_what_auto_would_be_for_a_stack_alone_is_shown() -> None:
    training = replace(ROOMY.training, micro_batch_size=1)
    solved = replace(ROOMY, training=training)
    others = [item for item in everywhere(ROOMY) if item.stack != "llamafactory"]
    found = sides(
        planned(ROOMY), [*others, Option("llamafactory", ROOMY.hardware.gpu, planned(solved, "llamafactory"))]
    )
    [side] = [side for side in found if side.stack == "llamafactory"]
    assert side.solved == {"training.micro_batch_size": 1}
    assert side.then == weigh(solved, "llamafactory")
    assert all(other.then is None for other in found if other is not side)


def test_one_stack_is_not_compared() -> None:
    assert sides(planned(ROOMY), everywhere(ROOMY)[:1]) == ()
    assert "stacks" not in plan_report(planned(ROOMY), "native", [])


def test_where_all_fit_no_reason_is_given() -> None:
    plan = a_plan("Qwen/Qwen2.5-0.5B", gpu=A100_80)
    assert headline(sides(planned(plan), everywhere(plan))).endswith("a plain transformers + PEFT loop")
    unknown = a_plan(gpu=None)
    assert headline(sides(planned(unknown), everywhere(unknown))) == "how much memory there is, is not known"


def test_paths_are_as_short_as_they_can_be_and_lead_where_they_led(tmp_path: Path) -> None:
    """Beside the recipe: `../data`. Behind a link it is the folder above what the link leads to."""
    for folder in ("here", "far/there", "data", "far/data"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "here" / "link").symlink_to(tmp_path / "far" / "there")
    row = '{"text": "a row of text"}\n'
    for file in ("data/a.jsonl", "far/data/a.jsonl"):
        (tmp_path / file).write_text(row * 40, "utf-8")
    text = """\
version: 1
name: paths
model: {base: llama-3.2-1b}
method: {kind: lora}
data: {train: [{path: ../data/a.jsonl}, {path: link/../data/a.jsonl}]}
"""
    plan = compile_recipe("r", text, tmp_path / "here", Options()).plan
    assert plan
    assert [source.path for source in plan.data.train] == [
        str(tmp_path / "data" / "a.jsonl"),
        str(tmp_path / "here" / "link" / ".." / "data" / "a.jsonl"),
    ]
