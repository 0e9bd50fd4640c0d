"""Whether Axolotl's own parser takes a config, keeps every value as it is written, and knows every key.

Run by Axolotl's Python with the folders of artifacts: a line of JSON for each. Axolotl drops unknown keys
without a word at every depth, so they are looked up in the models that it reads the config with.
"""

from __future__ import annotations

import json
import os
import sys
import typing
from pathlib import Path

import torch
import transformers.training_args
import transformers.utils
import transformers.utils.import_utils
import yaml
from axolotl.core.builders.causal import HFCausalTrainerBuilder
from axolotl.utils import config
from axolotl.utils.dict import DictDefault
from pydantic import BaseModel

CARD = {"bf16": True, "fp8": True, "tf32": True, "n_gpu": 1, "compute_capability": "sm_90"}


def pretend() -> None:
    """Answer as a card with all types would: the config is for such a card, and this machine may have none."""
    for module in (transformers.utils, transformers.utils.import_utils, transformers.training_args, config):
        module.is_torch_bf16_gpu_available = lambda *_, **__: True
        module.is_torch_tf32_available = lambda *_, **__: True
    transformers.training_args.enable_tf32 = lambda *_, **__: None


def main(path: str) -> list[str]:
    """What is wrong with the config; nothing where it is accepted."""
    text = Path(path).read_text(encoding="utf-8")
    written = yaml.safe_load(text)
    read = DictDefault(yaml.safe_load(text))
    try:
        config.prepare_plugins(read)
        seen = config.validate_config(
            read, capabilities=CARD, env_capabilities={"torch_version": torch.__version__.split("+")[0]}
        )
        arguments = HFCausalTrainerBuilder(seen, torch.nn.Linear(1, 1), None)._set_base_training_args(1000)[0]
        arguments.pop("accelerator_config", None)
        known = transformers.TrainingArguments.__dataclass_fields__
        transformers.TrainingArguments(**{name: value for name, value in arguments.items() if name in known})
    except (Exception, SystemExit) as error:
        return [f"{type(error).__name__}: {error}"]
    model = config.merge_input_args()[0] if written.get("plugins") else config.AxolotlConfigWCapabilitiesBase
    return [*unknown(written, [model], ""), *changed(written, seen)]


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


if __name__ == "__main__":
    pretend()
    for folder in sys.argv[1:]:
        os.chdir(folder)
        print(json.dumps([folder, main("config.yaml")]), flush=True)
    os._exit(0)  # threads of the tool would wait for the network
