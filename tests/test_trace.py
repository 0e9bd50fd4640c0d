"""`ftc plan --exact`: the real training step on fake tensors, and what is said of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from plans import A100_80, CPU, a_plan, card, full
from trace_models import LLAMA, OTHERS, a_folder, a_small_plan

from compiler.errors import FtcError
from compiler.memory import weigh
from compiler.models import ModelNotFound, find_config
from compiler.trace import cache, exact
from compiler.trace.exact import weigh_exact
from compiler.trace.untraceable import UntraceableError
from schemas.facts import GIB
from schemas.footprint import Footprint, Stack
from schemas.method_plan import AdapterPlan, Ia3Plan, MethodPlan, PrefixPlan, PromptPlan, PTuningPlan, QuantizationPlan
from schemas.plan import Plan

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Traces of these tests are kept apart from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(home))
        yield home / "ftc" / "traces"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers."""
    return a_folder(tmp_path_factory.mktemp("llama"), LLAMA)


def weighed(plan: Plan, stack: Stack = "native") -> Footprint:
    return weigh_exact(plan, stack, lambda _: None)


def told(plan: Plan, stack: Stack = "native") -> list[str]:
    """What a person is told while a plan is weighed: something where it is traced, nothing where it was before."""
    said: list[str] = []
    weigh_exact(plan, stack, said.append)
    return said


# --- what is known


def test_an_8b_lora_peaks_where_others_read_it() -> None:
    found = weighed(a_plan("meta-llama/Llama-3.1-8B", "lora", packing=False), "peft")
    assert found.allocated == pytest.approx(19.4 * GIB, rel=0.01)
    assert found.parts.weights == pytest.approx(8.03e9 * 2, rel=0.01)
    first, second = found.live[:2]
    assert (first.part, first.module) == ("weights", "model.layers.*.mlp")
    assert second.part in ("weights", "logits")
    assert {item.tensor for item in found.live if item.part == "logits"} >= {"float32[2048, 128256]"}
    assert sum(item.size for item in found.live) >= 0.8 * found.allocated


def test_a_small_llama_holds_what_its_config_says(llama: Path) -> None:
    found = weighed(a_small_plan(llama, "full")).by_phase["optimizer"]
    size = 2 * a_small_plan(llama).facts.params
    assert found.weights == pytest.approx(size, rel=0.01)
    assert found.gradients == pytest.approx(size, rel=0.01)
    assert found.optimizer == pytest.approx(2 * size, rel=0.01)
    assert found.adapters == 0


# --- laws of every footprint

CASES: dict[str, tuple[str, Stack, dict[str, object]]] = {
    "lora": ("lora", "native", {}),
    "qlora chunked": ("qlora", "native", {"loss": "chunked"}),
    "qlora prepared": ("qlora", "peft", {}),
    "dora whole": ("dora", "native", {"checkpointing": False}),
    "full accumulated": ("full", "llamafactory", {"accumulation": 4}),
    "padded": ("lora", "llamafactory", {"micro": 2}),
    "packed": ("lora", "axolotl", {"packing": True, "micro": 2}),
    "flash": ("lora", "axolotl", {"attention": "flash_attention_2", "micro": 2}),
    "eager evaluated": ("lora", "peft", {"attention": "eager", "validation": 0.1, "evaluation": 4}),
    "float16 on an old card": ("lora", "native", {"dtype": "float16", "gpu": card(14.6, capability=7.5, bf16=None)}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_traced_footprint_adds_up(llama: Path, name: str) -> None:
    method, stack, said = CASES[name]
    found = weighed(a_small_plan(llama, method, **said), stack)
    parts = {part: getattr(found.parts, part) for part in found.parts.__struct_fields__}
    assert sum(parts.values()) == found.device
    assert all(size >= 0 for size in parts.values()), parts
    assert found.allocated == sum(parts.values()) - parts["context"] - parts["fragmentation"]
    assert found.allocated == max(getattr(found.phases, phase) for phase in found.phases.__struct_fields__)
    assert found.low < found.device < found.high
    assert found.allocated <= found.reserved
    assert found.method == "trace"
    assert len(found.live) <= 10
    assert sum(item.size for item in found.live) >= 0.8 * (found.allocated - 2 * 8_519_680)
    assert not any(character.isdigit() for item in found.live for character in item.module)
    assert any("torch " in line and "transformers " in line for line in found.because)
    assert any("expandable segments" in line for line in found.because)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("qlora chunked", "eager evaluated")])
def test_the_formula_agrees(llama: Path, name: str) -> None:
    method, stack, said = CASES[name]
    plan = a_small_plan(llama, method, **said)
    assert weigh(plan, stack).allocated == pytest.approx(weighed(plan, stack).allocated, rel=0.06)


def test_evaluation_is_a_phase_of_its_own(llama: Path) -> None:
    found = weighed(a_small_plan(llama, validation=0.1, evaluation=8))
    assert found.phases.eval > found.phases.step
    assert found.by_phase["eval"].logits > found.by_phase["step"].logits
    assert weighed(a_small_plan(llama)).phases.eval == 0


def test_which_segments_a_stack_has(llama: Path) -> None:
    sets, plain = (weighed(a_small_plan(llama), stack) for stack in ("axolotl", "llamafactory"))
    assert "which this stack sets" in " ".join(sets.because)
    assert "which this stack does not set" in " ".join(plain.because)


# --- checkpointing, optimizers, methods


def test_what_is_kept_for_the_backward_pass(tmp_path: Path) -> None:
    deep = a_folder(tmp_path, {**LLAMA, "num_hidden_layers": 8})
    kept = [
        weighed(a_small_plan(deep, checkpointing=mode, loss="chunked", length=2048)).parts.activations
        for mode in ("offload", True, "selective", False)
    ]
    assert kept == sorted(kept)
    assert len(set(kept)) == 4


def test_what_optimizers_hold(llama: Path) -> None:
    names = ("adamw", "paged_adamw", "adamw_8bit", "lion_8bit", "paged_adamw_8bit", "adafactor", "sgd")
    held = {name: weighed(a_small_plan(llama, "full", optimizer=name)).parts.optimizer for name in names}
    trained = a_small_plan(llama).facts.params
    embedding = 8000 * 256
    # transformers keeps 32-bit state for embeddings under 8-bit optimizers.
    assert held["adamw"] == pytest.approx(4 * trained, rel=0.01)
    assert held["adamw_8bit"] == pytest.approx(2 * (1 + 4 / 256) * (trained - embedding) + 8 * embedding, rel=0.01)
    assert held["lion_8bit"] == pytest.approx((1 + 4 / 256) * (trained - embedding) + 4 * embedding, rel=0.01)
    # State of less than 100,000 elements is not paged.
    assert held["paged_adamw"] < held["adamw"] / 5
    assert held["paged_adamw_8bit"] < held["paged_adamw"]
    assert held["sgd"] == 0
    assert 0 < held["adafactor"] < held["adamw"] / 50


def test_lora_plus_holds_what_lora_holds(llama: Path) -> None:
    plus = weighed(a_small_plan(llama, kind={"lora_plus_ratio": 16.0}))
    assert plus.parts == weighed(a_small_plan(llama)).parts


def test_noise_on_embeddings_is_seen(llama: Path) -> None:
    plan = a_small_plan(llama, checkpointing=False)
    noisy = replace(plan, training=replace(plan.training, neftune_alpha=5.0))
    assert weighed(noisy).allocated >= weighed(plan).allocated


METHODS: tuple[MethodPlan, ...] = (
    PromptPlan("prompt_tuning", 16, None),
    PrefixPlan("prefix_tuning", 16, None, False),
    PrefixPlan("prefix_tuning", 16, None, True),
    PTuningPlan("p_tuning", 16, None, 128),
    Ia3Plan("ia3", ("k_proj", "v_proj", "down_proj"), ("down_proj",)),
    AdapterPlan("adapter", 16, "relu", "houlsby"),
)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.kind)
@pytest.mark.parametrize("stack", ["native", "peft"])
def test_small_methods_train_little(llama: Path, method: MethodPlan, stack: Stack) -> None:
    # Recomputed layers get no past keys, so that a prefix would not be trained.
    found = weighed(a_small_plan(llama, method, checkpointing=not isinstance(method, PrefixPlan)), stack)
    assert 0 < found.parts.adapters < found.parts.weights / 10
    assert found.parts.optimizer == pytest.approx(2 * found.parts.adapters, rel=0.5)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.kind)
def test_the_formula_agrees_on_small_methods(llama: Path, method: MethodPlan) -> None:
    plan = a_small_plan(llama, method, checkpointing=False)
    assert weigh(plan, "native").allocated == pytest.approx(weighed(plan, "native").allocated, rel=0.07)


def test_qdora_is_evaluated_as_on_a_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine's CPU would do with 4-bit weights: some pack them anew as soon as a model only answers."""
    import bitsandbytes

    monkeypatch.setattr(bitsandbytes.nn.modules, "has_avx512bf16", lambda: True)
    wide = a_folder(tmp_path, {**LLAMA, "hidden_size": 1024, "intermediate_size": 4096, "vocab_size": 32_000})
    plan = a_small_plan(wide, "qdora", loss="chunked", checkpointing=True, validation=0.1)
    found, formula = weighed(plan), weigh(plan, "native")
    assert found.phases.eval > 0
    assert formula.allocated == pytest.approx(found.allocated, rel=0.01)


def test_fewer_bits_take_less_room(llama: Path) -> None:
    eight = {"quantization": QuantizationPlan(8, None, None, "bfloat16")}
    bits = [a_small_plan(llama, "qlora"), a_small_plan(llama, "qlora", kind=eight), a_small_plan(llama, "lora")]
    sizes = [weighed(plan).parts.weights for plan in bits]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 3


# --- architectures


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(("method", "stack"), [("lora", "native"), ("qlora", "peft"), ("full", "llamafactory")])
def test_a_model_outside_the_catalog(tmp_path: Path, name: str, method: str, stack: Stack) -> None:
    plan = a_small_plan(a_folder(tmp_path, OTHERS[name]), method)
    found, formula = weighed(plan, stack), weigh(plan, stack)
    assert found.verdict == "fits"
    assert found.parts.weights > 0
    assert formula.confidence == "low" or formula.allocated == pytest.approx(found.allocated, rel=0.1)


def test_experts_and_many_cards_are_less_sure(tmp_path: Path, llama: Path) -> None:
    experts = a_small_plan(a_folder(tmp_path, OTHERS["deepseek_v3"]), packing=True)
    assert weighed(experts, "native").confidence == "medium"
    assert weighed(a_small_plan(llama, packing=True)).confidence == "high"
    # Rows of any length with whole logits, in segments that cannot grow.
    assert weighed(a_small_plan(llama), "llamafactory").confidence == "low"


def test_replicas_need_buffers(llama: Path) -> None:
    one, two = a_small_plan(llama, packing=True), a_small_plan(llama, packing=True, count=2, strategy="ddp")
    alone, replica = weighed(one), weighed(two)
    assert replica.confidence == "low"
    assert replica.allocated - alone.allocated == pytest.approx(alone.parts.adapters, rel=0.05)
    assert replica.parts.context > alone.parts.context


# --- what cannot be traced

REFUSED: dict[str, tuple[dict[str, object], Stack, str]] = {
    "unsloth": ({}, "unsloth", "Unsloth"),
    "another's loss": ({"loss": "chunked"}, "axolotl", "Axolotl's chunked loss"),
    "sharded": ({"count": 2, "strategy": "fsdp"}, "native", "fsdp"),
    "zero": ({"count": 2, "strategy": "zero3", "offload": "all"}, "native", "zero3"),
    "preferences": ({"objective": "dpo"}, "native", "dpo"),
    "kernels": ({"kernels": "liger"}, "native", "Liger"),
    "torchao": ({"optimizer": "adamw_4bit"}, "native", "adamw_4bit"),
    "flex": ({"attention": "flex"}, "native", "flex"),
    "cpu": ({"gpu": CPU}, "native", "CPU"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_traced_is_said(llama: Path, name: str) -> None:
    said, stack, word = REFUSED[name]
    with pytest.raises(UntraceableError, match=word) as refused:
        weighed(a_small_plan(llama, **said), stack)
    assert refused.value.exit_code == 4
    assert refused.value.hint


def test_an_architecture_that_cannot_be_built(tmp_path: Path) -> None:
    broken = a_small_plan(a_folder(tmp_path, {**LLAMA, "model_type": "no_such_model"}), "full")
    with pytest.raises(UntraceableError, match="no_such_model"):
        weighed(broken)


def test_a_missing_package_names_the_remedy(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "LIBRARIES", ("torch", "no-such-package"))
    with pytest.raises(FtcError, match="no-such-package") as refused:
        weighed(a_small_plan(llama))
    assert (refused.value.exit_code, refused.value.hint) == (4, "pip install 'ftc[native]'")


# --- kept traces


def test_a_plan_is_traced_once(tmp_path: Path, kept: Path) -> None:
    plan = a_small_plan(a_folder(tmp_path, {**LLAMA, "vocab_size": 4000}))
    before = set(kept.glob("*"))
    assert told(plan)
    (made,) = set(kept.glob("*")) - before
    first = weighed(plan)
    assert not told(plan)
    made.write_bytes(b"{half of")
    assert told(plan), "a broken file is no trace"
    made.unlink()
    assert told(plan)
    assert weighed(plan) == first


def test_what_a_trace_depends_on(tmp_path: Path) -> None:
    plan = a_small_plan(a_folder(tmp_path, {**LLAMA, "vocab_size": 4096}))
    weighed(plan)
    same = replace(plan, name="other", training=replace(plan.training, learning_rate=1e-5, epochs=7, seed=3))
    assert not told(same)
    assert not told(replace(plan, hardware=replace(plan.hardware, memory=8 * GIB)))
    assert told(replace(plan, data=replace(plan.data, max_length=640)))
    assert told(plan, "llamafactory")
    assert told(replace(plan, gpu=card(80, capability=9.0)))


def test_a_smaller_card_changes_the_verdict_alone(llama: Path) -> None:
    plan = a_small_plan(llama)
    fits, fits_not = weighed(plan), weighed(replace(plan, hardware=replace(plan.hardware, memory=GIB // 2)))
    assert (fits.verdict, fits_not.verdict) == ("fits", "does_not_fit")
    assert fits.device == fits_not.device


def test_a_folder_that_cannot_be_written_keeps_nothing(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert weighed(a_small_plan(llama)).method == "trace"
    assert cache.folder() == tmp_path / "file" / "ftc" / "traces"


# --- the config.json


def test_the_config_is_the_one_the_facts_are_from(llama: Path) -> None:
    assert find_config(str(llama), Path(), online=False) == LLAMA
    listed = find_config("meta-llama/Llama-3.1-8B", Path(), online=False)
    assert not isinstance(listed, ModelNotFound)
    assert listed["hidden_size"] == 4096
    assert isinstance(find_config("no-such-model", Path(), online=False), ModelNotFound)


# --- the command


@pytest.fixture
def recipe(tmp_path: Path, llama: Path) -> Path:
    """A recipe for the small Llama."""
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "a", "completion": "b"}) + "\n")
    data = "data:\n  train: {path: rows.jsonl}\n  max_length: 512\n"
    head = f"version: 1\nname: small\nmodel: {{base: {llama}}}\nmethod: {{kind: lora}}\n"
    file = tmp_path / "small.ftc.yaml"
    file.write_text(f"{head}{data}hardware: {{gpu: rtx-4090}}\n")
    return file


def command(recipe: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "compiler.cli", "plan", str(recipe), *arguments]


def ftc(recipe: Path, *arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run `ftc plan` as a user does."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(home)}
    done = subprocess.run(command(recipe, *arguments), env=env, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def test_exact_says_so_and_nothing_else(recipe: Path, tmp_path: Path) -> None:
    done = ftc(recipe, "--exact", "--format", "json", home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    memory = json.loads(done.stdout)["memory"]
    assert memory["method"] == "trace"
    assert len(memory["live"]) == 10
    again = ftc(recipe, "--exact", home=tmp_path)
    assert again.stderr == ""
    assert "by trace" in again.stdout
    assert "largest at the peak" in again.stdout
    assert "was solved by the formula" in again.stdout


def test_all_stacks_where_some_have_no_trace(recipe: Path, tmp_path: Path) -> None:
    done = ftc(recipe, "--exact", "--stack", "all", "--format", "json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    by_stack = {item["stack"]: item for item in json.loads(done.stdout)["alternatives"]}
    methods = {stack: item["as_planned"]["method"] for stack, item in by_stack.items()}
    assert methods["native"] == methods["llamafactory"] == methods["peft"] == "trace"
    assert methods["unsloth"] == "formula"
    text = ftc(recipe, "--exact", "--stack", "all", home=tmp_path).stdout
    assert "unsloth: weighed by the formula, as it cannot be traced: Unsloth" in text


def test_a_stack_without_a_trace_ends_the_command(recipe: Path, tmp_path: Path) -> None:
    done = ftc(recipe, "--exact", "--stack", "unsloth", home=tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert "cannot be traced" in done.stderr
    assert "without --exact" in done.stderr


def test_two_answers_to_one_question(recipe: Path, tmp_path: Path) -> None:
    done = ftc(recipe, "--exact", "--calibration", str(recipe), home=tmp_path)
    assert done.returncode == 2


def test_two_processes_at_once(recipe: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "XDG_CACHE_HOME": str(tmp_path)}
    both = [
        subprocess.Popen(command(recipe, "--exact", "--format", "json"), env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    first, second = (child.communicate()[0] for child in both)
    assert json.loads(first)["memory"] == json.loads(second)["memory"]
    assert [path.suffix for path in (tmp_path / "ftc" / "traces").iterdir()] == [".json"]


@pytest.mark.slow
def test_a_70b_peaks_where_the_formula_says() -> None:
    plan = a_plan("meta-llama/Llama-3.1-70B", "qlora", packing=False, loss="chunked", gpu=A100_80)
    assert weigh(plan, "native").allocated == pytest.approx(weighed(plan).allocated, rel=0.03)


def test_full_fine_tuning_in_float32_casts_weights(llama: Path) -> None:
    wide = weighed(a_small_plan(llama, full(weights_dtype="float32")))
    narrow = weighed(a_small_plan(llama, full()))
    assert wide.parts.weights == pytest.approx(2 * narrow.parts.weights, rel=0.01)
    assert wide.parts.workspace > narrow.parts.workspace
