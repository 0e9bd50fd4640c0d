"""PEFT's adapter_config.json read as a recipe's method (peft 0.21): what was trained, not on what, nor how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from backends.base import spelled
from backends.reading import Config, Reader, Reading, covered, occurrences

OFF: Final = {
    "bias": "none",
    "fan_in_fan_out": False,
    "layers_to_transform": None,
    "layers_pattern": None,
    "lora_bias": False,
    "use_bdlora": False,
    "use_qalora": False,
    "inference_mode": True,
    "init_ia3_weights": True,
}
"""Settings with the value at which nothing is lost; as all that is off or empty."""

IDLE: Final = ("task_type", "auto_mapping", "peft_version", "inference_mode", "revision", "megatron_config")
IDLE_TOO: Final = ("megatron_core", "corda_config", "eva_config", "loftq_config", "runtime_config", "qalora_group_size")
IDLE_OF_PROMPTS: Final = ("num_layers", "num_attention_heads", "token_dim", "num_transformer_submodules")
NAMES: Final = ("target_modules", "target_parameters", "feedforward_modules", "modules_to_save")
SHAPES: Final = {
    **dict.fromkeys(("base_model_name_or_path", "revision", "peft_type", "r", "lora_alpha", "lora_dropout"), "str"),
    **dict.fromkeys(("use_rslora", "use_dora", "init_lora_weights", "num_virtual_tokens", "prefix_projection"), "str"),
    **dict.fromkeys(NAMES, "list[str] | str"),
}
STARTS: Final = {True: "default", "true": "default", "gaussian": "gaussian", "pissa": "pissa", "olora": "olora"}


def read(config: Config, train: str) -> Reading:
    """An adapter's config as leaves of a recipe. `train`: rows to train on, of which it says nothing."""
    reader = Reader(config, SHAPES)
    if reader.has("base_model_name_or_path"):
        reader.put("model.base", reader.get("base_model_name_or_path"), "base_model_name_or_path")
    else:
        reader.note("refused", "base_model_name_or_path", "the base of the adapter is not named")
    if reader.has("revision"):
        reader.put("model.revision", reader.get("revision"), "revision")
    reader.put("data.train", {"path": train})
    kind = str(reader.get("peft_type"))
    read_kind = KINDS.get(kind)
    if read_kind is None:
        reader.note("refused", "peft_type", f"{kind} is no method of a recipe")
    else:
        read_kind(reader)
    _rest(reader)
    return reader.done()


def _lora(reader: Reader) -> None:
    reader.put("method.kind", "dora" if reader.true("use_dora") else "lora", "peft_type", "use_dora")
    reader.put("method.rank", reader.number("r", 8), "r")
    reader.put("method.alpha", reader.number("lora_alpha", 8), "lora_alpha")
    reader.put("method.dropout", reader.number("lora_dropout", 0.0), "lora_dropout")
    reader.put("method.rslora", reader.true("use_rslora"), "use_rslora")
    _targets(reader, "method.target_modules")
    if reader.get("modules_to_save"):
        reader.put("method.modules_to_save", reader.get("modules_to_save"), "modules_to_save")
    start = reader.get("init_lora_weights", True)
    if start in STARTS:
        reader.put("method.init", STARTS[cast("str", start)], "init_lora_weights")
    elif start == "loftq":
        reader.put("method.init", "loftq", "init_lora_weights", "loftq_config")
    else:
        reader.note("differs", "init_lora_weights", f"{spelled(start)} is no start of a recipe: read as the usual one")


def _targets(reader: Reader, leaf: str) -> None:
    """Names, a regular expression, or all-linear; experts by the names of their tensors."""
    named, fused = reader.get("target_modules"), reader.get("target_parameters")
    if isinstance(named, str):
        reader.put(leaf, named if named == "all-linear" else f"re:{named}", "target_modules")
        return
    names = [*_names(named), *_names(fused)]
    if names:
        reader.put(leaf, sorted(names), "target_modules", "target_parameters")


def _names(value: object) -> list[str]:
    return [str(item) for item in cast("list[object]", value)] if isinstance(value, list) else []


def _ia3(reader: Reader) -> None:
    reader.put("method.kind", "ia3", "peft_type")
    for key in ("target_modules", "feedforward_modules"):
        names = _names(reader.get(key))
        if names:
            reader.put(f"method.{key}", sorted(names), key)
        elif reader.get(key):
            reader.note("refused", key, "IA3's modules are named one by one in a recipe")


def _virtual(kind: str, more: dict[str, str]) -> Callable[[Reader], None]:
    def read_it(reader: Reader) -> None:
        reader.put("method.kind", kind, "peft_type")
        reader.put("method.virtual_tokens", reader.number("num_virtual_tokens", 20), "num_virtual_tokens")
        for key, leaf in more.items():
            if reader.has(key):
                reader.put(f"method.{leaf}", reader.get(key), key)
        for key in IDLE_OF_PROMPTS:
            reader.idle("it follows from the base", key)
        for key in ("prompt_tuning_init", "tokenizer_name_or_path", "encoder_num_layers", "encoder_dropout"):
            reader.idle("it follows from the recipe's own settings", key)
        reader.idle("it follows from the recipe's own settings", "encoder_reparameterization_type", "tokenizer_kwargs")

    return read_it


KINDS: Final = {
    "LORA": _lora,
    "IA3": _ia3,
    "PREFIX_TUNING": _virtual("prefix_tuning", {"prefix_projection": "projection"}),
    "PROMPT_TUNING": _virtual("prompt_tuning", {"prompt_tuning_init_text": "init_text"}),
    "P_TUNING": _virtual("p_tuning", {"encoder_hidden_size": "encoder_hidden_size"}),
}
"""PEFT's kinds that ftc trains → what reads their settings."""


def _rest(reader: Reader) -> None:
    taken = reader.taken()
    for key in occurrences(reader.config):
        if covered(key, taken):
            continue
        top = key.partition(".")[0].partition("[")[0]
        value = reader.get(top)
        if top in (*IDLE, *IDLE_TOO):
            reader.note("idle", key, "it says how the adapter is kept, not how it is trained")
        elif value in (False, [], {}, "", 0, 0.0) or OFF.get(top) == value:
            reader.note("idle", key, "it is off")
        else:
            reader.note("lost", key, "no leaf of a recipe says this")
