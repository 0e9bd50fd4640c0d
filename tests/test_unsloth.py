"""The Unsloth target: the script says everything, parses whatever a plan holds, and has its files beside it."""

from __future__ import annotations

import ast
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tool_plans import FACTS, FULL, lora, plan, source

from backends import unsloth
from backends.unsloth.script import literal
from schemas.method_plan import FullPlan, QuantizationPlan
from schemas.plan import PreferencePlan
from schemas.recipe import Fields


def script(**changes: Any) -> ast.Module:
    """The script of a plan, parsed."""
    return ast.parse(unsloth.emit(plan(**changes), None, ()).files["train.py"])


def keywords(tree: ast.Module, function: str) -> dict[str, Any]:
    """The keywords of a call that are literals."""
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(function)
    ]
    found: dict[str, Any] = {}
    for item in calls[0].keywords:
        try:
            found[str(item.arg)] = ast.literal_eval(item.value)
        except ValueError:
            found[str(item.arg)] = ast.unparse(item.value)
    return found


def value(tree: ast.Module, name: str) -> Any:
    """What is assigned to a name, as a literal or as source."""
    node = next(x for x in ast.walk(tree) if isinstance(x, ast.Assign) and ast.unparse(x.targets[0]) == name)
    try:
        return ast.literal_eval(node.value)
    except ValueError:
        return ast.unparse(node.value)


def refused(**changes: Any) -> set[tuple[str, str]]:
    """Code and path of every loss."""
    return {(item.code, item.path) for item in unsloth.losses(plan(**{"training__loss": "chunked", **changes}))}


COMPARED: dict[str, Any] = {
    "training__objective": "dpo",
    "training__preference": PreferencePlan(0.2, "hinge"),
    "training__loss": "full",
    "data__train": (source(format="preference"),),
    "data__packing": False,
    "data__overlong": "truncate",
    "method": lora(),
}

LOADED = {
    "model_name": "meta-llama/Llama-3.2-1B-Instruct",
    "revision": "main",
    "load_in_4bit": True,
    "load_in_8bit": False,
    "load_in_16bit": False,
    "full_finetuning": False,
    "use_exact_model_name": True,
    "max_seq_length": "MAX_LENGTH",
    "random_state": "SEED",
    "use_gradient_checkpointing": True,
    "dtype": "torch.bfloat16",
}

DRIFTING = {
    "learning_rate": 2e-4,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.1,
    "optim": "adamw_torch_fused",
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 8,
    "num_train_epochs": 2,
    "max_steps": -1,
    "max_length": "MAX_LENGTH",
    "packing": True,
    "eval_packing": False,
    "padding_free": False,
    "bf16": True,
    "fp16": False,
    "gradient_checkpointing": True,
    "save_strategy": "epoch",
    "save_total_limit": 2,
    "logging_steps": 10,
    "seed": "SEED",
    "report_to": "none",
    "average_tokens_across_devices": True,
}


def test_every_default_that_drifts_between_tools_is_written() -> None:
    tree = script()
    loaded, trained = keywords(tree, "from_pretrained"), keywords(tree, "SFTConfig")
    assert {key: loaded.get(key) for key in LOADED} == LOADED
    assert {key: trained.get(key) for key in DRIFTING} == DRIFTING
    assert keywords(tree, "get_peft_model")["r"] == 16
    assert (value(tree, "SEED"), value(tree, "MAX_LENGTH")) == (42, 2048)


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        (lora("lora"), (False, False, True, False)),
        (lora("qlora"), (True, False, False, False)),
        (lora("qlora", quantization=QuantizationPlan(8, None, None, "bfloat16")), (False, True, False, False)),
        (FULL, (False, False, False, True)),
    ],
)
def test_one_way_of_loading(method: Any, wanted: tuple[bool, ...]) -> None:
    loaded = keywords(script(method=method), "from_pretrained")
    names = ("load_in_4bit", "load_in_8bit", "load_in_16bit", "full_finetuning")
    assert tuple(loaded[name] for name in names) == wanted


def test_full_has_no_adapter_and_its_type_is_said() -> None:
    text = unsloth.emit(plan(method=FullPlan("full", (), (), "float32")), None, ()).files["train.py"]
    assert "get_peft_model" not in text
    assert keywords(ast.parse(text), "from_pretrained")["float32_mixed_precision"] is True
    assert keywords(script(method=FULL), "SFTConfig")["bf16"] is False


def test_offload_is_unsloths_own_checkpointing() -> None:
    tree = script(training__gradient_checkpointing="offload")
    assert keywords(tree, "get_peft_model")["use_gradient_checkpointing"] == "unsloth"


def test_sources_say_what_is_unusual_about_them() -> None:
    found = script(data__train=(source(weight=2.0, limit=10, fields=Fields(messages="turns")),))
    call = "source(path='/data/train.jsonl', format='messages', weight=2.0, limit=10, messages='turns')"
    assert value(found, "TRAIN") == f"[{call}]"


def test_rows_are_kept_back_as_in_every_target() -> None:
    share, none = script(data__validation=0.1), script(data__validation=None)
    assert value(share, "VALIDATION") == 0.1
    assert "masked(rows.validation)" in ast.unparse(share)
    assert "masked(rows.validation)" not in ast.unparse(none)
    assert not unsloth.emit(plan(data__validation=0.1), None, ()).preparation


def test_the_script_finds_what_it_imports() -> None:
    files = unsloth.emit(plan(), None, ()).files
    beside = {name.removesuffix(".py") for name in files if name.endswith(".py")}
    tools = {"unsloth", "torch", "datasets", "transformers", "trl", "numpy", "pyarrow", "filelock"}
    for name in beside:
        nodes = ast.parse(files[f"{name}.py"]).body
        wanted = {str(node.module).partition(".")[0] for node in nodes if isinstance(node, ast.ImportFrom)}
        wanted |= {
            alias.name.partition(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names
        }
        assert wanted - beside - tools - set(sys.stdlib_module_names) == set(), name
    assert not re.search(r"\b(compiler|backends|schemas)\b", files["train.py"])


PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)


@given(PLAIN)
def test_literals_read_back_as_they_were(plain: object) -> None:
    assert repr(ast.literal_eval(literal(plain))) == repr(plain)


def test_other_types_have_no_literal() -> None:
    with pytest.raises(TypeError, match="Fields has no literal"):
        literal([Fields()])


@given(st.text(), st.text())
def test_no_text_of_a_recipe_becomes_code(system: str, project: str) -> None:
    tree = script(data__system=system, logging__project=project, output__dir=system, logging__to=("wandb",))
    assert value(tree, "SYSTEM") == system
    assert value(tree, "OUT").rpartition("/unsloth-")[0] == system
    assert keywords(tree, "SFTConfig")["project"] == project
    assert ast.dump(tree).count("Import") == ast.dump(script(logging__to=("wandb",))).count("Import")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"hardware__gpu": "cpu"}, "data.packing"),
        ({"training__loss": "full"}, "training.loss"),
        ({**COMPARED, "training__loss": "chunked"}, "training.loss"),
        ({**COMPARED, "data__overlong": "drop"}, "data.overlong"),
        ({"model__tokens__add": ("<x>",)}, "model.tokens.add"),
        ({"method": lora(modules_to_save=("score",))}, "method.modules_to_save"),
        ({"model__chat_template": "/nowhere/chat.jinja"}, "model.chat_template"),
        ({"method": FullPlan("full", (), (), "float16")}, "method.weights_dtype"),
    ],
)
def test_combinations_that_it_cannot_keep(changes: dict[str, Any], path: str) -> None:
    assert ("FTC404", path) in refused(**changes)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"training__gradient_checkpointing": "offload", "data__max_length": 256}, "training.gradient_checkpointing"),
        ({**COMPARED, "training__objective": "orpo"}, "model.chat_template"),
        ({**COMPARED, "training__objective": "orpo"}, "training.objective"),
        ({**COMPARED, "training__objective": "kto"}, "data.shuffle"),
    ],
)
def test_what_is_done_a_little_differently_is_warned_about(changes: dict[str, Any], path: str) -> None:
    assert ("FTC405", path) in refused(**changes)
    assert ("FTC405", path) not in refused()


def test_lora_plus_decays_by_the_name_that_peft_reads() -> None:
    tree = script(method=lora(lora_plus_ratio=4.0), training__weight_decay=0.1)
    told = keywords(tree, "create_loraplus_optimizer")
    assert told["loraplus_weight_decay"] == "trainer.args.weight_decay"
    assert "weight_decay" not in told


@pytest.mark.parametrize(
    ("objective", "trainer", "loss"), [("dpo", "DPO", ["hinge"]), ("orpo", "ORPO", None), ("kto", "KTO", None)]
)
def test_compared_answers_go_to_the_trainer_of_their_objective(objective: Any, trainer: str, loss: Any) -> None:
    preference = PreferencePlan(0.2, loss[0] if loss else None)
    tree = script(**{**COMPARED, "training__objective": objective, "training__preference": preference})
    told = keywords(tree, f"{trainer}Config")
    assert (told["beta"], told.get("loss_type"), told["max_length"]) == (0.2, loss, "MAX_LENGTH")
    assert "packing" not in told
    assert f"{trainer}Trainer(" in ast.unparse(tree)
    assert "RULES" not in ast.unparse(tree)


def test_what_is_frozen_stands_in_the_script() -> None:
    tree = script(method=FullPlan("full", ("*embed*",), ("*layers.1.*",), "bfloat16"))
    assert (value(tree, "FREEZE"), value(tree, "TRAIN_ONLY")) == (["*embed*"], ["*layers.1.*"])
    assert "FREEZE" not in ast.unparse(script(method=FULL))


def test_lora_plus_has_an_optimizer_of_its_own() -> None:
    assert keywords(script(method=lora(lora_plus_ratio=8.0)), "create_loraplus_optimizer")["loraplus_lr_ratio"] == 8.0


def test_new_tokens_are_added_before_the_adapters() -> None:
    text = ast.unparse(script(model__tokens__add=("<x>",), method=lora(modules_to_save=("embed_tokens",))))
    assert text.index("new_tokens=['<x>']") < text.index("get_peft_model(")


def test_merging_ends_the_script() -> None:
    assert keywords(script(output__merge=True, method=lora()), "save_pretrained_merged") == {
        "save_method": "merged_16bit"
    }
    assert "save_pretrained_merged" not in ast.unparse(script(method=lora()))


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({}, "\npython train.py\n"),
        ({"hardware__count": 4, "hardware__strategy": "ddp"}, "\ntorchrun --standalone --nproc-per-node=4 train.py\n"),
        ({"hardware__count": 4, "hardware__strategy": "fsdp"}, "\nenv UNSLOTH_FSDP2=1 torchrun --standalone"),
        (
            {"hardware__count": 4, "hardware__nodes": 2, "hardware__strategy": "ddp"},
            "\ntorchrun --rdzv-backend=c10d --nnodes=2 --nproc-per-node=4 train.py\n",
        ),
    ],
)
def test_cards_have_a_process_each(changes: dict[str, Any], command: str) -> None:
    assert command in unsloth.emit(plan(**changes), None, ()).files["run.sh"]


@pytest.mark.parametrize(
    ("softcap", "attention", "kept"),
    [(False, "sdpa", True), (False, "eager", False), (True, "eager", True), (True, "sdpa", False)],
)
def test_attention_is_the_one_that_unsloth_brings(softcap: bool, attention: str, kept: bool) -> None:
    found = refused(facts=replace(FACTS, softcap=softcap), model__attention=attention)
    assert found == (set() if kept else {("FTC404", "model.attention")})


def test_nothing_is_lost_of_an_ordinary_plan() -> None:
    assert refused() == set()


def test_one_process_of_several_merges() -> None:
    said = {"output__merge": True, "method": lora(), "hardware__count": 4}
    parted = ast.unparse(script(**said, hardware__strategy="ddp"))
    assert "if trainer.is_world_process_zero():\n    model.save_pretrained_merged(" in parted
    # Shards are gathered by all.
    assert "is_world_process_zero" not in ast.unparse(script(**said, hardware__strategy="fsdp"))
