"""Facts of a base model from its config.json alone: counted, never downloaded, never built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from compiler.checkpoint.families import ASSUMED, FAMILIES, Family
from compiler.checkpoint.part import EXPERT_KEYS, Dims, Part, expert_count, experts_per_token
from compiler.checkpoint.reader import ConfigReader, UnusableConfigError
from schemas.facts import Linear, ModelFacts, Origin, Prequantization

FOREIGN_KEYS: Final = ("is_encoder_decoder", "mamba_d_state", "ssm_state_size", "state_size", "d_state", "ssm_cfg")
"""Said by encoders with decoders and by state-space models, which keep their weights in other shapes."""

_BY_METHOD: Final[Mapping[str, Prequantization]] = {
    "gptq": "gptq",
    "awq": "awq",
    "mxfp4": "mxfp4",
    "fp8": "fp8",
    "fbgemm_fp8": "fp8",
}


class Label(Struct, frozen=True):
    """What a config.json does not say of a model: names, where it was found, what its tokenizer renders."""

    name: str
    hub_id: str | None
    origin: Origin
    source: str
    chat_format: str | None
    prequantized: Prequantization | None = None


def facts_from_config(config: Mapping[str, object], label: Label) -> ModelFacts | str:
    """Sizes of the text decoder that a config.json describes, or the reason why they cannot be told.

    Of a multimodal checkpoint the text part only. A family that is not listed is counted as a Llama where it has a
    Llama's keys; `source` says so.
    """
    try:
        return _facts(config, label)
    except UnusableConfigError as reason:
        return str(reason)


def _facts(config: Mapping[str, object], label: Label) -> ModelFacts:
    whole = ConfigReader(config)
    text = whole.section("text_config") or {}
    merged = {**_decoder_keys(config), **text} if text else config
    kind = ConfigReader(merged).text("model_type") or ""
    name = kind.removesuffix("_text")
    family = FAMILIES.get(name, ASSUMED)
    reader = ConfigReader(merged, family.defaults)
    if family is ASSUMED and name not in FAMILIES:
        _refuse_foreign(reader, kind)
    notes = (label.source, *_notes(whole, name))
    return _counted(reader, name, family, label, "; ".join(notes))


def _decoder_keys(config: Mapping[str, object]) -> dict[str, object]:
    """What the outer part of a multimodal config.json says for its text part as well."""
    shared = ("quantization_config", "tie_word_embeddings", "dtype", "torch_dtype")
    return {key: config[key] for key in shared if key in config}


def _refuse_foreign(reader: ConfigReader, kind: str) -> None:
    """Stop where a Llama's keys would give a wrong count."""
    if any(reader.has(key) for key in FOREIGN_KEYS):
        raise UnusableConfigError(f'model type "{kind}" is not a plain decoder')
    if any(reader.has(key) for key in EXPERT_KEYS):
        raise UnusableConfigError(f'model type "{kind}" is a mixture of experts that ftc does not know')


def _notes(whole: ConfigReader, name: str) -> tuple[str, ...]:
    multimodal = whole.section("text_config") is not None
    return (
        *(("of the text part; other parts are not counted",) if multimodal else ()),
        *((f'layout assumed to be a Llama\'s: unknown model type "{name}"',) if name not in FAMILIES else ()),
    )


def _counted(reader: ConfigReader, name: str, family: Family, label: Label, source: str) -> ModelFacts:
    dims = _dims(reader)
    part = family.attention(reader, dims) + family.feed_forward(reader, dims)
    vocab, tied = reader.size("vocab_size"), reader.flag("tie_word_embeddings")
    norms = part.norms + (family.layer_norms * dims.layers + 1) * dims.hidden
    params = vocab * dims.hidden * (1 if tied else 2) + norms + part.others + sum(map(_elements, part.linears))
    mixture = any(each.fused for each in part.linears)
    experts, used = (expert_count(reader), experts_per_token(reader)) if mixture else (0, 0)
    return ModelFacts(
        name=label.name,
        hub_id=label.hub_id,
        family=name,
        hidden=dims.hidden,
        layers=dims.layers,
        heads=dims.heads,
        kv_heads=dims.kv_heads,
        head_dim=dims.head_dim,
        intermediate=reader.maybe_size("intermediate_size") or reader.size("moe_intermediate_size"),
        vocab=vocab,
        tied=tied,
        context=reader.size("max_position_embeddings"),
        linears=part.linears,
        params=params,
        active_params=params - _idle(part, experts, used),
        norm_params=norms,
        sliding_window=_sliding_window(reader),
        experts=experts,
        experts_per_token=used,
        softcap=reader.number("attn_logit_softcapping") is not None,
        dtype=reader.text("dtype") or reader.text("torch_dtype"),
        chat_format=label.chat_format,
        prequantized=label.prequantized or _prequantized(reader),
        origin=label.origin,
        source=source,
        sliding_layers=_sliding_layers(reader, family, dims.layers),
    )


def _dims(reader: ConfigReader) -> Dims:
    hidden, heads = reader.size("hidden_size"), reader.size("num_attention_heads")
    kv_heads = reader.maybe_size("num_key_value_heads") or heads
    if heads % kv_heads:
        raise UnusableConfigError(f'"num_key_value_heads" is {kv_heads}, which does not divide {heads} heads')
    head_dim = reader.maybe_size("head_dim") or hidden // heads
    return Dims(hidden, reader.size("num_hidden_layers"), heads, kv_heads, head_dim)


def _elements(each: Linear) -> int:
    """Weights and biases of all its copies."""
    return each.weights + (each.d_out * each.copies * each.layers if each.bias else 0)


def _idle(part: Part, experts: int, used: int) -> int:
    """Elements of the experts that a token does not visit."""
    routed = sum(_elements(each) for each in part.linears if each.fused)
    return routed * (experts - used) // experts if experts else 0


def _sliding_window(reader: ConfigReader) -> int | None:
    """In tokens; Qwen's files carry a window and say beside it that it is off."""
    return reader.maybe_size("sliding_window") if reader.flag("use_sliding_window", default=True) else None


def _sliding_layers(reader: ConfigReader, family: Family, layers: int) -> int:
    """Listed one by one, every few of them full, or all."""
    if _sliding_window(reader) is None:
        return 0
    listed = reader.items("layer_types")
    if listed:
        return sum(item in ("sliding_attention", "chunked_attention") for item in listed[:layers])
    every = reader.maybe_size("sliding_window_pattern") or family.full_every
    return layers - layers // every if every else layers


def _prequantized(reader: ConfigReader) -> Prequantization | None:
    section = reader.section("quantization_config")
    if not section:
        return None
    inner = ConfigReader(section)
    method = inner.text("quant_method") or "bitsandbytes"
    if method == "bitsandbytes":
        return "bnb-8bit" if inner.flag("load_in_8bit") else "bnb-4bit"
    if method not in _BY_METHOD:
        raise UnusableConfigError(f'its weights are quantised by "{method}", which ftc does not know')
    return _BY_METHOD[method]
