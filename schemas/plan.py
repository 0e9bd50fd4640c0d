"""What a run is: every default filled, every `auto` solved. The one thing that emitters and the memory engine see.

A plan path is its recipe path. `None` means "off", never "unsaid". Sizes in bytes, lengths in tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeGuard, cast

from msgspec import Struct

from schemas.facts import Gpu, ModelFacts
from schemas.method_plan import LoraPlan, MethodPlan, QuantizationPlan
from schemas.recipe import (
    Attention,
    BadRows,
    Checkpointing,
    DataFormat,
    Every,
    Fields,
    Kernels,
    Loss,
    LossOn,
    Objective,
    Offload,
    Optimizer,
    Overlong,
    Scheduler,
    Strategy,
    Tracker,
)
from schemas.section import Dtype

Names = tuple[str, ...]


class TokensPlan(Struct, frozen=True):
    """Special tokens by their text; None where the tokenizer's own stands."""

    pad: str | None
    eos: str | None
    bos: str | None
    add: Names


class ModelPlan(Struct, frozen=True):
    """`base` and `tokenizer`: a hub id, or the absolute path of a folder. `chat_template`: "tokenizer" (its own),
    a known name, the absolute path of a .jinja file, or None where no conversation is rendered."""

    base: str
    revision: str
    dtype: Dtype
    attention: Attention
    trust_remote_code: bool
    tokenizer: str | None
    chat_template: str | None
    tokens: TokensPlan


class SourcePlan(Struct, frozen=True):
    """`path`: the absolute path or glob of local files (`local`), or a hub id. `fields`: our column name: theirs."""

    path: str
    local: bool
    format: DataFormat
    split: str
    subset: str | None
    revision: str | None
    weight: float
    limit: int | float | None
    fields: Fields


class DataPlan(Struct, frozen=True):
    """`validation`: a share or a count of the training rows, sources of its own, or None. `max_length` in tokens."""

    train: tuple[SourcePlan, ...]
    validation: float | int | tuple[SourcePlan, ...] | None
    system: str | None
    max_length: int
    overlong: Overlong
    bad_rows: BadRows
    packing: bool
    loss_on: LossOn
    shuffle: bool


class PreferencePlan(Struct, frozen=True):
    """`loss` is None for objectives whose loss has no variants (orpo, kto)."""

    beta: float
    loss: Literal["sigmoid", "ipo", "hinge"] | None


class TrainingPlan(Struct, frozen=True):
    """One of `epochs` and `max_steps` is None. `betas` and `epsilon` are None where the optimizer has none;
    `preference` where the objective compares no answers."""

    objective: Objective
    epochs: float | None
    max_steps: int | None
    global_batch_size: int
    micro_batch_size: int
    learning_rate: float
    scheduler: Scheduler
    min_lr_ratio: float
    warmup: int | float
    optimizer: Optimizer
    weight_decay: float
    betas: tuple[float, float] | None
    epsilon: float | None
    max_grad_norm: float
    gradient_checkpointing: Checkpointing
    loss: Loss
    compile: bool
    kernels: Kernels
    neftune_alpha: float | None
    seed: int
    preference: PreferencePlan | None


class EvaluationPlan(Struct, frozen=True):
    """`every`: "epoch", a share of one, steps, or None: never. `batch_size`: rows a device."""

    every: Every
    batch_size: int


class CheckpointPlan(Struct, frozen=True):
    """`resume`: "auto", "never", or the absolute path of a checkpoint."""

    every: Every
    keep: int
    best: bool
    weights_only: bool
    resume: str


class LoggingPlan(Struct, frozen=True):
    """`every`: optimizer steps."""

    every: int
    to: tuple[Tracker, ...]
    project: str


class OutputPlan(Struct, frozen=True):
    """`dir`: the absolute folder of this run, the recipe's name included."""

    dir: str
    merge: bool


class HardwarePlan(Struct, frozen=True):
    """`gpu` is the catalog's name, None where nothing was said. `memory`: usable bytes of one card, None if unknown."""

    gpu: str | None
    count: int
    memory: int | None
    nodes: int
    strategy: Strategy
    offload: Offload
    reserve: int


class TargetsPlan(Struct, frozen=True):
    """Raw keys as the user wrote them."""

    axolotl: dict[str, object]
    llamafactory: dict[str, object]


class RunnerUp(Struct, frozen=True):
    """The best that another value would have come to. `slower`: by which share a token takes longer (negative: less
    long). `needs`: bytes of a card, the interval's upper end; `fits`: whether it has them."""

    value: object
    slower: float
    needs: int
    fits: bool


class Decision(Struct, frozen=True):
    """Something that the recipe left to the compiler: what was chosen, and why. `runner_up`: None where nothing was
    compared, or no other value could be had."""

    path: str
    value: object
    because: str
    runner_up: RunnerUp | None = None


class Plan(Struct, frozen=True):
    """`facts` and `gpu` are what the leaves were solved with; `decisions` says what each `auto` became."""

    version: Literal[1]
    name: str
    model: ModelPlan
    method: MethodPlan
    data: DataPlan
    training: TrainingPlan
    evaluation: EvaluationPlan
    checkpoint: CheckpointPlan
    logging: LoggingPlan
    output: OutputPlan
    hardware: HardwarePlan
    targets: TargetsPlan
    facts: ModelFacts
    gpu: Gpu | None
    decisions: tuple[Decision, ...]

    @property
    def devices(self) -> int:
        """Cards on all nodes."""
        return self.hardware.count * self.hardware.nodes

    @property
    def accumulation(self) -> int:
        """Forward passes of one device in an optimizer step."""
        return self.training.global_batch_size // (self.training.micro_batch_size * self.devices)

    @property
    def tokens_per_step(self) -> int:
        """The most tokens that an optimizer step can see."""
        return self.training.global_batch_size * self.data.max_length

    @property
    def lora(self) -> LoraPlan | None:
        """The method, where it is one of lora, qlora, dora and qdora."""
        return self.method if isinstance(self.method, LoraPlan) else None

    @property
    def quantization(self) -> QuantizationPlan | None:
        """How the frozen base is kept, where it is quantised."""
        return self.lora.quantization if self.lora else None


NOT_LEAVES = frozenset({"facts", "gpu", "decisions"})
"""Fields of the plan that are no leaves of the language."""


def leaves(plan: Plan) -> dict[str, object]:
    """Path → value of every leaf of the plan; lists of sources are numbered: `data.train[0].path`."""
    found: dict[str, object] = {}
    for name in plan.__struct_fields__:
        if name not in NOT_LEAVES:
            found.update(_walk(name, getattr(plan, name)))
    return found


def leaf(plan: Plan, path: str) -> object:
    """The value at this path; `AttributeError` where the plan has no such leaf."""
    section, _, name = path.partition(".")
    return getattr(getattr(plan, section), name)


def _walk(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Struct):
        for name in value.__struct_fields__:
            yield from _walk(f"{path}.{name}", getattr(value, name))
    elif isinstance(value, Fields):
        for name in Fields.model_fields:
            yield f"{path}.{name}", getattr(value, name)
    elif is_sources(value):
        for index, source in enumerate(value):
            yield from _walk(f"{path}[{index}]", source)
    else:
        yield path, value


def is_sources(value: object) -> TypeGuard[tuple[SourcePlan, ...]]:
    """Whether this is a list of sources, rather than a leaf."""
    if not isinstance(value, tuple):
        return False
    items = cast(tuple[object, ...], value)
    return bool(items) and isinstance(items[0], SourcePlan)
