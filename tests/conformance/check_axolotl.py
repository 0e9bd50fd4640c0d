"""What Axolotl makes of an artifact: whether its own parser takes it, and the trainer that its own code builds.

Run by Axolotl's Python with the folders of artifacts. Axolotl drops unknown keys without a word at every depth, so
they are looked up in the models that it reads the config with.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml
from axolotl.cli import config as cli_config
from axolotl.common import datasets
from axolotl.core.builders.causal import HFCausalTrainerBuilder
from axolotl.loaders.model import ModelLoader
from axolotl.train import train
from axolotl.utils import config
from axolotl.utils.dict import DictDefault
from pretend import a_card, reached, stop_at_training
from pydantic import BaseModel
from reading import Values, preference, read
from reading_model import read_model
from reading_rows import read_rows
from sharding import fully_sharded, zero
from shared_config import RUN, copy_to_run
from trl.trainer import dpo_trainer, kto_trainer
from worker import Report, serve

CARD = {"bf16": True, "fp8": True, "tf32": True, "n_gpu": 1, "compute_capability": "sm_90"}
PROJECTS = {"wandb": "wandb_project", "mlflow": "mlflow_experiment_name", "trackio": "trackio_project_name"}
TORCH = {"torch_version": torch.__version__.split("+")[0]}


def check(told: dict[str, Any]) -> Report:
    """What is wrong with the artifact; where nothing is, what the tool makes of it."""
    wrong = parsed("config.yaml")
    return {"wrong": wrong} if wrong else {"wrong": [], "effective": effective(told)}


# --- whether it is taken


def parsed(path: str) -> list[str]:
    """What is wrong with the config; nothing where it is accepted."""
    written = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    try:
        seen = validated(written)
    except (Exception, SystemExit) as error:
        return [f"{type(error).__name__}: {error}"]
    model = config.merge_input_args()[0] if written.get("plugins") else config.AxolotlConfigWCapabilitiesBase
    return [*unknown(written, [model], ""), *changed(written, seen)]


def validated(written: dict[str, object]) -> DictDefault:
    given = DictDefault(written)
    config.prepare_plugins(given)
    return config.validate_config(given, capabilities=CARD, env_capabilities=TORCH)


def unknown(value: object, models: list[type[BaseModel]], path: str) -> list[str]:
    """Keys that none of the models has."""
    if isinstance(value, list):
        return [found for item in value for found in unknown(item, models, path)]
    if not isinstance(value, dict) or not models:
        return []
    found: list[str] = []
    for key, item in value.items():
        fields = [field for model in models if (field := named(model).get(key))]
        if fields:
            inner = [model for field in fields for model in inside(field.annotation)]
            found += unknown(item, inner, f"{path}{key}.")
        else:
            found.append(f"{path}{key}: unknown, and dropped without a word")
    return found


def named(model: type[BaseModel]) -> dict[str, typing.Any]:
    """Fields by name and by alias."""
    names: dict[str, typing.Any] = {}
    for name, field in model.model_fields.items():
        for alias in (name, field.alias, field.validation_alias):
            for word in [alias] if isinstance(alias, str) else getattr(alias, "choices", ()):
                names[word] = field
    return names


def inside(annotation: object) -> list[type[BaseModel]]:
    """The models inside a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in inside(part)]


RENAMED = {"revision_of_model": "model_revision"}


def changed(written: dict[str, object], seen: DictDefault) -> list[str]:
    """Top-level scalars that do not arrive as they are written."""
    found: list[str] = []
    for key, value in written.items():
        arrived = seen.get(key)
        arrived = seen.get(RENAMED[key]) if arrived is None and key in RENAMED else arrived
        if not isinstance(value, list | dict) and getattr(arrived, "value", arrived) != value:
            found.append(f"{key}: {value!r} arrives as {arrived!r}")
    return found


# --- what it comes to


def effective(told: dict[str, Any]) -> Values:
    """What its own code builds, up to where training begins."""
    written = copy_to_run(told)
    if written.get("fsdp_config"):
        ModelLoader._configure_embedding_dtypes = _sharded(
            ModelLoader._configure_embedding_dtypes, written["fsdp_config"]
        )
    cfg = cli_config.load_cfg(RUN)
    load = datasets.load_preference_datasets if cfg.rl else datasets.load_datasets
    prepared = load(cfg=cfg)
    # As many steps as are asked for: the rows here are few, and a share of warm-up is one of all steps.
    prepared.total_num_steps = told["steps"]
    found = reached(lambda: train(cfg=cfg, dataset_meta=prepared))
    trainer = found.trainer
    model = read_model(trainer)
    return {
        **read(trainer, found.resume, told["steps"]),
        **model,
        "train": read_rows(trainer.train_dataset, trainer.processing_class),
        "validation": read_rows(trainer.eval_dataset, trainer.processing_class),
        "training.max_steps": cfg.max_steps,
        "data.max_length": trainer.args.max_length if cfg.rl else trainer.args.max_seq_length,
        "data.packing": packing(trainer),
        **objective(trainer, cfg),
        "training.gradient_checkpointing": recomputation(trainer, on=model["training.gradient_checkpointing"]),
        "training.loss": loss(trainer),
        "model.revision": cfg.model_revision or cfg.revision_of_model,
        "model.trust_remote_code": bool(cfg.trust_remote_code),
        "logging.project": {name: cfg[key] for name, key in PROJECTS.items() if cfg[key]},
        **sharding(written, trainer),
    }


def _sharded(configure: Callable[[ModelLoader], None], told: dict[str, Any]) -> Callable[[ModelLoader], None]:
    """What it keeps in float32 depends on FSDP, and the config that is run here has none."""

    def configured(loader: ModelLoader) -> None:
        loader.cfg.fsdp_config = DictDefault(told)
        configure(loader)
        loader.cfg.fsdp_config = None

    return configured


def packing(trainer: Any) -> bool | str:
    """Packed rows keep apart where the collator counts documents in the attention mask, or leaves the mask out."""
    if not getattr(trainer.args, "sample_packing", False):
        return False
    return "apart" if "BatchSampler" in type(trainer.train_data_collator).__name__ else "together"


def objective(trainer: Any, cfg: DictDefault) -> Values:
    return preference(trainer, str(cfg.rl.value)) if cfg.rl else {"training.objective": "sft"}


def recomputation(trainer: Any, *, on: bool) -> bool | str:
    """Its two other kinds are a context around recomputation, and arguments of its own."""
    model, args = trainer.model, trainer.args
    selective = any(
        hasattr(part.__dict__.get("gradient_checkpointing_enable"), "_axolotl_sac") for part in model.modules()
    )
    if on and selective:
        return "selective"
    return "offload" if on and getattr(args, "activation_offloading", None) == "hidden_states" else on


def loss(trainer: Any) -> str:
    model = trainer.model
    base = model.get_base_model() if hasattr(model, "peft_config") else model
    named = base.loss_function.__module__
    return "chunked" if named.startswith("axolotl.monkeypatch.loss.chunked") else "full"


def sharding(written: dict[str, Any], trainer: Any) -> Values:
    """Told to several cards; the run here has none of it."""
    if written.get("deepspeed"):
        return zero(str(written["deepspeed"]), trainer.args)
    if not written.get("fsdp_config"):
        return {}
    cfg = validated({key: value for key, value in written.items() if key != "plugins"})
    told = HFCausalTrainerBuilder(cfg, torch.nn.Linear(1, 1), None)._set_base_training_args(1000)[0]
    args = transformers.TrainingArguments(output_dir="out", fsdp=told["fsdp"], fsdp_config=told["fsdp_config"])
    return fully_sharded(args.fsdp_plugin_args)


if __name__ == "__main__":
    a_card(config)
    cli_config.gpu_capabilities = lambda *_, **__: (CARD, TORCH)
    for module in (dpo_trainer, kto_trainer):
        # Activations would go from a card to memory; here they are there.
        module.get_act_offloading_ctx_manager = lambda **_: nullcontext()
    stop_at_training()
    transformers.utils.logging.set_verbosity_error()
    serve(check)
