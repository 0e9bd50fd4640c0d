"""Cases with the trace's answer and the formula's side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from time import perf_counter
from typing import Final

import msgspec
from msgspec import Struct

from bench.memory_cases import BENCH, Case, plan_of
from bench.memory_errors import HEAD, Errors, cells, errors, table
from bench.memory_traces import CACHE, Traced, recording_of
from compiler.memory import weigh
from compiler.memory.allocator import cublas
from compiler.memory.stacks import profile
from compiler.trace.footprint import footprint
from compiler.trace.traced import Traced as Read
from compiler.trace.traced import read
from schemas.footprint import Footprint
from schemas.plan import Plan

COMPILER: Final = BENCH.parent / "compiler"
READING: Final = (
    *(COMPILER / "trace" / f"{name}.py" for name in ("traced", "peak", "parts", "live", "exact")),
    *(COMPILER / "memory" / f"{name}.py" for name in ("segments", "device_blocks", "expandable")),
)
"""Files that decide what is read off a recording."""
TRACED: Final = ("step", "optimizer", "eval")
"""Phases that are traced whole. Loading ends in the trace's first moment: what comes before is the formula's."""


class Compared(Struct, frozen=True):
    """A case with both answers. `traced_in`, `weighed_in`: seconds."""

    case: Case
    trace: Footprint
    formula: Footprint
    traced_in: float
    weighed_in: float

    @property
    def error(self) -> float:
        """Of the formula's allocated peak, relative to the trace's, over the phases that both know."""
        return peak(self.formula) / peak(self.trace) - 1


def peak(found: Footprint) -> int:
    """The most live bytes of the phases that are traced."""
    return max(getattr(found.phases, phase) for phase in TRACED)


def compare(traced: Traced, *, varied: bool | None = None) -> Compared:
    """Weigh a traced case by both. `varied`: see `compiler.memory.weigh`."""
    case, plan = traced.case, plan_of(traced.case)
    start = perf_counter()
    formula = weigh(plan, case.stack, varied=varied)
    took = perf_counter() - start
    return Compared(
        case, footprint(plan, case.stack, _read(traced, plan), varied=varied), formula, traced.seconds, took
    )


def _read(traced: Traced, plan: Plan) -> Read:
    """A recording read, kept for the next time."""
    kept = CACHE / "read" / f"{traced.key}.{traced.code}.{_reading()}.json"
    if kept.exists():
        return msgspec.json.decode(kept.read_bytes(), type=Read)
    divisions = profile(traced.case.stack).power2_divisions
    found = read(recording_of(traced), plan.facts.vocab, cublas(plan.gpu), divisions, {})
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(msgspec.json.encode(found))
    return found


@cache
def _reading() -> str:
    return sha256(b"".join(path.read_bytes() for path in READING)).hexdigest()[:8]


# --- classes

Belongs = Callable[[Compared], bool]


def _of(field: str, *values: object) -> Belongs:
    return lambda item: getattr(item.case, field) in values


def _masked(item: Compared) -> bool:
    """Whether attention gets a mask over pairs of positions: rows are padded, or documents share them."""
    return item.case.packing or item.case.micro > 1


CLASSES: Final[Mapping[str, Belongs]] = {
    "all": lambda _: True,
    "families of the catalog": lambda item: item.case.family != "other",
    "high confidence": lambda item: item.formula.confidence == "high",
    "medium confidence": lambda item: item.formula.confidence == "medium",
    "low confidence": lambda item: item.formula.confidence == "low",
    **{f"family {name}": _of("family", name) for name in ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3")},
    "family phi3": _of("family", "phi3"),
    "mixtures of experts": _of("family", "moe"),
    "granite, olmo2, starcoder2": _of("family", "other"),
    "full, 16-bit weights": lambda item: item.case.kind == "full" and item.case.weights_dtype != "float32",
    "full, float32 weights": lambda item: item.case.kind == "full" and item.case.weights_dtype == "float32",
    **{name: _of("kind", name) for name in ("lora", "qlora", "dora", "qdora")},
    "8-bit base": lambda item: item.case.kind.startswith("q") and item.case.bits == 8,
    **{f"stack {name}": _of("stack", name) for name in ("native", "llamafactory", "axolotl", "peft")},
    "chunked loss": _of("loss", "chunked"),
    "checkpointing": _of("checkpointing", True),
    "no checkpointing": lambda item: item.case.checkpointing is False,
    "selective checkpointing": _of("checkpointing", "selective"),
    "bfloat16, autocast": lambda item: item.case.dtype == "bfloat16" and item.case.stack != "peft",
    "float16, an old card": _of("dtype", "float16"),
    "float32": _of("dtype", "float32"),
    "sdpa": _of("attention", "sdpa"),
    "eager": _of("attention", "eager"),
    "soft-capped scores": _of("family", "gemma2"),
    "padding or document mask": _masked,
    "packed": _of("packing", True),
    "dropout": lambda item: item.case.dropout > 0,
    "16-bit adapters": lambda item: item.case.kind != "full" and item.case.adapter_dtype == "bfloat16",
    "head or embeddings saved whole": lambda item: bool(item.case.saved),
    "accumulation": lambda item: item.case.accumulation > 1,
    "evaluation": _of("evaluation", True),
    **{f"optimizer {name}": _of("optimizer", name) for name in ("adamw", "sgd", "adafactor")},
    "true depth": _of("layers", None),
    "from 4096 tokens": lambda item: item.case.length >= 4096,
}
"""Each case is in several."""


def by_class(found: Sequence[Compared]) -> dict[str, Errors]:
    """Errors of each class that has cases."""
    each = {name: errors(item.error for item in found if belongs(item)) for name, belongs in CLASSES.items()}
    return {name: summed for name, summed in each.items() if summed}


def class_table(found: Sequence[Compared]) -> str:
    """The same as a table of Markdown."""
    return table(("class", *HEAD), ((name, *cells(summed)) for name, summed in by_class(found).items()))
