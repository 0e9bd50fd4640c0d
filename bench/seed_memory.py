"""What the lesson that ftc was started from says about memory, against what the engine computes. Its decision matrix is
in `seed_choices.py`.

The claims are facts in `data/seed_claims.json`, in the lesson's GB (10^9 bytes). Where the lesson leaves it open, a run
has one row of 2048 tokens, checkpointing, AdamW and adapters of rank 16 on every linear layer. A figure agrees within
a quarter (the lesson says "about"); a verdict where every run has it on the native stack. Each run is a recipe that is
compiled.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bench.memory_cases import BENCH
from compiler.build import Compiled, Options, compile_recipe
from compiler.memory.saved import trained
from compiler.timing import tokens_per_second
from schemas.footprint import Footprint, Stack
from schemas.plan import Plan

FILE: Final = BENCH / "data" / "seed_claims.json"
GB: Final = 10**9
ABOUT: Final = 0.25
STACKS: Final[tuple[Stack, ...]] = ("native", "axolotl", "llamafactory", "unsloth", "peft")
TARGETS: Final = {"attention": ("q_proj", "k_proj", "v_proj", "o_proj"), "q": ("q_proj",)}
Quantity = Literal[
    "weights", "device", "verdict", "adapter", "trained", "one_module", "reduction", "shrink", "overhead"
]
Stance = Literal["agree", "dispute"]


class Run(Struct, frozen=True):
    """A run that a claim is about. `targets`: "all", or a name of `TARGETS`."""

    model: str
    method: str
    gpu: str
    rank: int = 16
    targets: str = "all"
    adapter_dtype: str = "float32"
    weights_dtype: str = "model"
    dtype: str = "bfloat16"
    length: int = 2048
    count: int = 1
    strategy: str = "single"

    @property
    def title(self) -> str:
        """In words."""
        cards = f"{self.count} x {self.gpu}" if self.count > 1 else self.gpu
        return f"{self.model.rpartition('/')[2]}, {self._trained}, {self.length} tokens, {cards}"

    @property
    def _trained(self) -> str:
        if self.method == "full":
            return f"full in {self.dtype if self.weights_dtype == 'model' else self.weights_dtype}"
        modules = {"all": "every layer", "attention": "attention", "q": "q_proj"}[self.targets]
        kept = "" if self.adapter_dtype == "float32" else f" in {self.adapter_dtype}"
        return f"{self.method} of rank {self.rank}{kept} on {modules}"


class Claim(Struct, frozen=True):
    """`says`: GB, MB of a file, parameters (of a module, or millions), percent, times, or a verdict; a pair is a range.
    `stance`: ours, as recorded."""

    id: str
    claim: str
    quantity: Quantity
    says: float | tuple[float, float] | str
    stance: Stance
    why: str
    runs: tuple[Run, ...]


class Answer(Struct, frozen=True):
    """What the engine says about one run: on the native stack, and the verdict on each. `speed`: of that of LoRA, where
    that is what is asked."""

    run: Run
    value: float | str
    footprint: Footprint
    verdicts: dict[Stack, str]
    speed: float


def claims() -> tuple[Claim, ...]:
    """All of them, in the lesson's order."""
    return msgspec.json.decode(FILE.read_bytes(), type=tuple[Claim, ...])


@cache
def answers(claim: Claim) -> tuple[Answer, ...]:
    """Ours, for each of the claim's runs."""
    return tuple(_answer(claim.quantity, run) for run in claim.runs)


def stance(claim: Claim) -> Stance:
    """Whether every answer is what is claimed."""
    return "agree" if all(_same(claim.says, answer.value) for answer in answers(claim)) else "dispute"


def _answer(quantity: Quantity, run: Run) -> Answer:
    made: dict[Stack, tuple[Plan, Footprint]] = {stack: weighed(run, stack) for stack in STACKS}
    plan, native = made["native"]
    kept = trained(plan, "native")
    values: dict[Quantity, Callable[[], float | str]] = {
        "weights": lambda: native.parts.weights / GB,
        "device": lambda: native.device / GB,
        "verdict": lambda: native.verdict,
        "adapter": lambda: kept.saved_bytes / 10**6,
        "trained": lambda: kept.parameters / 10**6,
        "one_module": lambda: kept.parameters / plan.facts.layers,
        "reduction": lambda: 100 * (1 - kept.parameters / (plan.facts.layers * plan.facts.hidden**2)),
        "shrink": lambda: _other(run, "lora").parts.weights / native.parts.weights,
        "overhead": lambda: native.device / _other(run, "lora").device,
    }
    verdicts: dict[Stack, str] = {stack: footprint.verdict for stack, (_, footprint) in made.items()}
    slower = _pace(run) / _pace(replace(run, method="lora")) if quantity == "overhead" else 1
    return Answer(run, values[quantity](), native, verdicts, slower)


def _pace(run: Run) -> float:
    return tokens_per_second(*weighed(run, "native")) or 0


def _other(run: Run, method: str) -> Footprint:
    """The same with another method, on the native stack."""
    return weighed(replace(run, method=method), "native")[1]


def _same(says: float | tuple[float, float] | str, found: float | str) -> bool:
    if isinstance(says, str) or isinstance(found, str):
        return says == found
    low, high = says if isinstance(says, tuple) else (says * (1 - ABOUT), says * (1 + ABOUT))
    return low <= found <= high


def compiled(run: Run, stack: Stack) -> Compiled:
    """The run as a recipe, with the loss that the stack has by default, taken through the compiler."""
    method: dict[str, object] = {"kind": run.method}
    if run.method == "full":
        method["weights_dtype"] = run.weights_dtype
    else:
        targets = TARGETS.get(run.targets)
        method |= {"rank": run.rank, "adapter_dtype": run.adapter_dtype} | (
            {"target_modules": list(targets)} if targets else {}
        )
    loss = "chunked" if stack in ("native", "unsloth") else "full"
    recipe = {
        "version": 1,
        "name": "claim",
        "model": {"base": run.model, "dtype": run.dtype, "attention": "sdpa"},
        "method": method,
        "data": {
            "train": {"path": "your/rows", "format": "prompt_completion"},
            "max_length": run.length,
            "packing": False,
            "validation": None,
        },
        "training": {"micro_batch_size": 1, "gradient_checkpointing": True, "loss": loss},
        "hardware": {"gpu": run.gpu, "count": run.count, "strategy": run.strategy},
    }
    return compile_recipe("claim", json.dumps(recipe), Path(), Options(stack=stack, online=False))


def weighed(run: Run, stack: Stack) -> tuple[Plan, Footprint]:
    """Its plan, and what that weighs."""
    made = compiled(run, stack)
    if made.plan is None or made.footprint is None:
        raise ValueError(f"{run}: {made.diagnostics}")
    return made.plan, made.footprint


# --- the page


def seed_rows() -> list[tuple[str, ...]]:
    """Claim, run, our figure, verdicts, stance and why: a row for each run."""
    rows: list[tuple[str, ...]] = []
    for claim in claims():
        for number, answer in enumerate(answers(claim)):
            first = (claim.claim, stance(claim) + (f": {claim.why}" if claim.why else ""))
            said, why = first if not number else ("", "")
            rows.append((said, answer.run.title, _figure(claim.quantity, answer), _verdicts(answer), why))
    return rows


def _figure(quantity: Quantity, answer: Answer) -> str:
    found, value = answer.footprint, answer.value
    words = {
        "adapter": "{:.0f} MB saved",
        "trained": "{:.1f} million trained",
        "one_module": "{:,.0f} parameters a module",
        "reduction": "{:.1f} % fewer",
        "shrink": "weights {:.1f} times smaller",
        "overhead": f"{{:.2f}} times the memory of LoRA, {answer.speed:.0%} of its speed",
        "weights": "{:.1f} GB of weights",
    }
    if quantity in words:
        return words[quantity].format(value)
    room = f" of {found.capacity / GB:.1f}" if found.capacity else ""
    return f"{found.device / GB:.1f} GB ({found.low / GB:.1f} to {found.high / GB:.1f}){room}"


def _verdicts(answer: Answer) -> str:
    names: dict[str, list[str]] = {}
    for stack, verdict in answer.verdicts.items():
        names.setdefault(verdict.replace("_", " "), []).append(stack)
    return "; ".join(verdict if len(names) == 1 else f"{verdict}: {', '.join(on)}" for verdict, on in names.items())
