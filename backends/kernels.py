"""For which families of models each target can replace layers by Liger's kernels. Elsewhere the tools say a line in
their log and train without them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from backends.alike import lost
from schemas.diagnostic import Finding
from schemas.plan import Plan

_ALIKE: Final = frozenset(
    (
        *("gemma", "gemma2", "gemma3", "gemma3_text", "glm4", "gpt_oss", "granite", "llama", "mistral", "mixtral"),
        *("olmo2", "phi3", "qwen2", "qwen3", "qwen3_5", "qwen3_moe", "qwen3_next"),
    )
)
"""Those that all of them know. LLaMA-Factory 0.9.5's whole list (model/model_utils/liger_kernel.py) has `glm` too."""

_OF_LIGER: Final = _ALIKE | {
    *("deepseek_v2", "exaone4", "falcon_h1", "gemma4", "gemma4_text", "hunyuan_v1_dense", "hunyuan_v1_moe", "llama4"),
    *("llama4_text", "ministral", "nemotron", "olmo3", "qwen3_5_moe", "qwen3_5_moe_text", "qwen3_5_text", "smollm3"),
}
"""Language models of liger_kernel 0.8.5's own list (transformers/monkey_patch.py)."""

LIGER: Final[Mapping[str, frozenset[str]]] = {
    "native": _OF_LIGER,
    "axolotl": _OF_LIGER | {"granitemoe", "jamba", "ministral3", "mistral3"},  # integrations/liger/plugin.py, 0.18
    "llamafactory": _ALIKE | {"glm"},
}
"""Target → values of `model_type`."""


def unreplaced(plan: Plan, target: str) -> tuple[Finding, ...]:
    """Liger's kernels asked for, of a model that this target has none for."""
    if plan.training.kernels != "liger" or plan.facts.family in LIGER[target]:
        return ()
    why = f"there are none of Liger's kernels for {plan.facts.family} there, and it would train without a word"
    return (lost("training.kernels", why, "write none, or auto"),)
