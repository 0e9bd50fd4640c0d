"""What the lesson that ftc was started from says about memory, against what the engine computes.

The claims are facts in `data/seed_claims.json`, in the lesson's GB (10^9 bytes). Where the lesson leaves it open, a run
has one row of 2048 tokens, checkpointing, AdamW and adapters of rank 16 on every linear layer. A figure agrees within
a quarter (the lesson says "about"); a verdict where every run has it on the native stack.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from bench.memory_cases import BENCH
from bench.memory_plans import NF4, a_plan, facts, full, lora
from compiler.hardware import find_gpu
from compiler.memory import weigh
from compiler.memory.saved import trained
from schemas.facts import Gpu
from schemas.footprint import Footprint, Stack
from schemas.method_plan import MethodPlan
from schemas.plan import Plan

FILE: Final = BENCH / "data" / "seed_claims.json"
GB: Final = 10**9
ABOUT: Final = 0.25
STACKS: Final[tuple[Stack, ...]] = ("native", "axolotl", "llamafactory", "unsloth", "peft")
TARGETS: Final = {"attention": ("q_proj", "k_proj", "v_proj", "o_proj"), "q": ("q_proj",)}
Quantity = Literal["weights", "device", "verdict", "adapter", "one_module"]
Stance = Literal["agree", "dispute"]


class Run(Struct, frozen=True):
    """A run that a claim is about. `targets`: "all", or a name of `TARGETS`."""

    model: str
    method: str
    gpu: str
    rank: int = 16
    targets: str = "all"
    adapter_dtype: str = "float32"
    weights_dtype: str = "bfloat16"
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
            return f"full in {self.weights_dtype}"
        modules = {"all": "every layer", "attention": "attention", "q": "q_proj"}[self.targets]
        kept = "" if self.adapter_dtype == "float32" else f" in {self.adapter_dtype}"
        return f"{self.method} of rank {self.rank}{kept} on {modules}"


class Claim(Struct, frozen=True):
    """`says`: GB, MB of a file, a number of parameters or a verdict; a pair is a range. `stance`: ours, as recorded."""

    id: str
    claim: str
    quantity: Quantity
    says: float | tuple[float, float] | str
    stance: Stance
    why: str
    runs: tuple[Run, ...]


class Answer(Struct, frozen=True):
    """What the engine says about one run: on the native stack, and the verdict on each."""

    run: Run
    value: float | str
    footprint: Footprint
    verdicts: dict[Stack, str]


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
    weighed: dict[Stack, Footprint] = {stack: weigh(plan_of(run, stack), stack) for stack in STACKS}
    native = weighed["native"]
    values: dict[Quantity, Any] = {
        "weights": native.parts.weights / GB,
        "device": native.device / GB,
        "verdict": native.verdict,
    }
    if quantity in values:
        value = values[quantity]
    else:
        kept = trained(plan_of(run, "native"), "native")
        value = kept.saved_bytes / 10**6 if quantity == "adapter" else kept.parameters / facts(run.model).layers
    return Answer(run, value, native, {stack: item.verdict for stack, item in weighed.items()})


def _same(says: float | tuple[float, float] | str, found: float | str) -> bool:
    if isinstance(says, str) or isinstance(found, str):
        return says == found
    low, high = says if isinstance(says, tuple) else (says * (1 - ABOUT), says * (1 + ABOUT))
    return low <= found <= high


def plan_of(run: Run, stack: Stack) -> Plan:
    """The plan of a run, with the loss that the stack has by default."""
    card = find_gpu(run.gpu)
    if not isinstance(card, Gpu):
        raise TypeError(card.message)
    return a_plan(
        run.model,
        _method(run),
        accumulation=max(16 // run.count, 1),
        length=run.length,
        packing=False,
        dtype=run.dtype,
        loss="chunked" if stack in ("native", "unsloth") else "full",
        gpu=card,
        count=run.count,
        strategy=run.strategy,
    )


def _method(run: Run) -> MethodPlan:
    if run.method == "full":
        return full(weights_dtype=run.weights_dtype)
    known = facts(run.model)
    named = {"target_modules": TARGETS[run.targets]} if run.targets in TARGETS else {}
    small = msgspec.structs.replace(NF4, compute_dtype=run.dtype)
    packed = {"quantization": small} if run.method == "qlora" else {}
    return lora(known, run.rank, run.method, adapter_dtype=run.adapter_dtype, **named, **packed)


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
    if quantity == "adapter":
        return f"{value:.0f} MB saved"
    if quantity == "one_module":
        return f"{value:,.0f} parameters a module"
    if quantity == "weights":
        return f"{value:.1f} GB of weights"
    room = f" of {found.capacity / GB:.1f}" if found.capacity else ""
    return f"{found.device / GB:.1f} GB ({found.low / GB:.1f} to {found.high / GB:.1f}){room}"


def _verdicts(answer: Answer) -> str:
    names: dict[str, list[str]] = {}
    for stack, verdict in answer.verdicts.items():
        names.setdefault(verdict.replace("_", " "), []).append(stack)
    return "; ".join(verdict if len(names) == 1 else f"{verdict}: {', '.join(on)}" for verdict, on in names.items())
