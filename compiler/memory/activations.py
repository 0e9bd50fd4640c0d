"""What the forward pass keeps for the backward pass, in bytes a token.

The terms follow the operators of the transformers 5 modules: what each of them saves for its gradient.
"""

from __future__ import annotations

from msgspec import Struct

from compiler.memory.block import Block, block, closes, visits
from compiler.memory.precision import Precision
from compiler.memory.stacks import Profile
from compiler.memory.trainable import adapted
from schemas.facts import Linear, ModelFacts
from schemas.method_plan import AdapterPlan, FullPlan, Ia3Plan, LoraPlan, PrefixPlan, PromptPlan, PTuningPlan
from schemas.plan import Plan

DROPOUT_MASK = 1
"""Bytes an element of a dropout mask on CUDA: native_dropout keeps booleans."""

Adapted = tuple[tuple[Linear, float], ...]
"""Linear layers, each with the share of its layers that is meant."""


class Batch(Struct, frozen=True):
    """One forward pass: `rows` of `length` positions. `masked`: an attention mask over pairs of positions is needed,
    for padding or for documents that share a row."""

    rows: int
    length: int
    masked: bool

    @property
    def tokens(self) -> int:
        """Positions that go through the decoder layers."""
        return self.rows * self.length


class Kept(Struct, frozen=True):
    """Bytes a token. `model`: all layers, nothing recomputed. `layer`: the largest layer. `boundary`: the input of
    one layer. `products`: all layers when only products and attention are kept. `passing`: what walking back
    through one layer adds for a moment. `outside`: what the last norm keeps, and its output."""

    model: float
    layer: float
    boundary: float
    products: float
    passing: float
    outside: float


def batch(plan: Plan, rows: int, stack: Profile) -> Batch:
    """The largest forward pass over `rows` rows of data. Preferences put two answers in a row of the batch."""
    method = plan.method
    virtual = method.virtual_tokens if isinstance(method, PrefixPlan | PromptPlan | PTuningPlan) else 0
    count = rows * (2 if plan.training.objective in ("dpo", "orpo") else 1)
    length = plan.data.max_length + virtual
    if not plan.data.packing:
        return Batch(count, length, masked=count > 1)
    if stack.packed == "rows":
        return Batch(count, length, masked=True)
    return Batch(1, count * length, masked=stack.packed == "flat_masked")


def kept(plan: Plan, precision: Precision, work: Batch) -> Kept:
    """What one token costs, from the shapes of the model's layers."""
    facts, shape = plan.facts, block(plan.facts)
    attention = _attention(plan, shape, precision, work) + _norms(plan, shape, precision)
    mlp, experts = _mlp(plan, shape, precision), _experts(plan, shape, precision)
    extra = _method(plan, precision)
    return Kept(
        model=facts.layers * attention + shape.dense_layers * mlp + shape.expert_layers * experts + extra,
        layer=attention + (mlp + experts if shape.both else max(mlp, experts)) + extra / facts.layers,
        boundary=precision.stream * facts.hidden,
        products=_products(facts, shape, precision),
        passing=_passing(plan, shape, precision, work),
        outside=facts.hidden * (4 + precision.linear + _multiplied(plan, precision)),
    )


def mask(plan: Plan, precision: Precision, work: Batch) -> int:
    """Bytes of a mask over all pairs of positions, which SDPA (in booleans) and eager (in the type of the scores) are
    given, once for all layers. Other kernels take the documents' lengths."""
    if plan.model.attention not in ("sdpa", "eager") or not work.masked:
        return 0
    return work.rows * work.length**2 * (1 if plan.model.attention == "sdpa" else precision.attention)


def _attention(plan: Plan, shape: Block, precision: Precision, work: Batch) -> float:
    """Queries, keys, values, the result and its statistics; without a fused kernel the scores too.

    Under a mask SDPA gets expanded heads, and writes the mask out in the type of the scores, in each layer anew.
    """
    heads, width = plan.facts.heads, precision.attention
    wide, narrow = shape.queries, shape.queries if shape.expanded else shape.keys
    if plan.model.attention == "eager":
        capped = width if plan.facts.softcap else 0
        return width * 2 * (wide + narrow) + heads * work.length * (width + 4 + capped)
    if _multiplied_out(plan, precision):
        return 4 * (6 * wide + heads * work.length)
    if plan.model.attention == "sdpa" and work.masked:
        return width * (2 * (wide + narrow) + work.length) + 4 * heads + _whole(shape, width, expanded=shape.expanded)
    return width * 2 * (wide + shape.keys) + 4 * heads + _whole(shape, width, expanded=False)


def _whole(shape: Block, width: int, *, expanded: bool) -> int:
    """Where one module gives queries, keys and values, the values are a view that keeps all three alive, and what
    attention gives out is laid out anew for the next product."""
    if not shape.fused:
        return 0
    return width * (shape.queries + (0 if expanded else shape.queries + shape.keys))


def _multiplied_out(plan: Plan, precision: Precision) -> bool:
    """SDPA on grouped heads has a fused kernel on CUDA for 16 bit from Ampere on only: elsewhere float32 scores and
    expanded copies are kept. With a mask heads are not grouped; but a batch of rows of one length, the longest, has
    none unless rows are packed."""
    grouped = plan.facts.kv_heads < plan.facts.heads
    gpu = plan.gpu
    old = gpu is not None and gpu.compute_capability is not None and gpu.compute_capability < 8
    unfused = (precision.attention == 4 or old) and (gpu is None or not gpu.is_cpu)
    return plan.model.attention == "sdpa" and grouped and unfused and not plan.data.packing


def _norms(plan: Plan, shape: Block, precision: Precision) -> float:
    """Each norm keeps a float32 copy of its input (Liger's the input itself), and a trained one what it multiplies:
    gemma's in float32."""
    copied = precision.stream if plan.training.kernels == "liger" else 4
    return shape.norms * (copied + _multiplied(plan, precision))


def _multiplied(plan: Plan, precision: Precision) -> int:
    """Bytes an element of what a trained norm's weight is multiplied with."""
    if not isinstance(plan.method, FullPlan):
        return 0
    return 4 if plan.facts.family.startswith("gemma") else precision.stream


def _mlp(plan: Plan, shape: Block, precision: Precision) -> float:
    """A gated block keeps gate, activation and up (Liger recomputes one), a plain one its activation's input."""
    gated = 2 if plan.training.kernels == "liger" else 3
    return shape.inner * precision.linear * (gated if shape.gated else 1)


def _experts(plan: Plan, shape: Block, precision: Precision) -> float:
    """A token visits several experts: gate, activation, up and output of each, where they are trained also its input
    and the product, and once the router's scores and, where it is trained, its input."""
    facts, width = plan.facts, precision.linear
    if not shape.expert_inner:
        return 0
    whole = isinstance(plan.method, FullPlan)
    trained = whole or (plan.lora is not None and any(item.fused for item, _ in adapted(plan.lora, facts)))
    visit = 4 * shape.expert_inner + 2 * facts.hidden if trained else 3 * shape.expert_inner + facts.hidden
    return width * (facts.experts_per_token * visit + facts.hidden * whole) + 4 * facts.experts


def _method(plan: Plan, precision: Precision) -> float:
    """What the method adds, over all layers."""
    method, facts = plan.method, plan.facts
    if isinstance(method, FullPlan):
        every = tuple((linear, 1.0) for linear in facts.linears if not linear.fused)
        return _inputs(every, facts, precision.base, each=precision.autocast)
    if isinstance(method, LoraPlan):
        return _lora(method, tuple(adapted(method, facts)), facts, precision)
    if isinstance(method, Ia3Plan):
        return sum(share * _scaled(method, linear, facts, precision) for linear, share in adapted(method, facts))
    if isinstance(method, AdapterPlan):
        inserted = facts.layers * (2 if method.placement == "houlsby" else 1)
        return inserted * 4 * (facts.hidden + 2 * method.bottleneck)
    return 0


def _inputs(linears: Adapted, facts: ModelFacts, width: int, *, each: bool) -> float:
    """Inputs that these modules keep. Those that start a block share theirs, unless `each` makes a copy; what
    attention gives out is kept already."""
    shared: dict[str, float] = {}
    total = 0.0
    for linear, share in linears:
        size = width * linear.d_in * visits(linear, facts) * share
        if closes(linear, facts):
            total += size * (linear.room != "attention")
        elif each:
            total += size
        else:
            shared[linear.room] = max(shared.get(linear.room, 0.0), size)
    return total + sum(shared.values())


def _lora(method: LoraPlan, linears: Adapted, facts: ModelFacts, precision: Precision) -> float:
    """The input as A sees it, A's output, a dropped-out input with its mask, and what DoRA's scale multiplies."""
    computed = precision.own_input or precision.linear
    dora = precision.linear + computed if method.kind in ("dora", "qdora") else 0
    own = computed + DROPOUT_MASK if method.dropout else precision.own_input
    total = 0.0 if own else _inputs(linears, facts, precision.linear, each=False)
    for linear, share in linears:
        size = own * linear.d_in + dora * linear.d_out + computed * method.rank
        total += size * visits(linear, facts) * share
    return total


def _scaled(method: Ia3Plan, linear: Linear, facts: ModelFacts, precision: Precision) -> float:
    """IA3 keeps what it multiplies: a float32 copy of the input, or the module's output."""
    if linear.name in method.feedforward_modules:
        return 4 * linear.d_in * visits(linear, facts)
    return precision.linear * linear.d_out * visits(linear, facts)


def _products(facts: ModelFacts, shape: Block, precision: Precision) -> float:
    """Outputs of all products and of attention, which selective checkpointing keeps."""
    outputs = sum(linear.d_out * visits(linear, facts) for linear in facts.linears)
    return precision.linear * outputs + precision.attention * shape.queries * facts.layers


def _passing(plan: Plan, shape: Block, precision: Precision, work: Batch) -> float:
    """Gradients inside one layer while it is walked back: of the mlp's three parts, or of eager scores."""
    inner = max(shape.inner, plan.facts.experts_per_token * shape.expert_inner)
    products = 3 * inner * precision.linear + plan.facts.hidden * precision.stream
    scores = plan.facts.heads * work.length * 8 if plan.model.attention == "eager" else 0
    return max(products, scores)
