"""Names of the base's modules and parameters, where a method takes some: as words, in lists, as patterns."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Literal, cast

from compiler.lsp.analysis import Analysis
from compiler.lsp.cursor import Cursor
from compiler.memory.trainable import parameters
from compiler.rules.method import OUTER_MODULES, WORDS
from compiler.shape import at
from schemas.facts import ModelFacts

Sort = Literal["word", "module"]
Item = tuple[str, Sort, str]
NORMS = ("input_layernorm", "post_attention_layernorm", "norm")
"""Modules that can be trained whole beside the linear ones, in most families."""


def module_candidates(leaf: str, cursor: Cursor, known: Analysis, facts: ModelFacts) -> Iterator[Item]:
    """What may stand at this leaf of the method; what stands in the list already is left out."""
    taken = _beside(cursor, known)
    yield from (item for item in _named(leaf, known, facts) if item[0] not in taken)


def _named(leaf: str, known: Analysis, facts: ModelFacts) -> Iterator[Item]:
    ia3 = at(known.source.data, ("method", "kind")) == "ia3"
    if leaf in ("method.target_modules", "method.target_modules[]"):
        if not ia3:
            words = (word for word in WORDS if word != "experts" or facts.experts)
            for word in words:
                yield word, "word", "a group of modules"
        if leaf.endswith("[]") or not ia3:
            yield from _linears(facts)
            yield from () if ia3 else _outer(facts)
    elif leaf == "method.feedforward_modules[]":
        yield from _linears(facts)
    elif leaf == "method.modules_to_save[]":
        yield from _outer(facts)
        for name in NORMS:
            yield name, "module", "norms"
        yield from _linears(facts)
    elif leaf in ("method.freeze[]", "method.train_only[]"):
        yield from _patterns(facts)


def _linears(facts: ModelFacts) -> Iterator[Item]:
    for linear in facts.linears:
        yield linear.name, "module", f"{linear.room}, {linear.d_in} to {linear.d_out}, in {linear.layers} layers"


def _outer(facts: ModelFacts) -> Iterator[Item]:
    for name in OUTER_MODULES[:2]:
        if name != "lm_head" or not facts.tied:
            yield name, "module", f"{facts.vocab:,} tokens, {facts.hidden} wide"


def _patterns(facts: ModelFacts) -> Iterator[Item]:
    """Such as match something, each with how much."""
    names = [name for name, _ in parameters(facts)]
    last = facts.layers - 1
    linears = (f"*{linear.name}*" for linear in facts.linears)
    wanted = ("*embed_tokens*", "*lm_head*", "*norm*", f"model.layers.{last}.*", "*self_attn*", "*mlp*", *linears)
    for text in dict.fromkeys(wanted):
        count = sum(fnmatchcase(name, text) for name in names)
        if count:
            yield text, "module", f"{count} parameters of {facts.name}"


def _beside(cursor: Cursor, known: Analysis) -> frozenset[object]:
    """What stands in the list already, but for the word at the cursor."""
    listed = at(known.source.data, cursor.path[:-1]) if cursor.kind == "item" else None
    items = cast("list[object]", listed) if isinstance(listed, list) else []
    return frozenset(item for item in items if isinstance(item, str) and item != cursor.typed)
