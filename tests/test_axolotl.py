"""The Axolotl target: what stands in its config, and what is refused because Axolotl would quietly do otherwise."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any

import pytest
import yaml
from msgspec.structs import replace
from tool_plans import FACTS, FULL, lora, plan, source

from backends import axolotl, llamafactory
from backends.base import apply
from schemas.method_plan import FullPlan, QuantizationPlan
from schemas.plan import PreferencePlan
from schemas.recipe import Fields

DPO: dict[str, Any] = {
    "training__objective": "dpo",
    "training__preference": PreferencePlan(0.2, "ipo"),
    "data__train": (source(format="preference"),),
    "data__packing": False,
    "data__overlong": "truncate",
    "method": lora(),
}
KTO: dict[str, Any] = {
    **DPO,
    "training__objective": "kto",
    "training__preference": PreferencePlan(0.1, None),
    "data__train": (source(format="kto"),),
}
EIGHT_BIT = lora("qlora", quantization=QuantizationPlan(8, None, None, "float32"))


def config(**changes: Any) -> dict[str, Any]:
    """The config of a plan, as Axolotl reads it."""
    return yaml.safe_load(axolotl.emit(plan(**changes), None, ()).files["config.yaml"])


def refused(**changes: Any) -> set[tuple[str, str]]:
    """Code and path of every loss."""
    return {(item.code, item.path) for item in axolotl.losses(plan(**changes))}


DRIFTING = {
    "learning_rate": 2e-4,
    "lr_scheduler": "cosine",
    "warmup_ratio": 0.1,
    "optimizer": "adamw_torch_fused",
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "micro_batch_size": 2,
    "gradient_accumulation_steps": 8,
    "num_epochs": 2,
    "sequence_len": 2048,
    "excess_length_strategy": "drop",
    "sample_packing": True,
    "train_on_inputs": False,
    "bf16": True,
    "fp16": False,
    "tf32": False,
    "gradient_checkpointing": True,
    "gradient_checkpointing_kwargs": {"use_reentrant": False},
    "lora_r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.0,
    "load_in_4bit": True,
    "attn_implementation": "sdpa",
    "save_strategy": "epoch",
    "save_total_limit": 2,
    "logging_steps": 10,
    "seed": 42,
    "val_set_size": 0.0,
    "dataloader_num_workers": 0,
    "lora_mlp_kernel": False,
    "lora_qkv_kernel": False,
    "lora_o_kernel": False,
    "auto_resume_from_checkpoints": True,
}


def test_every_default_that_drifts_between_tools_is_written() -> None:
    written = config()
    assert {key: written.get(key) for key in DRIFTING} == DRIFTING
    assert len(written["lora_target_modules"]) == 7


@pytest.mark.parametrize(
    ("kind", "adapter", "four_bit", "dora"),
    [
        ("lora", "lora", False, False),
        ("qlora", "qlora", True, False),
        ("dora", "lora", False, True),
        ("qdora", "qlora", True, True),
    ],
)
def test_four_bit_weights_need_the_adapter_of_their_own(kind: str, adapter: str, four_bit: bool, dora: bool) -> None:
    written = config(method=lora(kind))
    assert (written["adapter"], written["load_in_4bit"], written["peft_use_dora"]) == (adapter, four_bit, dora)
    assert ("bnb_config_kwargs" in written) == four_bit


def test_eight_bit_weights_go_with_plain_lora() -> None:
    written = config(method=lora("qlora", quantization=QuantizationPlan(8, None, None, "bfloat16")))
    assert (written["adapter"], written["load_in_8bit"], written["load_in_4bit"]) == ("lora", True, False)
    assert "bnb_config_kwargs" not in written


def test_full_has_no_adapter_keys() -> None:
    written = config(method=FULL)
    assert not [key for key in written if key.startswith(("lora", "peft", "adapter", "load_in"))]


def test_conversations_are_found_by_their_columns() -> None:
    found = config(data__train=(source(format="sharegpt", fields=Fields(messages="turns", role="who")),))["datasets"][0]
    assert found["type"] == "chat_template"
    assert found["field_messages"] == "turns"
    assert found["message_property_mappings"] == {"role": "who", "content": "value"}
    assert "gpt" in found["roles"]["assistant"]
    assert (found["roles_to_train"], found["train_on_eos"]) == (["assistant"], "turn")


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/data/a.jsonl", {"path": "/data/a.jsonl", "ds_type": "json"}),
        ("/data/a.csv.gz", {"path": "/data/a.csv.gz", "ds_type": "csv"}),
        ("/data/a.parquet", {"path": "/data/a.parquet", "ds_type": "parquet"}),
        ("/data/*/a.jsonl", {"path": "/data", "data_files": ["/data/*/a.jsonl"], "ds_type": "json"}),
    ],
)
def test_files_are_opened_by_their_kind(path: str, wanted: dict[str, object]) -> None:
    found = config(data__train=(source(path),))["datasets"][0]
    assert {key: found.get(key) for key in ("path", "data_files", "ds_type")} == {"data_files": None, **wanted}


def test_only_the_first_rows() -> None:
    assert config(data__train=(source(limit=100),))["datasets"][0]["split"] == "train[:100]"


def test_a_dataset_of_the_hub() -> None:
    hub = source("org/chats", local=False, subset="en", revision="abc", split="train_sft")
    found = config(data__train=(hub,))["datasets"][0]
    assert {key: found[key] for key in ("path", "name", "revision", "split")} == {
        "path": "org/chats",
        "name": "en",
        "revision": "abc",
        "split": "train_sft",
    }
    assert "ds_type" not in found


def test_parted_rows_are_read_from_the_artifact() -> None:
    artifact = axolotl.emit(plan(data__validation=0.1), None, ())
    written = yaml.safe_load(artifact.files["config.yaml"])
    assert artifact.preparation and artifact.preparation.train_file == "data/train.jsonl"
    assert written["datasets"][0]["path"] == "data/train.jsonl"
    assert written["test_datasets"][0]["path"] == "data/validation.jsonl"


def test_a_tracker_is_on_only_where_it_is_asked_for() -> None:
    quiet, loud = config(), config(logging__to=("wandb",), logging__project="chats")
    assert "wandb_project" not in quiet  # the key alone would switch it on
    assert (quiet["use_wandb"], loud["use_wandb"], loud["wandb_project"]) == (False, True, "chats")


@pytest.mark.parametrize(
    ("changes", "sources"),
    [
        ({}, (source(format="alpaca"),)),
        ({}, (source(format="prompt_completion"),)),
        ({}, (source(weight=2.0),)),
        ({}, (source(limit=0.5),)),
        ({}, (source(fields=Fields(system="rules")),)),
        ({"data__system": "Be brief."}, (source(),)),
        ({"data__loss_on": "last_assistant"}, (source(),)),
    ],
)
def test_rows_that_it_would_read_otherwise_are_prepared(changes: dict[str, Any], sources: Any) -> None:
    made = plan(data__train=sources, **changes)
    artifact = axolotl.emit(made, None, ())
    written = yaml.safe_load(artifact.files["config.yaml"])
    assert artifact.preparation
    assert artifact.preparation.system == made.data.system
    assert written["datasets"][0]["path"] == "data/train.jsonl"
    assert written["datasets"][0]["type"] == "chat_template"


def test_only_the_last_answer_is_trained_where_it_is_marked() -> None:
    found = config(data__loss_on="last_assistant")["datasets"][0]
    assert (found["roles_to_train"], found["message_field_training"]) == ([], "train")


NAMES = (
    "model.embed_tokens.weight",
    "model.layers.1.mlp.up_proj.weight",
    "model.layers.11.mlp.up_proj.weight",
    "model.layers.1.self_attn.q_proj.weight",
    "model.norm.weight",
    "lm_head.weight",
)


@pytest.mark.parametrize(
    ("freeze", "train_only"),
    [
        (("*embed_tokens*",), ()),
        (("model.layers.1.*", "lm_head.weight"), ()),
        ((), ("*.layers.1?.*", "*norm*")),
        ((), ("model.layers.[!2].*",)),
        (("*mlp*",), ("*.layers.*",)),
        ((), ("model_norm.weight", "lm_head?weight")),
    ],
)
def test_patterns_of_names_are_read_as_the_language_means_them(freeze: Any, train_only: Any) -> None:
    """By the tool's own rule: a dot of the expression is a dot (axolotl/utils/freeze.py)."""
    written = config(method=FullPlan("full", freeze, train_only, "bfloat16"))["unfrozen_parameters"]
    read = [re.compile(re.sub(r"\.(?!\+)", "\\.", expression)) for expression in written]
    trained = [name for name in NAMES if any(expression.match(name) for expression in read)]
    kept = [name for name in NAMES if not train_only or any(fnmatchcase(name, item) for item in train_only)]
    assert trained == [name for name in kept if not any(fnmatchcase(name, item) for item in freeze)]


def test_compared_answers_go_to_trl_as_they_are() -> None:
    artifact = axolotl.emit(plan(**DPO), None, ())
    written = yaml.safe_load(artifact.files["config.yaml"])
    assert (written["rl"], written["trl"], written["dpo_loss_type"]) == ("dpo", {"beta": 0.2}, ["ipo"])
    assert written["skip_prepare_dataset"] is True
    assert "type" not in written["datasets"][0]
    assert artifact.preparation
    assert artifact.preparation.answers == "turns"


def test_orpo_has_no_choice_of_losses() -> None:
    written = config(**{**DPO, "training__objective": "orpo", "training__preference": PreferencePlan(0.1, None)})
    assert written["rl"] == "orpo"
    assert "dpo_loss_type" not in written


def test_rows_in_order_are_drawn_in_order() -> None:
    written = config(data__shuffle=False)
    assert (written["curriculum_sampling"], written["shuffle_merged_datasets"]) == (True, False)


def test_merging_is_a_step_of_its_own() -> None:
    script = axolotl.emit(plan(output__merge=True, method=lora()), None, ()).files["run.sh"]
    assert script.endswith("axolotl train config.yaml --launcher python\naxolotl merge-lora config.yaml\n")


def test_sharding_is_told_by_deepspeed_or_fsdp() -> None:
    cards = {"hardware__count": 4, "method": lora()}
    zero = axolotl.emit(plan(hardware__strategy="zero3", **cards), None, ())
    assert yaml.safe_load(zero.files["config.yaml"])["deepspeed"] in zero.files
    assert "deepspeed" in zero.files["requirements.txt"]
    fsdp = config(hardware__strategy="fsdp", hardware__offload="all", **cards)
    assert (fsdp["fsdp_version"], fsdp["fsdp_config"]["offload_params"]) == (2, True)


def test_several_machines_meet_where_the_environment_says() -> None:
    artifact = axolotl.emit(plan(hardware__count=8, hardware__nodes=2, hardware__strategy="ddp"), None, ())
    assert "--rdzv_backend=c10d --nnodes=2 --nproc_per_node=8" in artifact.files["run.sh"]
    assert "PET_RDZV_ENDPOINT" in artifact.files["README.md"]


def test_several_cards_are_launched() -> None:
    wanted = plan(hardware__count=4, hardware__strategy="ddp")
    assert "--nproc_per_node=4\n" in axolotl.emit(wanted, None, ()).files["run.sh"]
    assert config(hardware__count=4)["gradient_accumulation_steps"] == 2


def test_a_template_of_ours_is_written_out() -> None:
    written = config(model__chat_template="chatml")
    assert written["chat_template"] == "jinja"
    assert "<|im_start|>" in written["chat_template_jinja"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"method": FULL, "model__dtype": "float16"}, "method.weights_dtype"),
        ({"method": lora(adapter_dtype="bfloat16"), "model__dtype": "float16"}, "method.adapter_dtype"),
        ({"data__train": (source(format="text"),)}, "data.overlong"),
        ({"model__tokens__add": ("<x>",)}, "model.tokens.add"),
        ({"hardware__strategy": "fsdp", "hardware__count": 2, "hardware__offload": "optimizer"}, "hardware.offload"),
        ({"hardware__strategy": "zero2", "hardware__count": 2, "hardware__offload": "all"}, "hardware.offload"),
        (
            {"hardware__strategy": "fsdp", "hardware__count": 2, "training__optimizer": "adamw_8bit"},
            "training.optimizer",
        ),
        ({**DPO, "data__shuffle": False}, "data.shuffle"),
        ({**DPO, "training__neftune_alpha": 5.0}, "training.neftune_alpha"),
        ({**DPO, "data__overlong": "drop"}, "data.overlong"),
        ({"data__train": (source(split="test"),)}, "data.train[0].split"),
        ({"data__loss_on": "completion"}, "data.loss_on"),
        ({"checkpoint__best": True}, "checkpoint.best"),
        ({**DPO, "checkpoint__best": True, "checkpoint__every": 10, "evaluation__every": 10}, "checkpoint.best"),
        ({**DPO, "method": lora(adapter_dtype="bfloat16")}, "method.adapter_dtype"),
        ({**DPO, "method": lora("qlora"), "model__dtype": "float16"}, "method.adapter_dtype"),
        ({"method": lora("qlora", adapter_dtype="bfloat16")}, "method.adapter_dtype"),
        ({"method": lora(modules_to_save=("lm_head",)), "model__dtype": "float16"}, "method.modules_to_save"),
        ({"method": lora(lora_plus_ratio=16.0), "training__weight_decay": 0.1}, "training.weight_decay"),
        ({"method": lora(lora_plus_ratio=16.0), "training__optimizer": "muon"}, "method.lora_plus_ratio"),
        ({"method": EIGHT_BIT, "model__dtype": "float32"}, "model.dtype"),
        ({**KTO, "training__micro_batch_size": 1}, "training.micro_batch_size"),
        ({"model__chat_template": "chatml"}, "model.chat_template"),
        ({"model__chat_template": "/nowhere/chat.jinja"}, "model.chat_template"),
    ],
)
def test_combinations_that_would_be_dropped_in_silence(changes: dict[str, Any], path: str) -> None:
    assert ("FTC404", path) in refused(**changes)


def test_full_training_warns_of_weights_that_stay_in_float32() -> None:
    """Its embeddings and norms are converted back only for attention kernels that take nothing else."""
    assert ("FTC405", "method.weights_dtype") in refused(method=FULL)
    assert ("FTC405", "method.weights_dtype") not in refused(method=FULL, model__attention="flash_attention_2")


@pytest.mark.parametrize(("template", "ends"), [("tokenizer", ["<|eot_id|>"]), ("zephyr", None)])
def test_the_end_of_a_turn_is_told_where_it_is_a_token_of_its_own(template: str, ends: list[str] | None) -> None:
    assert config(model__chat_template=template).get("eot_tokens") == ends


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"logging__project": "chats"}, "logging.project"),
        ({"training__warmup": 1}, "training.warmup"),
        ({"training__warmup": 0.1, "training__max_steps": 10, "training__epochs": None}, "training.warmup"),
    ],
)
def test_what_changes_no_result_or_little_is_only_warned_about(changes: dict[str, Any], path: str) -> None:
    quiet = {"training__micro_batch_size": plan().training.global_batch_size, "model__attention": "flash_attention_2"}
    found = [(item.code, item.path, item.level) for item in axolotl.losses(plan(method=FULL, **quiet, **changes))]
    assert found == [("FTC405", path, "warning")]
    assert not apply(axolotl.TABLE, plan(**changes)).findings


def test_a_project_that_a_tracker_uses_is_not_warned_about() -> None:
    found = refused(method=FULL, logging__project="chats", logging__to=("wandb",))
    assert ("FTC405", "logging.project") not in found


@pytest.mark.parametrize(
    ("method", "what"),
    [(lora(), "adapters"), (lora(init="gaussian"), "adapters"), (lora(init="pissa"), ""), (FULL, "")],
)
def test_values_that_are_drawn_before_the_seed_is_set_are_warned_about(method: Any, what: str) -> None:
    found = [item.message for item in axolotl.losses(plan(method=method)) if item.path == "training.seed"]
    assert len(found) == bool(what)
    assert all(what in message for message in found)


def test_a_share_of_known_steps_is_rounded_up_by_ftc() -> None:
    written = config(training__warmup=0.05, training__max_steps=30, training__epochs=None)
    assert (written["warmup_steps"], "warmup_ratio" in written) == (2, False)


def test_the_readme_says_how_axolotl_rounds_a_share() -> None:
    in_epochs = axolotl.emit(plan(), None, ()).files["README.md"]
    in_steps = axolotl.emit(plan(training__max_steps=30, training__epochs=None), None, ()).files["README.md"]
    assert "rounds a share of warm-up steps down" in in_epochs
    assert "warm-up" not in in_steps


@pytest.mark.parametrize(("micro", "warned"), [(4, True), (8, True), (16, False)])
def test_micro_batches_that_weigh_the_same_are_warned_about(micro: int, warned: bool) -> None:
    """Axolotl counts no trained tokens over the micro batches of a step, so it is told where there are several."""
    found = refused(training__global_batch_size=16, training__micro_batch_size=micro)
    assert (("FTC405", "training.global_batch_size") in found) is warned


def test_nothing_is_lost_of_an_ordinary_plan() -> None:
    assert refused(training__micro_batch_size=plan().training.global_batch_size) == {("FTC405", "training.seed")}


@pytest.mark.parametrize("family", ["llama2", "phi3", "phi4-mini", "qwen3"])
def test_answers_that_it_finds_otherwise_are_warned_of(family: str) -> None:
    """Found by rendering each family's template with Axolotl's own code (tests/conformance/templates_known.py)."""
    facts = replace(FACTS, chat_format=family)
    found = [item for item in axolotl.losses(plan(facts=facts)) if item.path == "model.chat_template"]
    assert [(item.code, item.level) for item in found] == [("FTC405", "warning")]
    everything = axolotl.losses(plan(facts=facts, data__loss_on="all"))
    assert not [item for item in everything if item.path == "model.chat_template"]


@pytest.mark.parametrize("target", [axolotl, llamafactory])
def test_rows_of_the_hub_are_seen_by_the_tool_first(target: Any) -> None:
    hub = source("tatsu-lab/support", local=False)
    on_hub = plan(data__train=(hub,), data__validation=None)
    assert [item.path for item in target.losses(on_hub) if item.path == "data.bad_rows"] == ["data.bad_rows"]
    dropped = plan(data__train=(hub,), data__validation=None, data__bad_rows="drop")
    assert [item for item in target.losses(dropped) if item.path == "data.bad_rows"] == []
    assert "prepare.py" in target.emit(dropped, None, ()).files
    assert [item for item in target.losses(plan()) if item.path == "data.bad_rows"] == []
