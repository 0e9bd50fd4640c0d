"""Patterns of parameter names, as `freeze` and `train_only` take them: does each match, and is something left?"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from compiler.rules.context import Context, Rule
from schemas.diagnostic import Finding
from schemas.facts import ModelFacts
from schemas.method import FullMethod

NORMS: Final = (
    *("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"),
    *("self_attn.q_norm", "self_attn.k_norm"),
)
SMALL: Final = ("mlp.gate.weight", "mlp.router.weight", "mlp.router.bias", "self_attn.sinks")
"""What the facts do not list by name, and some families of transformers have in a layer."""

STEMS: Final = ("model.", "model.language_model.")


def patterns_match(context: Context) -> Iterator[Finding]:
    """A pattern that matches nothing would be passed over in silence."""
    method, facts = context.recipe.method, context.facts
    if facts is None or not isinstance(method, FullMethod):
        return
    named, matched = _named(facts), True
    for leaf, patterns in (("freeze", method.freeze), ("train_only", method.train_only)):
        for index, pattern in enumerate(patterns):
            if not any(fnmatchcase(name, pattern) for name in named):
                matched = False
                message = f'no parameter of {facts.name} matches "{pattern}"'
                yield Finding("FTC215", f"method.{leaf}[{index}]", message, _hint(pattern, named, facts))
    if matched and method.freeze and not method.train_only and _all_frozen(method.freeze, facts):
        message = "freeze matches every parameter: nothing would be trained"
        yield Finding(
            "FTC218", "method.freeze", message, "freeze less, or name under train_only what is trained", at="key"
        )


def _all_frozen(patterns: tuple[str, ...], facts: ModelFacts) -> bool:
    names = _named(facts) if facts.other_params else _listed(facts)
    return all(any(fnmatchcase(name, pattern) for pattern in patterns) for name in names)


def _listed(facts: ModelFacts) -> frozenset[str]:
    from compiler.memory.trainable import parameters  # only where patterns are written

    fused = tuple(f".{linear.name}.weight" for linear in facts.linears if linear.fused)
    names = (name for name, _ in parameters(facts))
    return frozenset(name.removesuffix(".weight") if fused and name.endswith(fused) else name for name in names)


def _named(facts: ModelFacts) -> frozenset[str]:
    """Every name that a parameter of this model may have; rather too many than too few."""
    listed = _listed(facts)
    biases = {f"{name.removesuffix('.weight')}.bias" for name in listed if name.endswith(".weight")}
    inner = (*(f"{norm}.weight" for norm in NORMS), *SMALL)
    names = listed | biases | {f"model.layers.{layer}.{name}" for layer in range(facts.layers) for name in inner}
    return frozenset(
        f"{stem}{name.removeprefix('model.')}" if name.startswith("model.") else name
        for name in names
        for stem in STEMS
    )


def _hint(pattern: str, named: frozenset[str], facts: ModelFacts) -> str:
    """A pattern stands for whole names, which is what most forget."""
    if facts.tied and "lm_head" in pattern:
        return "its head is the embedding: write *embed_tokens*"
    core = pattern.strip("*.")
    if core and any(fnmatchcase(name, f"*{core}*") for name in named):
        return f'a pattern stands for the whole name: write "*{core}*"'
    from compiler.hints import closest  # only where something is wrong

    modules = sorted({part for name in named for part in name.split(".")[:-1] if not part.isdigit()})
    words = [part for part in core.split(".") if part.strip("*") and not part.isdigit()]
    meant = next((found for word in words if word not in modules and (found := closest(word, modules))), None)
    return f'did you mean "*{meant}*"?' if meant else "names look like model.layers.0.self_attn.q_proj.weight"


RULES: Final = (Rule(("method.kind", "method.freeze", "method.train_only", "model.base"), patterns_match),)
