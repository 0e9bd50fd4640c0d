"""What a run is: every default filled, every `auto` solved. The one thing that emitters and the memory engine see.

A plan path is its recipe path. `None` means "off", never "unsaid". Sizes in bytes, lengths in tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Literal, TypeGuard, cast

from schemas.facts import Gpu, ModelFacts
from schemas.method_plan import LoraPlan, MethodPlan, QuantizationPlan
from schemas.recipe import (
    Attention,
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


@dataclass(frozen=True, slots=True)
class TokensPlan:
    """Special tokens by their text; None where the tokenizer's own stands."""

    pad: str | None
    eos: str | None
    bos: str | None
    add: Names


@dataclass(frozen=True, slots=True)
class ModelPlan:
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


@dataclass(frozen=True, slots=True)
class SourcePlan:
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


@dataclass(frozen=True, slots=True)
class DataPlan:
    """`validation`: a share or a count of the training rows, sources of its own, or None. `max_length` in tokens."""

    train: tuple[SourcePlan, ...]
    validation: float | int | tuple[SourcePlan, ...] | None
    system: str | None
    max_length: int
    overlong: Overlong
    packing: bool
    loss_on: LossOn
    shuffle: bool


@dataclass(frozen=True, slots=True)
class PreferencePlan:
    """`loss` is None for objectives whose loss has no variants (orpo, kto)."""

    beta: float
    loss: Literal["sigmoid", "ipo", "hinge"] | None


@dataclass(frozen=True, slots=True)
class TrainingPlan:
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


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """`every`: "epoch", a share of one, steps, or None: never. `batch_size`: rows a device."""

    every: Every
    batch_size: int


@dataclass(frozen=True, slots=True)
class CheckpointPlan:
    """`resume`: "auto", "never", or the absolute path of a checkpoint."""

    every: Every
    keep: int
    best: bool
    weights_only: bool
    resume: str


@dataclass(frozen=True, slots=True)
class LoggingPlan:
    """`every`: optimizer steps."""

    every: int
    to: tuple[Tracker, ...]
    project: str


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """`dir`: the absolute folder of this run, the recipe's name included."""

    dir: str
    merge: bool


@dataclass(frozen=True, slots=True)
class HardwarePlan:
    """`gpu` is the catalog's name, None where nothing was said. `memory`: usable bytes of one card, None if unknown."""

    gpu: str | None
    count: int
    memory: int | None
    nodes: int
    strategy: Strategy
    offload: Offload
    reserve: int


@dataclass(frozen=True, slots=True)
class TargetsPlan:
    """Raw keys as the user wrote them."""

    axolotl: dict[str, object]
    llamafactory: dict[str, object]


@dataclass(frozen=True, slots=True)
class Decision:
    """Something that the recipe left to the compiler: what was chosen, and why."""

    path: str
    value: object
    because: str


@dataclass(frozen=True, slots=True)
class Plan:
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
    for field in fields(plan):
        if field.name not in NOT_LEAVES:
            found.update(_walk(field.name, getattr(plan, field.name)))
    return found


def _walk(path: str, value: object) -> Iterator[tuple[str, object]]:
    if is_dataclass(value):
        for field in fields(value):
            yield from _walk(f"{path}.{field.name}", getattr(value, field.name))
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
