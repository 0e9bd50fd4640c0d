"""The attention of each family: its matrices, named as transformers 5 names them."""

from __future__ import annotations

from functools import partial

from compiler.checkpoint.part import Dims, Part, linear
from compiler.checkpoint.reader import ConfigReader, UnusableConfigError
from schemas.facts import Linear


def projections(
    dims: Dims, layers: int, *, bias: bool = False, out_bias: bool = False, norm: bool = False, gated: bool = False
) -> Part:
    """Separate query, key, value and output projections; `gated` queries bring a gate of their own size."""
    add = partial(linear, room="attention", layers=layers)
    query, keys = dims.heads * dims.head_dim, dims.kv_heads * dims.head_dim
    linears = (
        add("q_proj", dims.hidden, query * 2 if gated else query, bias=bias),
        add("k_proj", dims.hidden, keys, bias=bias),
        add("v_proj", dims.hidden, keys, bias=bias),
        add("o_proj", query, dims.hidden, bias=out_bias),
    )
    return Part(linears, norms=2 * dims.head_dim * layers if norm else 0)


def unbiased(_: ConfigReader, dims: Dims) -> Part:
    """Mistral: no bias, whatever the file says."""
    return projections(dims, dims.layers)


def plain(config: ConfigReader, dims: Dims) -> Part:
    """Llama and its kin."""
    bias = config.flag("attention_bias")
    return projections(dims, dims.layers, bias=bias, out_bias=bias)


def normed(config: ConfigReader, dims: Dims) -> Part:
    """Qwen3, Gemma 3: queries and keys pass a norm."""
    bias = config.flag("attention_bias")
    return projections(dims, dims.layers, bias=bias, out_bias=bias, norm=True)


def qwen2(config: ConfigReader, dims: Dims) -> Part:
    """Bias on queries, keys and values only."""
    return projections(dims, dims.layers, bias=config.flag("qkv_bias", default=True))


def sinks(config: ConfigReader, dims: Dims) -> Part:
    """gpt-oss: a learned sink for each head."""
    return plain(config, dims) + Part(others=dims.heads * dims.layers)


def phi3(_: ConfigReader, dims: Dims) -> Part:
    """Queries, keys and values in one matrix."""
    query, keys = dims.heads * dims.head_dim, dims.kv_heads * dims.head_dim
    add = partial(linear, room="attention", layers=dims.layers)
    return Part((add("qkv_proj", dims.hidden, query + 2 * keys), add("o_proj", query, dims.hidden)))


def latent(config: ConfigReader, dims: Dims) -> Part:
    """DeepSeek's multi-head latent attention: keys and values, and often queries, through a low rank."""
    rank, value = config.size("kv_lora_rank"), config.size("v_head_dim")
    rope, nope = config.size("qk_rope_head_dim"), config.size("qk_nope_head_dim")
    bias = config.flag("attention_bias")
    add = partial(linear, room="attention", layers=dims.layers)
    keys = Part(
        (
            add("kv_a_proj_with_mqa", dims.hidden, rank + rope, bias=bias),
            add("kv_b_proj", rank, dims.heads * (nope + value)),
            add("o_proj", dims.heads * value, dims.hidden, bias=bias),
        ),
        norms=rank * dims.layers,
    )
    return _latent_queries(config, dims, dims.heads * (nope + rope), bias) + keys


def _latent_queries(config: ConfigReader, dims: Dims, width: int, bias: bool) -> Part:
    add = partial(linear, room="attention", layers=dims.layers)
    rank = config.maybe_size("q_lora_rank")
    if rank is None:
        return Part((add("q_proj", dims.hidden, width),))
    linears = (add("q_a_proj", dims.hidden, rank, bias=bias), add("q_b_proj", rank, width))
    return Part(linears, norms=rank * dims.layers)


def qwen3_next(config: ConfigReader, dims: Dims) -> Part:
    """Gated attention in every few layers, a gated delta rule with fused inputs in the others."""
    full = _full_layers(config, dims)
    rule = _delta_rule(config, dims, dims.layers - full, ("in_proj_qkvz", "in_proj_ba"))
    return projections(dims, full, norm=True, gated=True) + rule


def qwen3_5(config: ConfigReader, dims: Dims) -> Part:
    """As Qwen3-Next, with separate inputs."""
    full = _full_layers(config, dims)
    rule = _delta_rule(config, dims, dims.layers - full, ("in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a"))
    return projections(dims, full, norm=True, gated=True) + rule


def _full_layers(config: ConfigReader, dims: Dims) -> int:
    """How many layers attend to everything, as listed or else one in every `full_attention_interval`."""
    kinds = config.items("layer_types")
    return kinds.count("full_attention") if kinds else dims.layers // config.size("full_attention_interval")


def _delta_rule(config: ConfigReader, dims: Dims, layers: int, names: tuple[str, ...]) -> Part:
    heads, head_dim = config.size("linear_num_value_heads"), config.size("linear_value_head_dim")
    values = heads * head_dim
    mixed = 2 * config.size("linear_num_key_heads") * config.size("linear_key_head_dim") + values
    widths = (mixed + values, 2 * heads) if len(names) == 2 else (mixed, values, heads, heads)
    add = partial(linear, room="attention", layers=layers)
    inputs = tuple(add(name, dims.hidden, width) for name, width in zip(names, widths, strict=True))
    # A depthwise convolution over queries, keys and values; a decay and a step bias for each head.
    others = mixed * config.size("linear_conv_kernel_dim") + 2 * heads
    return Part((*inputs, add("out_proj", values, dims.hidden)), head_dim * layers, others * layers)


def gemma4(config: ConfigReader, dims: Dims) -> Part:
    """Sliding layers, and some global ones with heads of another size, where keys may serve as values."""
    if config.count("hidden_size_per_layer_input") or config.count("num_kv_shared_layers"):
        raise UnusableConfigError("it has per-layer embeddings or shared keys, a layout that ftc does not count yet")
    full, shared = _full_layers(config, dims), config.flag("attention_k_eq_v")
    kv_heads = config.size("num_global_key_value_heads") if shared else dims.kv_heads
    wide = Dims(dims.hidden, dims.layers, dims.heads, kv_heads, config.size("global_head_dim"))
    whole = projections(wide, full, norm=True)
    kept: tuple[Linear, ...] = tuple(each for each in whole.linears if not (shared and each.name == "v_proj"))
    return projections(dims, dims.layers - full, norm=True) + Part(kept, whole.norms)
