"""Every recipe for every version of the tool targets, with settings on top: which are built, and which are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from calls import RECIPES

from backends import pinned
from backends.release import others
from compiler.build import Compiled, Options, compile_recipe
from schemas.artifact import Target

LISTED = {
    path.name.removesuffix(".ftc.yaml"): path
    for path in sorted(RECIPES.glob("**/[!.]*.ftc.yaml"))
    if "kind: hosted" not in path.read_text()
}
TARGETS: tuple[Target, ...] = ("axolotl", "llamafactory", "unsloth")

VARIANTS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "unpacked": ("data.packing=false", "training.warmup=7", "logging.to=[wandb, mlflow]"),
    "fused": ("data.packing=false", "training.warmup=7", "training.kernels=liger", "logging.to=[wandb, mlflow]"),
    "offloaded": ("data.packing=false", "training.gradient_checkpointing=offload", "evaluation.every=50"),
    "selective": ("data.packing=false", "training.gradient_checkpointing=selective", "checkpoint.weights_only=true"),
    "sharded": ("data.packing=false", "hardware.count=8", "hardware.strategy=zero3"),
    "merged": ("data.packing=false", "checkpoint.weights_only=true", "output.merge=true"),
}
"""Settings on top of recipes: those that reach keys which no recipe asks for."""
EVERYWHERE = ("plain", "unpacked", "fused")
SOME = ("llama3.1-8b-dora-l40s", "llama3.1-8b-full-8xa100")
LEFT_OUT = {"fused": ("unsloth",), "selective": ("axolotl@0.17.0", "llamafactory", "unsloth"), "sharded": ("unsloth",)}
"""Variant → the tools, or versions of one, that refuse it for every recipe."""
REFUSED = {
    "method.kind": r".*-mixtral-.*",
    "training.kernels": r".*-quickstart(-real)?-fused",
    "output.merge": r".*-full-8xa100-merged",
    "data.packing": r"(axolotl@0\.17\.0|llamafactory@0\.9\.4)"
    r"-(llama3-8b-qlora|llama3\.1-(8|70)b|mistral-7b-qlora|mixtral-8x7b|qwen2\.5-72?b)-.*-plain",
    "data.overlong": r"llamafactory@.*-text-t4-.*",
    "data.train.format": r"llamafactory@.*-completion-l4-.*",
    "model.dtype": r"llamafactory@.*-quickstart-real-.*",
    "hardware.gpu": r"unsloth@2026\.10\.1-quickstart(-real)?-.*",
    "hardware.strategy": r"unsloth@2026\.10\.1-.*-fsdp-.*",
}
"""Leaf → the cases that are refused there; all others are built."""
ENOUGH = {
    "axolotl@0.17.0": {"plain": 7, "unpacked": 17, "fused": 16, "offloaded": 2, "sharded": 2, "merged": 1},
    "axolotl@0.19.0": {
        "plain": 17,
        "unpacked": 17,
        "fused": 16,
        "offloaded": 2,
        "selective": 2,
        "sharded": 2,
        "merged": 1,
    },
    "llamafactory@0.9.4": {"plain": 5, "unpacked": 15, "fused": 14, "offloaded": 2, "sharded": 2, "merged": 1},
    "llamafactory@0.9.5": {"plain": 15, "unpacked": 15, "fused": 14, "offloaded": 2, "sharded": 2, "merged": 1},
    "unsloth@2026.10.1": {"plain": 15, "unpacked": 15, "offloaded": 2, "merged": 1},
    "unsloth@2026.10.9": {"plain": 17, "unpacked": 17, "offloaded": 2, "merged": 1},
}
"""Version → how many artifacts of each variant there are at least."""


@dataclass(frozen=True)
class Case:
    """A recipe with a variant's settings, for a version of a tool."""

    target: Target
    version: str
    name: str
    variant: str

    def __str__(self) -> str:
        return f"{self.target}@{self.version}-{self.name}-{self.variant}"

    @property
    def refused(self) -> set[str]:
        """The leaves that the table has for it."""
        return {leaf for leaf, pattern in REFUSED.items() if re.fullmatch(pattern, str(self))}

    @property
    def left_out(self) -> bool:
        return str(self).startswith(LEFT_OUT.get(self.variant, ()))

    def compiled(self) -> Compiled:
        asked = None if self.version == pinned(self.target) else self.version
        sets, recipe = VARIANTS[self.variant], LISTED[self.name]
        options = Options(target=self.target, version=asked, sets=sets, emit=True, ignore_memory=True)
        return compile_recipe(recipe.name, recipe.read_text(), recipe.parent, options)


def every_version() -> Iterator[tuple[Target, str]]:
    for target in TARGETS:
        for version in (*others(target), pinned(target)):
            yield target, version


POSSIBLE = [
    Case(target, version, name, variant)
    for target, version in every_version()
    for name in LISTED
    for variant in VARIANTS
    if variant in EVERYWHERE or name in SOME
]
CASES = [case for case in POSSIBLE if not case.left_out]
