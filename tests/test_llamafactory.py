"""The LLaMA-Factory target: its config, `dataset_info.json`, and what is refused or done a little differently."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from msgspec.structs import replace
from tool_plans import FACTS, FULL, lora, plan, source

from backends import llamafactory
from schemas.method_plan import FullPlan
from schemas.plan import Decision, PreferencePlan, SourcePlan
from schemas.recipe import Fields

SHORTENS = {"data__overlong": "truncate"}


def config(**changes: Any) -> dict[str, Any]:
    """The config of a plan, as it is read."""
    return yaml.safe_load(llamafactory.emit(plan(**changes), None, ()).files["config.yaml"])


def datasets(**changes: Any) -> dict[str, Any]:
    """The entries of `dataset_info.json`."""
    return json.loads(llamafactory.emit(plan(**changes), None, ()).files["dataset_info.json"])


def findings(**changes: Any) -> set[tuple[str, str]]:
    """Code and path of every loss and difference."""
    return {(item.code, item.path) for item in llamafactory.losses(plan(**{**SHORTENS, **changes}))}


WHOLE = lora(modules_to_save=("embed_tokens", "lm_head"))

DRIFTING = {
    "learning_rate": 2e-4,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.1,
    "optim": "adamw_torch_fused",
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 8,
    "num_train_epochs": 2,
    "max_steps": -1,
    "cutoff_len": 2048,
    "packing": True,
    "neat_packing": True,
    "train_on_prompt": False,
    "mask_history": False,
    "bf16": True,
    "fp16": False,
    "pure_bf16": False,
    "disable_gradient_checkpointing": False,
    "use_reentrant_gc": False,
    "lora_rank": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.0,
    "quantization_bit": 4,
    "quantization_method": "bnb",
    "quantization_type": "nf4",
    "double_quantization": True,
    "flash_attn": "sdpa",
    "save_strategy": "epoch",
    "save_total_limit": 2,
    "logging_steps": 10,
    "seed": 42,
    "report_to": "none",
    "average_tokens_across_devices": True,
    "dataloader_num_workers": 0,
    "overwrite_output_dir": False,
    "template": "llama3",
    "mix_strategy": "concat",
}


def test_every_default_that_drifts_between_tools_is_written() -> None:
    written = config()
    assert {key: written.get(key) for key in DRIFTING} == DRIFTING
    assert written["lora_target"] == "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"


def test_full_trains_in_bfloat16_or_keeps_float32_weights() -> None:
    pure, mixed = config(method=FULL), config(method=FullPlan("full", (), (), "float32"))
    assert (pure["pure_bf16"], pure["bf16"]) == (True, False)
    assert (mixed["pure_bf16"], mixed["bf16"]) == (False, True)
    assert not [key for key in pure if key.startswith(("lora", "quantization", "additional"))]


def test_conversations_never_take_the_shape_that_adds_to_the_system_text() -> None:
    entry = datasets()["train"]
    assert entry["formatting"] == "sharegpt"
    assert entry["columns"] == {"messages": "messages"}
    assert {key: entry["tags"][key] for key in ("role_tag", "content_tag", "user_tag", "assistant_tag")} == {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
    }


def test_alpaca_rows_name_all_their_columns() -> None:
    fields = Fields(instruction="task", system="rules")
    entry = datasets(data__train=(source(format="alpaca", fields=fields),))["train"]
    assert entry["columns"] == {"prompt": "task", "query": "input", "response": "output", "system": "rules"}


def test_files_are_found_from_the_artifact() -> None:
    artifact = llamafactory.emit(plan(data__validation=50), None, ())
    entries = json.loads(artifact.files["dataset_info.json"])
    written = yaml.safe_load(artifact.files["config.yaml"])
    assert written["dataset_dir"] == "."
    assert (written["dataset"], written["eval_dataset"]) == ("train", "validation")
    assert entries["train"]["file_name"] == "data/train.jsonl"
    assert artifact.preparation
    assert entries["validation"]["file_name"] == artifact.preparation.validation_file


def test_several_sources_are_several_entries() -> None:
    written = {"data__train": (source(), source("/data/more.jsonl"))}
    assert config(**written)["dataset"] == "train_0,train_1"
    assert set(datasets(**written)) == {"train_0", "train_1", "validation"}


def test_what_only_the_environment_carries_stands_in_the_command() -> None:
    wanted = plan(hardware__count=2, hardware__strategy="ddp", logging__to=("wandb",), logging__project="chats")
    told = "\nenv WANDB_PROJECT=chats FORCE_TORCHRUN=1 NPROC_PER_NODE=2 llamafactory-cli train config.yaml\n"
    assert told in llamafactory.emit(wanted, None, ()).files["run.sh"]
    assert "\nllamafactory-cli train config.yaml\n" in llamafactory.emit(plan(), None, ()).files["run.sh"]


@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"data__overlong": "drop"}, "FTC404", "data.overlong"),
        ({"model__chat_template": "/chat.jinja"}, "FTC403", "model.chat_template"),
        ({"model__chat_template": "unheard-of"}, "FTC404", "model.chat_template"),
        ({"model__dtype": "float32"}, "FTC404", "model.dtype"),
        ({"method": lora("qlora", init="pissa")}, "FTC404", "method.init"),
        ({"method": lora(target_modules="re:.*q_proj")}, "FTC404", "method.target_modules"),
        ({"model__attention": "flash_attention_2"}, "FTC404", "training.micro_batch_size"),
        ({"data__train": (source(format="text"),)}, "FTC404", "data.packing"),
        ({"data__train": (source(format="text"),), "data__overlong": "split"}, "FTC404", "data.overlong"),
        ({"data__train": (source(), source(format="text"))}, "FTC404", "data.train[1].format"),
        ({"model__tokens__add": ("<x>",)}, "FTC404", "model.tokens.add"),
        ({"model__tokens__add": ("a,b",), "method": WHOLE}, "FTC404", "model.tokens.add"),
        ({"model__tokens__add": (" y",), "method": WHOLE}, "FTC404", "model.tokens.add"),
        ({"output__merge": True, "hardware__nodes": 2, "method": lora()}, "FTC405", "output.merge"),
        ({"hardware__strategy": "fsdp", "hardware__count": 8, "hardware__nodes": 2}, "FTC404", "hardware.nodes"),
        ({"data__loss_on": "completion"}, "FTC404", "data.loss_on"),
        ({"model__chat_template": "chatml"}, "FTC404", "model.chat_template"),
        ({"method": lora("qlora"), "model__tokens__add": ("<x>",)}, "FTC404", "model.tokens.add"),
        ({"method": lora(init="pissa"), "training__objective": "dpo"}, "FTC404", "method.init"),
        ({"method": lora(init="pissa"), "training__objective": "kto"}, "FTC404", "method.init"),
        ({"method": lora(lora_plus_ratio=4.0), "training__optimizer": "muon"}, "FTC404", "training.optimizer"),
        ({"method": lora(modules_to_save=("lm_head",))}, "FTC405", "method.modules_to_save"),
        ({"data__train": (source(format="text"),)}, "FTC405", "data.train[0].format"),
    ],
)
def test_combinations_that_it_cannot_keep(changes: dict[str, Any], code: str, path: str) -> None:
    assert (code, path) in findings(**changes)


@pytest.mark.parametrize(
    "read",
    [
        source(limit=5),
        source("/data/*.jsonl"),
        source("/data/a.jsonl.gz"),
        source("org/chats", local=False, revision="abc"),
        source(weight=2.0),
    ],
)
def test_rows_that_it_would_read_otherwise_are_prepared(read: SourcePlan) -> None:
    artifact = llamafactory.emit(plan(data__train=(read,)), None, ())
    assert json.loads(artifact.files["dataset_info.json"])["train"]["file_name"] == "data/train.jsonl"
    assert ("prepare.json" in artifact.files) is (not read.local)
    assert (artifact.preparation is None) is (not read.local)


COMPARED: dict[str, Any] = {"data__packing": False, "data__overlong": "truncate", "method": lora()}


@pytest.mark.parametrize(
    ("objective", "loss", "stage", "told"),
    [("dpo", "ipo", "dpo", "ipo"), ("dpo", "hinge", "dpo", "hinge"), ("orpo", None, "dpo", "orpo")],
)
def test_compared_answers(objective: Any, loss: Any, stage: str, told: str) -> None:
    changes = {
        **COMPARED,
        "training__objective": objective,
        "training__preference": PreferencePlan(0.2, loss),
        "data__train": (source(format="preference"),),
    }
    written, entry = config(**changes), datasets(**changes)["train"]
    assert (written["stage"], written["pref_loss"], written["pref_beta"]) == (stage, told, 0.2)
    assert entry["ranking"] is True
    assert entry["columns"] == {"messages": "messages", "chosen": "chosen", "rejected": "rejected"}


def test_judged_answers() -> None:
    changes = {
        **COMPARED,
        "training__objective": "kto",
        "training__preference": PreferencePlan(0.2, None),
        "data__train": (source(format="kto"),),
    }
    written, entry = config(**changes), datasets(**changes)["train"]
    assert (written["stage"], "pref_loss" in written) == ("kto", False)
    assert entry["columns"] == {"messages": "messages", "kto_tag": "label"}


def test_raw_text_is_a_stage_of_its_own() -> None:
    text = {"data__train": (source(format="text", fields=Fields(text="body")),), **COMPARED, "data__loss_on": "all"}
    written = config(**text)
    assert (written["stage"], written["packing"], "train_on_prompt" in written) == ("pt", False, False)
    assert datasets(**text)["train"]["columns"] == {"prompt": "body"}


def test_merging_has_a_config_of_its_own() -> None:
    artifact = llamafactory.emit(plan(output__merge=True, method=lora()), None, ())
    written = yaml.safe_load(artifact.files["merge.yaml"])
    trained = yaml.safe_load(artifact.files["config.yaml"])
    assert written["adapter_name_or_path"] == trained["output_dir"]
    assert not [key for key in written if "quant" in key]
    assert artifact.files["run.sh"].endswith("train config.yaml\nllamafactory-cli export merge.yaml\n")


def test_sharding_is_told_by_deepspeed_or_by_accelerate() -> None:
    cards = {"hardware__count": 4, "method": lora()}
    zero = llamafactory.emit(plan(hardware__strategy="zero2", **cards), None, ())
    assert yaml.safe_load(zero.files["config.yaml"])["deepspeed"] in zero.files
    assert "deepspeed==0.16.9" in zero.files["requirements.txt"]
    fsdp = llamafactory.emit(plan(hardware__strategy="fsdp", **cards), None, ())
    told = yaml.safe_load(fsdp.files["accelerate.yaml"])
    assert (told["num_processes"], told["fsdp_config"]["fsdp_version"]) == (4, 2)
    assert (
        "accelerate launch --config_file accelerate.yaml -m llamafactory.launcher config.yaml" in fsdp.files["run.sh"]
    )


def test_a_choice_left_open_is_only_warned_about() -> None:
    chosen = (Decision("data.overlong", "drop", "a conversation cut in the middle teaches to stop in the middle"),)
    found = [item for item in llamafactory.losses(plan(decisions=chosen)) if item.path == "data.overlong"]
    assert [(item.code, item.level) for item in found] == [("FTC405", "warning")]


def test_a_type_other_than_the_stored_one_is_kept_apart() -> None:
    assert ("FTC405", "model.dtype") in findings(model__dtype="float16", method=lora())
    assert not [path for _, path in findings() if path == "model.dtype"]


def test_packed_rows_under_flash_attention_go_one_at_a_time() -> None:
    flash = {"model__attention": "flash_attention_2"}
    assert llamafactory.largest_micro(plan(**flash)) == 1
    assert llamafactory.largest_micro(plan(**flash, data__packing=False)) is None
    assert llamafactory.largest_micro(plan()) is None
    found = {item.path: item for item in llamafactory.losses(plan(**flash))}["training.micro_batch_size"]
    assert found.hint == "write 1 or auto; or data.packing: false"
    assert "training.micro_batch_size" not in {path for _, path in findings(**flash, training__micro_batch_size=1)}


@pytest.mark.parametrize(
    ("name", "hub_id", "dated"),
    [
        ("llama-3.1-8b-instruct", "meta-llama/Llama-3.1-8B-Instruct", True),
        ("llama-3.3-70b-instruct", "unsloth/Llama-3.3-70B-Instruct", True),
        ("llama-3-8b-instruct", "meta-llama/Meta-Llama-3-8B-Instruct", False),
        ("base", None, False),
    ],
)
def test_only_bases_whose_template_writes_a_date_are_warned_about(name: str, hub_id: str | None, dated: bool) -> None:
    facts = replace(FACTS, name=name, hub_id=hub_id)
    assert (("FTC405", "model.chat_template") in findings(facts=facts)) == dated
    assert config(facts=facts)["template"] == "llama3"


def test_a_template_of_another_wording_is_warned_about() -> None:
    assert ("FTC405", "model.chat_template") in findings()
    assert FACTS.chat_format == "llama3"
    assert not [path for _, path in findings(model__chat_template="llama3") if path == "model.chat_template"]


def test_several_machines_meet_at_one_port_and_merge_by_hand() -> None:
    """Its launcher looks for a free port of its own on each machine where none is named."""
    several = {"hardware__count": 2, "hardware__nodes": 2, "hardware__strategy": "ddp"}
    made = llamafactory.emit(plan(**several, output__merge=True, method=lora()), None, ())
    assert "MASTER_PORT=29500" in made.files["run.sh"]
    assert "export" not in made.files["run.sh"].partition("export PATH")[2]
    assert "llamafactory-cli export merge.yaml" in made.files["README.md"]


def test_compressed_rows_that_the_run_reads_need_their_package() -> None:
    """Beside a source of the hub all rows are read by the run."""
    sources = (source("/data/a.jsonl.zst"), source("org/chats", local=False, revision="abc"))
    made = llamafactory.emit(plan(data__train=sources), None, ())
    assert "zstandard==" in made.files["requirements.txt"]
    assert "zstandard" not in llamafactory.emit(plan(), None, ()).files["requirements.txt"]
