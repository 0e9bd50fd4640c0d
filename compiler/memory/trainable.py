"""What is trained: how many elements, in how many bytes, for every method of the language."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from msgspec import Struct

from compiler.memory.naming import place, targeted
from compiler.memory.precision import Precision
from schemas.facts import Linear, ModelFacts
from schemas.method_plan import AdapterPlan, FullPlan, Ia3Plan, LoraPlan, PrefixPlan, PromptPlan, PTuningPlan
from schemas.plan import Plan

EMBEDDING = "model.embed_tokens.weight"
OUTER = ("embed_tokens", "lm_head")
"""The embedding and the head, which adapters and `modules_to_save` may name beside the layers' own modules."""


class Group(Struct, frozen=True):
    """Trained elements of one type. `factors`: rows and columns of their matrices. `largest`: of one tensor.
    `added`: whether they come on top of the base's own weights. `outer`: those that are in no matrix of a layer: of
    embeddings, head and norms, vectors, experts in one tensor. `matrix`: the largest one's rows and columns.
    `looked_up`: of them those of the input embedding."""

    elements: int
    width: int
    factors: int
    largest: int
    added: bool
    outer: int = 0
    matrix: tuple[int, int] = (0, 0)
    looked_up: int = 0

    @property
    def size(self) -> int:
        """Bytes of these weights, and of their gradients."""
        return self.elements * self.width


def trainable(plan: Plan, kept: Precision) -> tuple[Group, ...]:
    """Everything that is trained, before sharding."""
    method, facts, width = plan.method, plan.facts, kept.trained
    if isinstance(method, FullPlan):
        return (_full(method, facts, width), *_tokens(plan, width))
    saved = _saved(method.modules_to_save, facts, copied_width(plan, kept)) if isinstance(method, LoraPlan) else ()
    tokens = _tokens(plan, width)
    if isinstance(method, LoraPlan):
        return (_lora(method, facts, width), *saved, *tokens)
    return (_small(method, facts, width), *tokens)


def copied_width(plan: Plan, kept: Precision) -> int:
    """Bytes an element of `modules_to_save`: float16 cannot be trained, so that such copies are made float32."""
    return 4 if plan.model.dtype == "float16" else kept.rest


def adapted(method: LoraPlan | Ia3Plan, facts: ModelFacts) -> Iterator[tuple[Linear, float]]:
    """The linear layers that carry an adapter, each with the share of its layers that do.

    A name that a module and a fused parameter have in common means the module, as it does to PEFT.
    """
    modules = {linear.name for linear in facts.linears if not linear.fused}
    for linear in facts.linears:
        share = targeted(method.target_modules, linear)
        if share and not (linear.fused and linear.name in modules):
            yield linear, share


def _lora(method: LoraPlan, facts: ModelFacts, width: int) -> Group:
    """A and B of each adapted module; DoRA adds one magnitude for each of its outputs."""
    dora = method.kind in ("dora", "qdora")
    elements = factors = largest = outer = widest = 0
    for linear, share in adapted(method, facts):
        count = round(linear.copies * linear.layers * share)
        elements += count * (method.rank * (linear.d_in + linear.d_out) + linear.d_out * dora)
        outer += count * linear.d_out * dora
        factors += count * (2 * method.rank + linear.d_in + linear.d_out)
        widest = max(widest, linear.d_in, linear.d_out)
        largest = max(largest, method.rank * widest)
    for name in _outer(method.target_modules):
        elements += method.rank * (facts.vocab + facts.hidden) * (name in OUTER)
        outer += method.rank * (facts.vocab + facts.hidden)
        largest = max(largest, method.rank * facts.vocab)
    return Group(elements, width, factors, largest, added=True, outer=outer, matrix=(method.rank, widest))


def outer_adapters(plan: Plan) -> tuple[str, ...]:
    """Embedding and head, as far as they carry an adapter."""
    return _outer(plan.method.target_modules) if isinstance(plan.method, LoraPlan) else ()


def _outer(patterns: tuple[str, ...] | str) -> tuple[str, ...]:
    if isinstance(patterns, str):
        return tuple(name for name in OUTER if re.fullmatch(patterns.removeprefix("re:"), name))
    return tuple(name for name in OUTER if name in patterns)


def _saved(modules: tuple[str, ...], facts: ModelFacts, width: int) -> tuple[Group, ...]:
    """`modules_to_save`: a whole trained copy of each named module, in the type of the one it is copied from."""
    outer = [facts.embedding_params for name in modules if name in OUTER]
    inner = [linear for linear in facts.linears if targeted(modules, linear)] if modules else []
    elements = sum(outer) + sum(linear.weights for linear in inner)
    elements += facts.norm_params * any("norm" in name for name in modules)
    if not elements:
        return ()
    largest = max([*outer, *(linear.d_in * linear.d_out for linear in inner), facts.hidden])
    apart = elements - sum(linear.weights for linear in inner if not linear.fused)
    looked_up = facts.embedding_params if "embed_tokens" in modules else 0
    matrix = _matrix(inner)
    return (Group(elements, width, _factors(facts), largest, True, outer=apart, matrix=matrix, looked_up=looked_up),)


def rowed(plan: Plan) -> tuple[str, ...]:
    """Embedding and head, as far as only rows of new tokens are trained of them. Where they are one, both are
    multiplied by with these rows put in."""
    if not plan.model.tokens.add or not isinstance(plan.method, LoraPlan):
        return ()
    whole = plan.method.modules_to_save
    return () if plan.facts.tied and "embed_tokens" in whole else tuple(name for name in OUTER if name not in whole)


def _tokens(plan: Plan, width: int) -> tuple[Group, ...]:
    """`model.tokens.add`: a row more for each new token, in the embedding and in a head of its own."""
    places = 1 if plan.facts.tied else 2
    if isinstance(plan.method, LoraPlan):
        places = min(places, len(rowed(plan)))
    rows = len(plan.model.tokens.add) * places
    elements = rows * plan.facts.hidden
    return (Group(elements, width, rows + plan.facts.hidden, elements, added=True, outer=elements),) if rows else ()


def _small(
    method: Ia3Plan | PrefixPlan | PromptPlan | PTuningPlan | AdapterPlan, facts: ModelFacts, width: int
) -> Group:
    elements = _small_elements(method, facts)
    matrix = _small_matrix(method, facts)
    return Group(elements, width, elements, elements, added=True, outer=0 if any(matrix) else elements, matrix=matrix)


def _small_matrix(
    method: Ia3Plan | PrefixPlan | PromptPlan | PTuningPlan | AdapterPlan, facts: ModelFacts
) -> tuple[int, int]:
    """The largest matrix among them; some methods have only vectors."""
    if isinstance(method, AdapterPlan):
        return facts.hidden, method.bottleneck
    if isinstance(method, PTuningPlan):
        return method.encoder_hidden_size, max(facts.hidden, method.encoder_hidden_size)
    if isinstance(method, PrefixPlan) and method.projection:
        return facts.hidden, facts.layers * 2 * facts.kv_heads * facts.head_dim
    return 0, 0


def _small_elements(method: Ia3Plan | PrefixPlan | PromptPlan | PTuningPlan | AdapterPlan, facts: ModelFacts) -> int:
    """Elements of the methods that train little: vectors, virtual tokens, bottlenecks."""
    hidden = facts.hidden
    if isinstance(method, Ia3Plan):
        return round(sum(share * _scaled(method, item) for item, share in adapted(method, facts)))
    if isinstance(method, AdapterPlan):
        inserted = facts.layers * (2 if method.placement == "houlsby" else 1)
        return inserted * (2 * hidden * method.bottleneck + method.bottleneck + hidden)
    if isinstance(method, PTuningPlan):
        inner = method.encoder_hidden_size
        return method.virtual_tokens * hidden + 2 * hidden * inner + inner * inner + 2 * inner + hidden
    if isinstance(method, PromptPlan):
        return method.virtual_tokens * hidden
    kept = facts.layers * 2 * facts.kv_heads * facts.head_dim
    if not method.projection:
        return method.virtual_tokens * kept
    return method.virtual_tokens * hidden + hidden * hidden + hidden + hidden * kept + kept


def _scaled(method: Ia3Plan, linear: Linear) -> int:
    """IA3 scales a module's output, or the input of those named feedforward."""
    width = linear.d_in if targeted(method.feedforward_modules, linear) else linear.d_out
    return width * linear.copies * linear.layers


def _full(method: FullPlan, facts: ModelFacts, width: int) -> Group:
    """The base's own weights, less what `freeze` and `train_only` leave alone."""
    some = bool(method.freeze or method.train_only)
    elements = _unfrozen(method, facts) if some else facts.params
    largest = max(facts.embedding_params, *(linear.d_in * linear.d_out for linear in facts.linears))
    inside = tuple(f"{place(linear)}.weight" for linear in facts.linears if not linear.fused)
    outer = facts.params - sum(linear.weights for linear in facts.linears if not linear.fused)
    looked_up = facts.embedding_params
    if some:
        left = tuple(_trained(method, facts))
        outer = sum(size for name, size in left if not name.endswith(inside))
        looked_up = sum(size for name, size in left if name == EMBEDDING)
    matrix = _matrix(facts.linears)
    most = min(largest, elements)
    return Group(elements, width, _factors(facts), most, False, outer=outer, matrix=matrix, looked_up=looked_up)


def _matrix(linears: Iterable[Linear]) -> tuple[int, int]:
    """The largest of them."""
    shapes = ((linear.d_in, linear.d_out) for linear in linears if not linear.fused)
    return max(shapes, key=lambda shape: shape[0] * shape[1], default=(0, 0))


def _unfrozen(method: FullPlan, facts: ModelFacts) -> int:
    """Elements whose parameter name the patterns leave trained."""
    return sum(size for _, size in _trained(method, facts))


def _trained(method: FullPlan, facts: ModelFacts) -> Iterator[tuple[str, int]]:
    patterns, wanted = (method.train_only, True) if method.train_only else (method.freeze, False)
    for name, size in parameters(facts):
        if any(fnmatchcase(name, pattern) for pattern in patterns) is wanted:
            yield name, size


def parameters(facts: ModelFacts) -> Iterator[tuple[str, int]]:
    """Parameter names as transformers 5 spells them, with their elements; layers' norms share one name each."""
    yield EMBEDDING, facts.embedding_params
    if not facts.tied:
        yield "lm_head.weight", facts.head_params
    yield "model.norm.weight", facts.hidden
    norms = (facts.norm_params - facts.hidden) // facts.layers
    for index in range(facts.layers):
        yield f"model.layers.{index}.input_layernorm.weight", norms // 2
        yield f"model.layers.{index}.post_attention_layernorm.weight", norms - norms // 2
    for linear in facts.linears:
        for index in range(facts.layers - linear.layers, facts.layers):
            yield f"model.layers.{index}.{place(linear)}.weight", linear.d_in * linear.d_out * linear.copies


def _factors(facts: ModelFacts) -> int:
    """Rows and columns of all weight matrices."""
    inner = sum((linear.d_in + linear.d_out) * linear.copies * linear.layers for linear in facts.linears)
    return inner + (1 if facts.tied else 2) * (facts.vocab + facts.hidden)
