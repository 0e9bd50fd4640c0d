"""`ftc import`: what becomes of other tools' configs, each key of them in a leaf, a raw key or a word at its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from calls import RECIPES, ftc

from compiler.build import Options, compile_recipe
from compiler.errors import FtcError
from compiler.importing.importing import Asked, Imported, Remark, import_config

AXOLOTL = """\
base_model: meta-llama/Llama-3.2-1B-Instruct
load_in_4bit: true
adapter: qlora
lora_r: 32
lora_alpha: 16
lora_target_linear: true
datasets:
  - path: org/talk
    type: chat_template
val_set_size: 0.05
sequence_len: 2048
sample_packing: true
micro_batch_size: 2
gradient_accumulation_steps: 4
learning_rate: 2e-4
lr_scheduler: cosine
optimizer: adamw_bnb_8bit
warmup_ratio: 0.1
evals_per_epoch: 4
wandb_project:
"""
LLAMAFACTORY = """\
model_name_or_path: meta-llama/Llama-3.2-1B-Instruct
stage: sft
do_train: true
finetuning_type: lora
dataset: talk
template: llama3
bf16: true
output_dir: saves/talk
"""
INFO = {"talk": {"file_name": "talk.jsonl", "formatting": "sharegpt", "columns": {"messages": "messages"}}}
INFO["talk"]["tags"] = {  # type: ignore[assignment]
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
}
UNSLOTH = """\
model: meta-llama/Llama-3.2-1B-Instruct
data:
  dataset: org/talk
  format_type: chatml
training:
  learning_rate: 0.0001
lora:
  lora_r: 8
"""
PEFT = json.dumps(
    {
        "peft_type": "LORA",
        "base_model_name_or_path": "meta-llama/Llama-3.2-1B-Instruct",
        "r": 8,
        "lora_alpha": 16,
        "target_modules": ["v_proj", "q_proj"],
        "bias": "none",
        "task_type": "CAUSAL_LM",
    },
    indent=1,
)


@pytest.fixture(autouse=True)
def _in_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


def made(text: str, **asked: Any) -> Imported:
    """A config imported where the test stands."""
    found = import_config("config.yaml", text, Asked(Path.cwd(), **asked))
    assert isinstance(found, Imported)
    return found


def recipe(text: str, **asked: Any) -> dict[str, Any]:
    """The recipe of a config, which must be valid."""
    found = made(text, **asked)
    assert found.text, [item.message for item in found.remarks]
    compiled = compile_recipe("r", found.text, Path.cwd(), Options())
    assert [item.message for item in compiled.diagnostics if item.level == "error" and item.code != "FTC501"] == []
    return yaml.safe_load(found.text)


def remark(found: Imported, key: str) -> Remark:
    return next(item for item in found.remarks if item.key == key)


def factory(more: str = "", info: dict[str, Any] | None = None) -> str:
    """LLaMA-Factory's config, with its data beside it."""
    Path("data").mkdir(exist_ok=True)
    Path("data/dataset_info.json").write_text(json.dumps({**INFO, **(info or {})}))
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    Path("data/talk.jsonl").write_text(json.dumps(row) + "\n")
    return LLAMAFACTORY + more


# --- defaults that the tools have and ftc has not


def test_what_axolotl_does_by_itself_is_written_out() -> None:
    """Not what is ftc's own default: the rank 16, say, or the cosine."""
    plain = "\n".join(line for line in AXOLOTL.splitlines() if not line.startswith(("sequence", "sample", "warmup")))
    found = made(plain)
    assert found.text
    for line in (
        "max_length: 512  # Axolotl's default",
        "packing: false  # Axolotl's default",
        "warmup: 0.03  # Axolotl's default",
        "keep: 4  # Axolotl's default",
        "gradient_checkpointing: false  # Axolotl's default",
    ):
        assert line in found.text
    assert "scheduler" not in found.text


def test_what_llamafactory_does_by_itself_is_written_out() -> None:
    written = recipe(factory())
    assert written["training"]["epochs"] == 3
    assert written["training"]["micro_batch_size"] == 8
    assert written["training"]["learning_rate"] == 5e-5
    assert written["training"]["scheduler"] == "linear"
    assert written["training"]["warmup"] == 0.0
    assert written["training"]["gradient_checkpointing"] is True
    assert written["method"] == {"kind": "lora", "rank": 8}
    assert written["data"]["overlong"] == "truncate"
    assert written["data"]["packing"] is False
    assert written["data"]["train"] == {
        "path": "data/talk.jsonl",
        "format": "messages",
    }


def test_what_unsloth_does_by_itself_is_written_out() -> None:
    written = recipe(UNSLOTH)
    assert written["method"]["kind"] == "qlora"
    assert written["method"]["alpha"] == 16
    assert written["training"]["optimizer"] == "adamw_8bit"
    assert written["training"]["weight_decay"] == 0.01
    assert written["training"]["seed"] == 3407
    assert written["training"]["global_batch_size"] == 8
    assert written["data"]["loss_on"] == "all"


def test_an_adapter_says_its_method_and_nothing_else() -> None:
    found = made(PEFT)
    assert found.tool == "peft"
    written = yaml.safe_load(found.text or "")
    assert written["method"] == {"kind": "lora", "rank": 8, "alpha": 16, "target_modules": ["q_proj", "v_proj"]}
    assert written["data"] == {"train": {"path": "data/train.jsonl"}}
    assert remark(found, "").code == "FTC501"


# --- values, older names and keys that decide together


@pytest.mark.parametrize(
    ("more", "leaf", "value"),
    [
        ("lr_scheduler: constant", "training.warmup", 0.0),
        ("rl: dpo\nrl_beta: 0.3\nsample_packing: false", "training.preference", {"beta": 0.3}),
        ("rl: ipo\nsample_packing: false", "training.preference", {"loss": "ipo"}),
        ("max_steps: 50\nnum_epochs: 4", "training.max_steps", 50),
        ("batch_size: 32\ngradient_accumulation_steps:", "training.global_batch_size", 32),
        ("flash_attention: true", "model.attention", "flash_attention_2"),
        ("noisy_embedding_alpha: 5", "training.neftune_alpha", 5),
        ("peft_use_dora: true", "method.kind", "qdora"),
        ("cosine_min_lr_ratio: 0.1", "training.min_lr_ratio", 0.1),
        ("adam_beta2: 0.95", "training.betas", [0.9, 0.95]),
        ("bf16: false\nfp16: true", "model.dtype", "float16"),
        ("val_set_size: 200", "data.validation", 200),
        ("val_set_size: 0", "data.validation", None),
        ("train_on_inputs: yes", "data.loss_on", "all"),
        ("unknown_one: 1", "name", "config"),
        ("plugins: [axolotl.integrations.cut_cross_entropy.CutCrossEntropyPlugin]", "training.loss", "chunked"),
        ("excess_length_strategy: raise", "data.overlong", "error"),
        ("saves_per_epoch: 2\nnum_epochs: 3", "checkpoint.every", 0.5),
        ("evals_per_epoch: 4\nmax_steps: 100", "evaluation.every", 25),
        ("wandb_project: talks", "logging", {"to": ["wandb"], "project": "talks"}),
        ("gradient_checkpointing: offload", "training.gradient_checkpointing", "offload"),
        ("deepspeed: deepspeed_configs/zero2_cpuoffload.json", "hardware.offload", "optimizer"),
        ("use_galore: 1\nembedding_lr: 1e-5", "targets.axolotl", {"embedding_lr": 1e-5}),
    ],
)
def test_axolotls_keys(more: str, leaf: str, value: object) -> None:
    """Keys that are given anew stand for those of the config above."""
    new = {line.partition(":")[0] for line in more.splitlines()}
    kept = "\n".join(line for line in AXOLOTL.splitlines() if line.partition(":")[0] not in new)
    tree: Any = recipe(f"{kept}\n{more}\n")
    for part in leaf.split("."):
        tree = tree[part]
    assert tree == value


@pytest.mark.parametrize(
    ("more", "leaf", "value"),
    [
        ("quantization_bit: 4\nquantization_method: bnb", "method.kind", "qlora"),
        ("lora_target: q_proj, v_proj", "method.target_modules", ["q_proj", "v_proj"]),
        ("neat_packing: true", "data.packing", True),
        ("mask_history: true", "data.loss_on", "last_assistant"),
        ("flash_attn: fa2", "model.attention", "flash_attention_2"),
        ("use_muon: true", "training.optimizer", "muon"),
        ("overwrite_output_dir: true", "checkpoint.resume", "never"),
        ("max_samples: 50", "data.train", {"path": "data/talk.jsonl", "format": "messages", "limit": 50}),
        ("use_dft_loss: true", "targets.llamafactory", {"use_dft_loss": True}),
        ("report_to: [wandb, tensorboard]", "logging.to", ["wandb", "tensorboard"]),
        ("warmup_steps: 0.1", "training.warmup", None),
    ],
)
def test_llamafactorys_keys(more: str, leaf: str, value: object) -> None:
    tree: Any = recipe(factory(more))
    if value is None:
        assert "warmup" not in tree["training"]  # a tenth is ftc's own default
        return
    for part in leaf.split("."):
        tree = tree[part]
    assert tree == value


def test_epochs_of_one_make_no_evaluation_in_axolotl() -> None:
    """It takes `evals_per_epoch: 1` of one epoch for none, and says so nowhere."""
    found = made(AXOLOTL.replace("evals_per_epoch: 4", "evals_per_epoch: 1"))
    assert yaml.safe_load(found.text or "")["evaluation"]["every"] is None
    assert "never evaluates" in remark(found, "evals_per_epoch").message


def test_a_default_that_does_not_go_with_the_rest_gives_way() -> None:
    """Gemma 2 caps its attention logits, which sdpa cannot."""
    found = made(AXOLOTL.replace("meta-llama/Llama-3.2-1B-Instruct", "google/gemma-2-2b-it"))
    assert found.text
    assert "attention: sdpa" not in found.text


# --- every key has its word


def test_every_key_is_carried_or_named() -> None:
    more = "dataset_prepared_path: last_run\nhub_model_id: me/it\nspecial_tokens: {unk_token: <u>}\nnot_a_key: 1\n"
    found = made(AXOLOTL + more)
    codes = {item.key: item.code for item in found.remarks}
    assert codes["dataset_prepared_path"] == codes["hub_model_id"] == codes["not_a_key"] == "FTC423"
    assert (codes["special_tokens.unk_token"], found.whole) == ("FTC421", False)
    left = {item.key for item in found.reading.left}
    assert all(key in found.reading.carried() or key in left for key in found.reading.said)
    assert found.reading.empty == ("wandb_project",)


def test_places_are_those_of_the_config() -> None:
    found = made(AXOLOTL + "special_tokens:\n  unk_token: <u>\n")
    place = remark(found, "special_tokens.unk_token").span
    assert (place.line, place.column) == (22, 3)


def test_an_older_name_is_shown_as_it_stands() -> None:
    found = made(AXOLOTL.replace("val_set_size: 0.05\n", "") + "evaluation_strategy: steps\n")
    assert remark(found, "evaluation_strategy").span.line == 20


@pytest.mark.parametrize(
    ("text", "key", "line", "word"),
    [
        (AXOLOTL + "rl: grpo\n", "rl", 21, "reinforcement"),
        (AXOLOTL + "reward_model: true\n", "reward_model", 21, "reward model"),
        (AXOLOTL + "processor_type: AutoProcessor\n", "processor_type", 21, "text"),
        (AXOLOTL + "gptq: true\n", "gptq", 21, "GPTQ"),
        (AXOLOTL + "plugins: [mine.Plugin]\n", "plugins", 21, "code"),
        (AXOLOTL.replace("base_model", "#"), "base_model", 2, "no base_model"),
        (
            AXOLOTL.replace("type: chat_template", "type: alpaca_chat.load_qa"),
            "datasets[0].type",
            9,
            "words of its own",
        ),
        (AXOLOTL.replace("adamw_bnb_8bit", "came_pytorch"), "optimizer", 17, "came_pytorch"),
        (AXOLOTL.replace("cosine", "rex"), "lr_scheduler", 16, "rex"),
        (AXOLOTL.replace("sequence_len: 2048", "sequence_len: 900000"), "sequence_len", 11, "context"),
        (AXOLOTL.replace("org/talk", "org/talk\n    split: train[10%:]"), "datasets[0].split", 9, "first rows"),
        (LLAMAFACTORY.replace("sft", "rm"), "stage", 2, "reward model"),
        (LLAMAFACTORY.replace("lora", "oft"), "finetuning_type", 4, "OFT"),
        (LLAMAFACTORY, "dataset", 5, "dataset_info.json"),
        (LLAMAFACTORY + "image_max_pixels: 1\n", "image_max_pixels", 9, "text"),
        (UNSLOTH.replace("dataset: org/talk", "#"), "data", 2, "no data"),
        (PEFT.replace("LORA", "LOHA"), "peft_type", 2, "LOHA"),
    ],
)
def test_what_no_recipe_can_say_is_refused_at_its_line(text: str, key: str, line: int, word: str) -> None:
    found = made(text)
    assert found.text is None
    why = next(item for item in found.remarks if item.level == "error" and item.key in (key, ""))
    assert word in why.message
    assert why.span.line == line


# --- files


def test_a_template_of_its_own_stands_beside_the_recipe() -> None:
    text = AXOLOTL + "chat_template: jinja\nchat_template_jinja: '{% for m in messages %}{{ m.content }}{% endfor %}'\n"
    assert made(text).files == {"chat_template.jinja": "{% for m in messages %}{{ m.content }}{% endfor %}"}


def test_deepspeeds_file_is_read_where_it_is() -> None:
    Path("zero.json").write_text(json.dumps({"zero_optimization": {"stage": 2, "offload_optimizer": {}}}))
    written = recipe(AXOLOTL + "deepspeed: zero.json\n", count=4)
    assert written["hardware"] == {"count": 4, "strategy": "zero2", "offload": "optimizer"}
    assert written["training"]["global_batch_size"] == 32


def test_rows_of_a_data_set_by_name(tmp_path: Path) -> None:
    """Relative to dataset_info.json, which the recipe is not."""
    text = factory(info={"pairs": {"hf_hub_url": "org/pairs", "ranking": True, "subset": "small"}})
    Path("recipes").mkdir()
    found = import_config("c.yaml", text.replace("dataset: talk", "dataset: talk"), Asked(tmp_path / "recipes"))
    assert isinstance(found, Imported)
    assert yaml.safe_load(found.text or "")["data"]["train"]["path"] == "../data/talk.jsonl"
    pairs = recipe(text.replace("dataset: talk", "dataset: pairs").replace("stage: sft", "stage: dpo"))
    assert pairs["data"]["train"] == {
        "path": "org/pairs",
        "format": "preference",
        "subset": "small",
        "fields": {"prompt": "instruction"},
    }


def test_which_tool_it_is_for() -> None:
    found = {tool: made(text).tool for tool, text in (("axolotl", AXOLOTL), ("unsloth", UNSLOTH), ("peft", PEFT))}
    assert found == {tool: tool for tool in found}
    with pytest.raises(FtcError, match="cannot be told"):
        made("seed: 1\n")
    with pytest.raises(FtcError, match="recipe of ftc already"):
        made((RECIPES / "qwen2.5-7b-lora-a100-40gb.ftc.yaml").read_text())


# --- as a user types it


def test_the_recipe_is_printed_or_written_and_validates(tmp_path: Path) -> None:
    Path("c.yaml").write_text(AXOLOTL)
    printed = ftc("import", "c.yaml", cwd=tmp_path)
    assert printed.returncode == 0
    assert yaml.safe_load(printed.stdout)["name"] == "c"
    assert "keys carried from Axolotl" in printed.stderr
    wrote = ftc("import", "c.yaml", "--out", "new/r.ftc.yaml", "--name", "talk", cwd=tmp_path)
    assert wrote.returncode == 0
    assert wrote.stdout.endswith("wrote new/r.ftc.yaml\n")
    assert yaml.safe_load(Path("new/r.ftc.yaml").read_text())["name"] == "talk"
    assert ftc("validate", "new/r.ftc.yaml", cwd=tmp_path).returncode == 0


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    Path("c.yaml").write_text(AXOLOTL)
    Path("r.ftc.yaml").write_text("mine")
    done = ftc("import", "c.yaml", "--out", "r.ftc.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "is there already" in done.stderr
    assert Path("r.ftc.yaml").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.yaml", "r.ftc.yaml"]


def test_a_refusal_ends_with_one_and_writes_nothing(tmp_path: Path) -> None:
    Path("c.yaml").write_text(AXOLOTL + "rl: grpo\n")
    done = ftc("import", "c.yaml", "--out", "r.ftc.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert "c.yaml:21:1: error FTC420: rl: grpo is reinforcement learning" in done.stdout
    assert not Path("r.ftc.yaml").exists()


def test_json_has_the_recipe_and_every_remark(tmp_path: Path) -> None:
    Path("c.yaml").write_text(AXOLOTL + "hub_model_id: me/it\n")
    done = ftc("import", "c.yaml", "--format", "json", cwd=tmp_path)
    said = json.loads(done.stdout)
    assert said["imported"]
    assert said["keys"]["with_value"] == len(said["carried"]) + 1
    assert [(item["code"], item["level"], item["line"]) for item in said["diagnostics"]] == [("FTC423", "note", 21)]
    assert yaml.safe_load(said["recipe"])["method"]["rank"] == 32


@pytest.mark.parametrize("text", ["", "- 1\n", "a: [\n", "3\n", "a: 1\na: 2\n", "<<: {a: 1}\n", "\x00"])
def test_what_is_no_config_ends_with_a_word(text: str, tmp_path: Path) -> None:
    Path("c.yaml").write_text(text)
    done = ftc("import", "c.yaml", cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert "c.yaml" in done.stderr
