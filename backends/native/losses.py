"""What the native run cannot do of a plan although it can do each of its leaves: combinations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from backends.kernels import unreplaced
from backends.native.sharded import sharding_losses
from schemas.diagnostic import Finding
from schemas.method_plan import FullPlan, Ia3Plan, LoraPlan, Names, PrefixPlan, PromptPlan, PTuningPlan
from schemas.plan import Plan

TEMPLATES: Final = Path(__file__).parent.parent.parent / "schemas" / "catalog" / "chat_templates"
OUTER: Final = {"embed_tokens": "model.", "lm_head": ""}
"""Embedding and head, each with what stands before its name."""
HEADS: Final = ("lm_head", "embed_out")
SPLIT: Final = ("pissa", "olora")
"""Starts of adapters that take from a weight what the adapter begins with."""


def chat_templates() -> tuple[str, ...]:
    """The names that `model.chat_template` may have."""
    return tuple(sorted(path.stem for path in TEMPLATES.glob("*.jinja")))


def template_path(name: str) -> Path:
    """The file of a chat template: the recipe's own, or one of ours."""
    return Path(name) if name.endswith(".jinja") else TEMPLATES / f"{name}.jinja"


def losses(plan: Plan) -> tuple[Finding, ...]:
    """Combinations that the native run cannot do although it can do each leaf."""
    return (
        *_template_losses(plan),
        *_best_losses(plan),
        *_eight_bit_losses(plan),
        *_start_losses(plan),
        *_packing_losses(plan),
        *_compared_losses(plan),
        *_head_losses(plan),
        *_token_losses(plan),
        *_muon_losses(plan),
        *sharding_losses(plan),
        *unreplaced(plan, "native"),
    )


def _template_losses(plan: Plan) -> tuple[Finding, ...]:
    name = plan.model.chat_template
    if name is None or name == "tokenizer" or template_path(name).is_file():
        return ()
    if name.endswith(".jinja"):
        return (Finding("FTC404", "model.chat_template", f'"{name}" is not there to be read'),)
    known = ", ".join(chat_templates())
    return (Finding("FTC404", "model.chat_template", f'"{name}" is none of the known chat templates: {known}'),)


def _best_losses(plan: Plan) -> tuple[Finding, ...]:
    """The best checkpoint is chosen among those that were evaluated, so each of them must be."""
    evaluation, checkpoint = plan.evaluation.every, plan.checkpoint.every
    if not plan.checkpoint.best or (evaluation == checkpoint is not None and plan.data.validation is not None):
        return ()
    message = (
        "the best checkpoint can be told only if each is evaluated: set evaluation.every and checkpoint.every alike"
    )
    return (Finding("FTC404", "checkpoint.best", message),)


def _eight_bit_losses(plan: Plan) -> tuple[Finding, ...]:
    """bitsandbytes computes 8-bit products in the type of the model's other weights."""
    asked = plan.quantization
    if asked is None or asked.bits == 4 or asked.compute_dtype == plan.model.dtype:
        return ()
    message = f"with 8 bits it is computed in model.dtype, which is {plan.model.dtype}"
    return (Finding("FTC404", "method.quantization.compute_dtype", message),)


def _start_losses(plan: Plan) -> tuple[Finding, ...]:
    """A network that makes virtual tokens cannot be told which; eight bits lose so little that LoftQ has no code."""
    method = plan.method
    if plan.lora and plan.lora.init == "loftq" and plan.quantization and plan.quantization.bits == 8:
        return (Finding("FTC404", "method.init", "loftq is written for a base of 4 bits; of 8 bits little is lost"),)
    by_network = isinstance(method, PTuningPlan) or (isinstance(method, PrefixPlan) and method.projection)
    if not by_network or not getattr(method, "init_text", None):
        return ()
    return (Finding("FTC404", "method.init_text", "a network makes its virtual tokens, and it starts at random"),)


def _packing_losses(plan: Plan) -> tuple[Finding, ...]:
    """transformers' classes are not all told where the documents of a row begin."""
    if not plan.data.packing or not plan.facts.mixes_documents:
        return ()
    message = f"transformers' {plan.facts.family} would let the documents in one row see each other"
    return (Finding("FTC404", "data.packing", message, "write false, or auto"),)


def _compared_losses(plan: Plan) -> Iterator[Finding]:
    """DPO and KTO ask what the model said before it learnt: without its adapter, the base."""
    method, objective = plan.method, plan.training.objective
    if objective in ("dpo", "kto") and isinstance(method, LoraPlan) and method.init not in ("default", "gaussian"):
        message = f"{objective} compares with the model without its adapter, and {method.init} changes that"
        yield Finding("FTC404", "method.init", message)
    if objective == "kto" and plan.training.micro_batch_size < 2:
        message = "kto weighs each answer against the others of its forward pass, so there must be two at least"
        yield Finding("FTC404", "training.micro_batch_size", message)
    if plan.training.loss == ("chunked" if objective == "orpo" else "full") and plan.training.preference:
        how = (
            "has the logits whole"
            if objective == "orpo"
            else "takes the head in chunks, and never has the logits whole"
        )
        yield Finding("FTC404", "training.loss", f"TRL's {objective} {how}", "leave it to auto")
    if objective == "orpo" and plan.training.gradient_checkpointing == "offload":
        yield Finding("FTC404", "training.gradient_checkpointing", "TRL's ORPO does not move activations off the card")


def _head_losses(plan: Plan) -> Iterator[Finding]:
    """Adapters beside the layers: on the head, whose weights losses take by themselves, and on an embedding that is the
    head too."""
    method, facts = plan.lora, plan.facts
    if method is None or plan.model.tokens.add:  # with new tokens there are other words for it
        return
    if plan.training.objective != "orpo" and any(_adapted(method.target_modules, name) for name in HEADS):
        message = "TRL's losses take the head's own weights, and an adapter on it would never be trained"
        yield Finding("FTC404", "method.target_modules", message, "write modules_to_save: [lm_head] to train it whole")
    elif facts.tied and _adapted(method.target_modules, "embed_tokens") and (plan.output.merge or method.init in SPLIT):
        message = (
            f"the embedding of {facts.name} is its head too: what an adapter on the one adds would be in the other"
        )
        yield Finding(
            "FTC404", "method.target_modules", message, "leave embed_tokens out, or write it in modules_to_save"
        )


def _token_losses(plan: Plan) -> Iterator[Finding]:
    """Rows of new tokens that would stay as they began."""
    method, path = plan.method, "model.tokens.add"
    if not plan.model.tokens.add:
        return
    outer = [name for name in OUTER if name == "embed_tokens" or not plan.facts.tied]
    if isinstance(method, FullPlan):
        frozen = [name for name in outer if not _trains(method, f"{OUTER[name]}{name}.weight")]
        if frozen:
            yield Finding(
                "FTC404", path, f"their rows in {' and '.join(frozen)} are frozen, and would stay as they begin"
            )
    elif not isinstance(method, LoraPlan):
        yield Finding(
            "FTC404", path, f"{method.kind} trains nothing of the embedding: their rows would stay as they begin"
        )
    elif carrying := [name for name in outer if _adapted(method.target_modules, name)]:
        message = f"PEFT cannot train single rows of {' and '.join(carrying)} beside an adapter on it"
        yield Finding("FTC404", "method.target_modules", message)


def _muon_losses(plan: Plan) -> Iterator[Finding]:
    """It needs whole matrices, and decides itself how large a step of each is."""
    if plan.training.optimizer != "muon":
        return
    if plan.lora and plan.lora.lora_plus_ratio is not None:
        message = "muon makes all updates of one size, and B would not be learnt faster than A"
        yield Finding("FTC404", "method.lora_plus_ratio", message)
    if isinstance(plan.method, Ia3Plan | PromptPlan) or (
        isinstance(plan.method, PrefixPlan) and not plan.method.projection
    ):
        message = f"{plan.method.kind} trains vectors alone, and muon is for matrices: write adamw"
        yield Finding("FTC404", "training.optimizer", message)
    if plan.hardware.strategy in ("zero2", "zero3"):
        message = "DeepSpeed lays all weights end to end, and muon needs matrices: write adamw, or shard by fsdp"
        yield Finding("FTC404", "training.optimizer", message)


def _trains(method: FullPlan, name: str) -> bool:
    """Whether a parameter of this name is trained."""
    if method.train_only:
        return any(fnmatchcase(name, pattern) for pattern in method.train_only)
    return not any(fnmatchcase(name, pattern) for pattern in method.freeze)


def _adapted(wanted: Names | str, name: str) -> bool:
    """Whether an adapter sits on embedding or head; of an expression that is none (FTC212), no."""
    whole = f"{OUTER.get(name, '')}{name}"
    if isinstance(wanted, str):
        try:
            return re.fullmatch(wanted.removeprefix("re:"), whole) is not None
        except (re.error, RecursionError, OverflowError):
            return False
    return any(f".{whole}".endswith(f".{item}") for item in wanted)
