"""Rules about the method and its leaves."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Final

from compiler.rules.context import Context, Rule
from compiler.rules.expressions import expression_findings
from schemas.diagnostic import Finding
from schemas.facts import ModelFacts
from schemas.method import FullMethod, Ia3Method, LoraMethod, PrefixMethod
from schemas.section import Dtype

WORDS: Final = ("all-linear", "attention", "mlp", "experts")
"""Words of `target_modules` that stand for groups of modules."""

OUTER_MODULES: Final = ("lm_head", "embed_tokens", "embed_positions", "embed_out", "wte", "wpe", "score")
"""Modules beside the layers' linear ones that an adapter can sit on; the facts list the layers' alone."""

OTHER_MODULES: Final = frozenset(
    (
        *(*OUTER_MODULES, "gate", "router", "norm", "final_layernorm", "ln_f", "input_layernorm", "q_norm", "k_norm"),
        *("post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"),
    )
)
"""Modules beside the linear ones that families of transformers share, and that can be trained whole."""

_TRAINED_TYPES: Final = ("method.kind", "method.weights_dtype", "method.adapter_dtype")
MERGEABLE: Final = ("lora", "qlora", "dora", "qdora", "ia3")
SERVED_RANK: Final = 512
"""The highest `max_lora_rank` that vLLM takes (vllm/config/lora.py, MaxLoRARanks, read at 0.14)."""


def eight_bit_leaves(context: Context) -> Iterator[Finding]:
    """`type` and `double_quant` describe the 4-bit code."""
    method = context.recipe.method
    quantization = method.quantization if isinstance(method, LoraMethod) else None
    if quantization is None or quantization.bits == 4:
        return
    for leaf in ("type", "double_quant"):
        path = f"method.quantization.{leaf}"
        if path in context.written:
            yield Finding(
                "FTC201", path, f"{leaf} belongs to 4-bit weights, and bits is 8", "remove it, or set bits: 4"
            )


def freeze_and_train_only(context: Context) -> Iterator[Finding]:
    method = context.recipe.method
    if isinstance(method, FullMethod) and method.freeze and method.train_only:
        message = "freeze and train_only are both set; train_only freezes all else already"
        yield Finding("FTC208", "method.train_only", message, "keep one of them", at="key")


def half_precision(context: Context) -> Iterator[Finding]:
    """float16 gradients underflow: what is trained must be float32 beside a loss scaler."""
    method = context.recipe.method
    if dtype(context) != "float16":
        return
    if isinstance(method, FullMethod) and method.weights_dtype == "model":
        message = "weights trained in float16 lose small updates: full fine-tuning in float16 needs float32 weights"
        yield Finding("FTC220", "method.weights_dtype", message, "write float32, or leave it out")
    if isinstance(method, LoraMethod) and method.adapter_dtype == "bfloat16":
        message = "a float16 base computes its adapters in float16: what is trained must be float32 beside it"
        yield Finding("FTC220", "method.adapter_dtype", message, "write float32, or leave it out")


def dtype(context: Context) -> Dtype | None:
    """The type that the base is loaded in; None where the GPU that decides it is not known."""
    asked, gpu = context.recipe.model.dtype, context.gpu
    if asked != "auto" or gpu is None:
        return asked if asked != "auto" else None
    return "float32" if gpu.is_cpu else "bfloat16" if gpu.has_bf16 else "float16"


def prefix_checkpointing(context: Context) -> Iterator[Finding]:
    """PEFT's prefix lives in the key-value cache, which recomputation does not have."""
    asked = context.recipe.training.gradient_checkpointing
    if isinstance(context.recipe.method, PrefixMethod) and asked not in ("auto", False):
        message = "prefix tuning fails with gradient checkpointing: its prefix lives in the key-value cache"
        yield Finding("FTC205", "training.gradient_checkpointing", message, "write false, or leave it out")


def served_modules(context: Context) -> Iterator[Finding]:
    method = context.recipe.method
    if isinstance(method, LoraMethod) and method.modules_to_save and not context.recipe.output.merge:
        message = "vLLM refuses adapters with modules_to_save"
        hint = "set output.merge: true to serve the merged model, or leave modules_to_save out"
        yield Finding("FTC209", "method.modules_to_save", message, hint, "warning", "key")


def served_rank(context: Context) -> Iterator[Finding]:
    method = context.recipe.method
    if isinstance(method, LoraMethod) and method.rank > SERVED_RANK and not context.recipe.output.merge:
        message = f"vLLM serves adapters up to rank {SERVED_RANK}, this one has {method.rank}"
        yield Finding("FTC210", "method.rank", message, "set output.merge: true to serve the merged model", "warning")


def initialisation(context: Context) -> Iterator[Finding]:
    """PiSSA and OLoRA take from 16-bit weights; LoftQ makes up for the error of a quantised base."""
    method = context.recipe.method
    if not isinstance(method, LoraMethod):
        return
    quantised = method.kind in ("qlora", "qdora")
    if method.init == "pissa" and quantised:
        hint = f"write `kind: {method.kind[1:]}`, or init: default"
        yield Finding("FTC213", "method.init", "pissa decomposes the base's weights, which cannot be quantised", hint)
    if method.init == "olora" and quantised:
        hint = f"write `kind: {method.kind[1:]}`, or init: default"
        message = "olora takes its start from the base's weights, which would be quantised once more and lose more"
        yield Finding("FTC213", "method.init", message, hint)
    if method.init == "loftq" and not quantised:
        message = f"loftq makes up for the error of quantised weights, and {method.kind} has none"
        yield Finding("FTC213", "method.init", message, f"write `kind: q{method.kind}`, or init: default")


def feedforward_inside_targets(context: Context) -> Iterator[Finding]:
    method = context.recipe.method
    if not isinstance(method, Ia3Method) or "auto" in (method.target_modules, method.feedforward_modules):
        return
    for index, name in enumerate(method.feedforward_modules):
        if name not in method.target_modules:
            message = f'feedforward module "{name}" is not among target_modules'
            yield Finding("FTC214", f"method.feedforward_modules[{index}]", message, "add it there, or remove it here")


def merging(context: Context) -> Iterator[Finding]:
    kind = context.recipe.method.kind
    if not context.recipe.output.merge or kind in MERGEABLE:
        return
    why = "there is no adapter: the model itself is saved" if kind == "full" else f"{kind} has no weights to merge"
    yield Finding("FTC216", "output.merge", f"nothing can be merged: {why}", "remove it")


def experts_of_dense_model(context: Context) -> Iterator[Finding]:
    facts = context.facts
    if facts is None or facts.experts:
        return
    for path, name in _targets(context):
        if name == "experts":
            message = f"{facts.name} is a dense model: it has no experts"
            yield Finding("FTC207", path, message, "write mlp, or all-linear")


def unknown_modules(context: Context) -> Iterator[Finding]:
    """PEFT takes a list in which one name matches, and says nothing of the others."""
    facts = context.facts
    if facts is None:
        return
    for path, name in _targets(context):
        if name.startswith("re:"):
            yield from expression_findings(path, name[3:], facts)
        elif name not in WORDS and not _known(name, facts, OUTER_MODULES):
            yield _no_module(path, name, facts, WORDS)


def empty_targets(context: Context) -> Iterator[Finding]:
    method = context.recipe.method
    if isinstance(method, LoraMethod | Ia3Method) and method.target_modules == ():
        message = "target_modules is empty: nothing would be trained"
        word = "auto" if isinstance(method, Ia3Method) else "all-linear"
        yield Finding("FTC217", "method.target_modules", message, f"write {word}, or leave it out")


def unknown_saved_modules(context: Context) -> Iterator[Finding]:
    method, facts = context.recipe.method, context.facts
    if facts is None or not isinstance(method, LoraMethod):
        return
    for index, name in enumerate(method.modules_to_save):
        if not _known(name, facts, OTHER_MODULES):
            yield _no_module(f"method.modules_to_save[{index}]", name, facts, ())


def _targets(context: Context) -> Iterator[tuple[str, str]]:
    """Each name of `target_modules` with its path."""
    method = context.recipe.method
    if isinstance(method, LoraMethod | Ia3Method):
        asked, path = method.target_modules, "method.target_modules"
        if isinstance(asked, tuple):
            yield from ((f"{path}[{index}]", name) for index, name in enumerate(asked))
        elif asked != "auto":
            yield path, asked
    if isinstance(method, Ia3Method) and method.feedforward_modules != "auto":
        for index, name in enumerate(method.feedforward_modules):
            yield f"method.feedforward_modules[{index}]", name


def _known(name: str, facts: ModelFacts, others: Container[str]) -> bool:
    last = name.rpartition(".")[2]
    return last in facts.modules or last in others


def _no_module(path: str, name: str, facts: ModelFacts, words: tuple[str, ...]) -> Finding:
    from compiler.hints import closest  # only where something is wrong

    modules = sorted(facts.modules)
    if words and name.rpartition(".")[2] in OTHER_MODULES:
        message = f'"{name}" is no linear module, and adapters sit on those'
        return Finding("FTC206", path, message, f"it has {', '.join(modules)}")
    others = OUTER_MODULES if words else sorted(OTHER_MODULES)
    meant = "all-linear" if name == "all" and "all-linear" in words else closest(name, (*modules, *others, *words))
    hint = f'did you mean "{meant}"?' if meant else f"it has {', '.join(modules)}"
    return Finding("FTC206", path, f'{facts.name} has no module "{name}"', hint)


RULES: Final = (
    Rule(("method.kind", "method.quantization"), eight_bit_leaves),
    Rule(("method.kind", "method.freeze", "method.train_only"), freeze_and_train_only),
    Rule(
        ("method.kind", "method.weights_dtype", "method.adapter_dtype", "model.dtype", "hardware.gpu"), half_precision
    ),
    Rule(("method.kind", "training.gradient_checkpointing"), prefix_checkpointing),
    Rule(("method.kind", "method.modules_to_save", "output.merge"), served_modules),
    Rule(("method.kind", "method.rank", "output.merge"), served_rank),
    Rule(("method.kind", "method.init"), initialisation),
    Rule(("method.kind", "method.target_modules", "method.feedforward_modules"), feedforward_inside_targets),
    Rule(("method.kind", "output.merge"), merging),
    Rule(("method.kind", "method.target_modules", "model.base"), experts_of_dense_model),
    Rule(("method.kind", "method.target_modules", "method.feedforward_modules", "model.base"), unknown_modules),
    Rule(("method.kind", "method.target_modules"), empty_targets),
    Rule(("method.kind", "method.modules_to_save", "model.base"), unknown_saved_modules),
)
