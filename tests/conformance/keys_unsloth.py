"""The keywords of the installed Unsloth, and of TRL's configs and trainers as Unsloth classifies them.

Run by Unsloth's Python, UNSLOTH_ALLOW_CPU=1: `python keys_unsloth.py OUT.json`. A keyword is written `call.keyword`.
Those of a config that Unsloth would drop or rename are left out.
"""

from __future__ import annotations

import importlib
import inspect
import os
import typing

import unsloth
from unsloth.models.rl_config_compat import classify_config_kwarg

# isort: split
# Unsloth comes first: it changes the libraries after it.
import transformers
from keys_writing import spelled, write
from peft import LoraConfig

TRAINERS = (("trl", "SFT"), ("trl", "DPO"), ("trl", "KTO"), ("trl.experimental.orpo", "ORPO"))


def main() -> None:
    """Write the list."""
    model = unsloth.FastLanguageModel
    keys = {
        **of("from_pretrained", {**signature(model.from_pretrained), "quantization_config": "any"}),
        **of("get_peft_model", {**fields(LoraConfig), **signature(model.get_peft_model)}),
        **of("BitsAndBytesConfig", signature(transformers.BitsAndBytesConfig.__init__)),
    }
    for place, name in TRAINERS:
        module = importlib.import_module(place)
        config, trainer = getattr(module, f"{name}Config"), getattr(module, f"{name}Trainer")
        keys |= of(f"{name}Config", {k: v for k, v in fields(config).items() if accepted(config, k)})
        keys |= of(f"{name}Trainer", signature(trainer.__init__))
    write("unsloth", "signatures", ("unsloth_zoo", "trl", "transformers", "peft"), keys)


def of(call: str, names: dict[str, str]) -> dict[str, str]:
    return {f"{call}.{name}": kind for name, kind in names.items()}


def accepted(config: type, name: str) -> bool:
    """Whether Unsloth hands this keyword on under its own name."""
    return classify_config_kwarg(config, name)[0] == "accepted"


def fields(config: type) -> dict[str, str]:
    """The fields of a dataclass that its constructor takes."""
    hints = hints_of(config)
    return {
        name: spelled(hints.get(name, field.type)) for name, field in config.__dataclass_fields__.items() if field.init
    }


def signature(function: typing.Callable[..., object]) -> dict[str, str]:
    """The named parameters of a function; types where they are declared."""
    real = inspect.unwrap(function)
    hints, found = hints_of(real), inspect.signature(real).parameters.values()
    named = (one for one in found if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL) and one.name != "self")
    return {one.name: spelled(hints.get(one.name)) if one.name in hints else "any" for one in named}


def hints_of(owner: object) -> dict[str, object]:
    """Its types; none where a name in them cannot be found."""
    try:
        return typing.get_type_hints(owner)
    except Exception:
        return {}


if __name__ == "__main__":
    main()
    os._exit(0)  # threads of the tool would wait for the network
