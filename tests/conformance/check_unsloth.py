"""What Unsloth makes of a script: whether it knows every keyword, and the trainer that the script comes to.

Run by Unsloth's Python with the folders of artifacts and `UNSLOTH_ALLOW_CPU=1`, with which it imports what it uses on a
GPU. On a GPU it drops unknown keywords of a config with a printed line, so the calls are read first; then the script
runs, up to where training begins, through the loader and the trainers that Unsloth has for GPUs.
"""

from __future__ import annotations

import ast
import inspect
import os
import runpy
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

# isort: split
# Unsloth looks at the card when it is imported, and changes the libraries that come after it.
import a_card_there  # noqa: F401
import unsloth
from unsloth import fsdp2_launch
from unsloth.models.rl_config_compat import classify_config_kwarg

# isort: split
import torch
import transformers
import trl
import trl.experimental.orpo
from peft import LoraConfig
from pretend import Reached, a_card
from reading import Values, preference, projects, read
from reading_model import read_model
from reading_rows import read_rows
from worker import Report, serve

SCRIPT = "conformance.py"
CONFIGS = {"SFTConfig": trl.SFTConfig, "DPOConfig": trl.DPOConfig, "KTOConfig": trl.KTOConfig}
CONFIGS["ORPOConfig"] = trl.experimental.orpo.ORPOConfig
LOADED = {"quantization_config"}
"""Keywords that `from_pretrained` hands on to transformers."""


def signature(function: Callable[..., object]) -> set[str]:
    """The names of its parameters."""
    return set(inspect.signature(inspect.unwrap(function)).parameters)


KNOWN = {
    "from_pretrained": signature(unsloth.FastLanguageModel.from_pretrained) | LOADED,
    "get_peft_model": signature(unsloth.FastLanguageModel.get_peft_model) | set(LoraConfig.__dataclass_fields__),
    "SFTTrainer": signature(trl.SFTTrainer.__init__),
    "DPOTrainer": signature(trl.DPOTrainer.__init__),
    "KTOTrainer": signature(trl.KTOTrainer.__init__),
    "ORPOTrainer": signature(trl.experimental.orpo.ORPOTrainer.__init__),
    "BitsAndBytesConfig": signature(transformers.BitsAndBytesConfig) | {"load_in_4bit", "load_in_8bit"},
}


def check(told: dict[str, Any]) -> Report:
    """What is wrong with the artifact; where nothing is, what the tool makes of it."""
    wrong = parsed("train.py")
    return {"wrong": wrong} if wrong else {"wrong": [], "effective": effective(told)}


# --- whether it is taken


def parsed(path: str) -> list[str]:
    """What is wrong with the script's calls; nothing where all are known."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {named(call) for call in calls}
    missing = [] if "from_pretrained" in names and names & CONFIGS.keys() else ["no model is loaded, or no config made"]
    return missing + [found for call in calls for found in unknown(call)]


def named(call: ast.Call) -> str:
    """The last word of what is called."""
    return ast.unparse(call.func).rpartition(".")[2]


def unknown(call: ast.Call) -> list[str]:
    """Keywords that what is called does not know; of a config, those that Unsloth would drop or rename."""
    name = named(call)
    given = [item.arg for item in call.keywords if item.arg]
    if name in CONFIGS:
        verdicts = {word: classify_config_kwarg(CONFIGS[name], word)[0] for word in given}
        return [
            f"line {call.lineno}: {name}: {word} is {said}" for word, said in verdicts.items() if said != "accepted"
        ]
    return [f"line {call.lineno}: {name} knows no {word}" for word in given if word not in KNOWN.get(name, given)]


# --- what it comes to


def effective(told: dict[str, Any]) -> Values:
    """What the script builds, up to where training begins; and what it does after training."""
    script = Path("train.py").read_text(encoding="utf-8")
    if told["base"]:
        script = script.replace(repr(told["recipe_base"]), repr(told["base"]))
    Path(SCRIPT).write_text(script, encoding="utf-8")
    found, after = run()
    trainer, args = found.trainer, found.trainer.args
    model = read_model(trainer)
    return {
        **read(trainer, found.resume, told["steps"]),
        **model,
        "train": read_rows(trainer.train_dataset, trainer.processing_class),
        "validation": read_rows(trainer.eval_dataset, trainer.processing_class),
        "data.max_length": args.max_length,
        "data.packing": packing(args),
        **objective(trainer),
        "training.gradient_checkpointing": recomputation(on=model["training.gradient_checkpointing"]),
        "logging.project": projects(args),
        "output.merge": after,
        "model.attention": attention(trainer),
        **sharding(told),
        **CALLED,
    }


CALLED: Values = {}
"""What `from_pretrained` was called with, its own defaults filled in."""


def run() -> tuple[Reached, bool]:
    """Run the script. Training is left out; saving is only noted."""
    found: list[Reached] = []
    merged: list[str] = []

    def train(self: Any, resume_from_checkpoint: object = None, *_: object, **__: object) -> None:
        found.append(Reached(self, resume_from_checkpoint))
        self.save_model = lambda *_: None
        self.model.save_pretrained_merged = lambda *_, **said: merged.append(said["save_method"])

    trainers = (trl.SFTTrainer, trl.DPOTrainer, trl.KTOTrainer, trl.experimental.orpo.ORPOTrainer)
    for kind in (transformers.Trainer, *trainers):
        kind.train = train
    sys.argv = [SCRIPT]
    runpy.run_path(SCRIPT, run_name="__main__")
    return found[0], merged == ["merged_16bit"]


def objective(trainer: Any) -> Values:
    named = type(trainer).__name__.lower().removeprefix("unsloth").removesuffix("trainer")
    if named == "sft":
        return {"training.objective": named}
    return preference(trainer, named)


def packing(args: Any) -> bool | str:
    """Best-fit keeps the lengths of what it packs; the other kind cuts a stream."""
    if not getattr(args, "packing", False):
        return False
    return "apart" if args.packing_strategy in ("bfd", "bfd_split") else "together"


def recomputation(*, on: bool) -> bool | str:
    """Its own kind stands for torch's function while it is on."""
    own = "unsloth" in torch.utils.checkpoint.checkpoint.__module__ or "unsloth" in repr(
        torch.utils.checkpoint.checkpoint
    )
    return "offload" if on and own else on


def attention(trainer: Any) -> str:
    """Its own attention of Gemma 2 caps logits, as eager attention does, whatever the config says."""
    own = any(getattr(part.forward, "__module__", "") == "unsloth.models.gemma2" for part in trainer.model.modules())
    return "eager" if own else trainer.model.config._attn_implementation


def sharding(told: dict[str, Any]) -> Values:
    """Its own switch, as the command sets it."""
    with patch.dict(os.environ, told["command"]["environment"]):
        return {"hardware.strategy": "fsdp"} if fsdp2_launch.unsloth_fsdp2_requested() else {}


# --- as on a card


def prepare() -> None:
    """Its loader finds a card, and puts the model on the CPU; its trainers take the place of TRL's."""
    answers = {
        "get_current_device": lambda *_, **__: "cpu",
        "is_bfloat16_supported": lambda *_, **__: True,
        "SUPPORTS_BFLOAT16": True,
        "ALLOW_BITSANDBYTES": True,
    }
    for name, module in list(sys.modules.items()):
        if name.startswith("unsloth"):
            for word in answers.keys() & vars(module).keys():
                setattr(module, word, answers[word])
    torch.cuda.current_device = lambda *_: 0
    torch.cuda.empty_cache = lambda: None
    torch.empty = partial(_pageable, torch.empty)
    os.environ["UNSLOTH_ALLOW_CPU"] = "0"
    from unsloth.models import llama, rl

    rl.patch_trl_rl_trainers()
    move = llama._offload_frozen_module_for_training
    llama._offload_frozen_module_for_training = lambda module, _, **said: move(module, "cpu", **said)
    load = unsloth.FastLanguageModel.from_pretrained
    unsloth.FastLanguageModel.from_pretrained = staticmethod(lambda *args, **said: _loaded(load, *args, **said))


def _pageable(allocate: Callable[..., object], *sizes: object, **said: object) -> object:
    """Memory for activations that are moved off a card, as far as there is any without one."""
    return allocate(*sizes, **{name: value for name, value in said.items() if name != "pin_memory"})


def _loaded(load: Callable[..., object], *args: object, **said: object) -> object:
    bound = inspect.signature(inspect.unwrap(load)).bind(*args, **said)
    bound.apply_defaults()
    told = bound.arguments
    CALLED.update({"model.revision": told["revision"], "model.trust_remote_code": bool(told["trust_remote_code"])})
    return load(*args, device_map={"": "cpu"}, **said)


if __name__ == "__main__":
    a_card()
    prepare()
    transformers.utils.logging.set_verbosity_error()
    serve(check)
