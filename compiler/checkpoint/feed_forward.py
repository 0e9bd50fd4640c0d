"""The feed-forward of each family: dense, or a mixture of experts; named as transformers 5 names them."""

from __future__ import annotations

from functools import partial

from compiler.checkpoint.part import Dims, Part, expert_count, experts_per_token, linear
from compiler.checkpoint.reader import ConfigReader, UnusableConfigError
from schemas.facts import Linear


def gated(hidden: int, width: int, layers: int, *, bias: bool = False) -> Part:
    """The gated MLP that nearly all families share; nothing in no layers."""
    add = partial(linear, room="mlp", layers=layers, bias=bias)
    if not layers or not width:
        return Part()
    return Part((add("gate_proj", hidden, width), add("up_proj", hidden, width), add("down_proj", width, hidden)))


def plain(config: ConfigReader, dims: Dims) -> Part:
    """Llama and its kin."""
    return gated(dims.hidden, config.size("intermediate_size"), dims.layers, bias=config.flag("mlp_bias"))


def phi3(config: ConfigReader, dims: Dims) -> Part:
    """Gate and up in one matrix."""
    width = config.size("intermediate_size")
    add = partial(linear, room="mlp", layers=dims.layers)
    return Part((add("gate_up_proj", dims.hidden, 2 * width), add("down_proj", width, dims.hidden)))


def experts(config: ConfigReader, dims: Dims, width: int, layers: int, *, bias: bool = False) -> Part:
    """Routed experts: since transformers 5 two 3-D parameters, which are not `nn.Linear`."""
    count, used = expert_count(config), experts_per_token(config)
    if not 0 < used <= count:
        raise UnusableConfigError(f"it says {used} experts a token of {count}")
    up = Linear("gate_up_proj", "experts", dims.hidden, 2 * width, layers, count, fused=True, bias=bias)
    down = Linear("down_proj", "experts", width, dims.hidden, layers, count, fused=True, bias=bias)
    return Part((up, down) if layers else ())


def router(config: ConfigReader, dims: Dims, layers: int, *, bias: bool = False) -> Part:
    """A bare parameter in transformers 5, which neither LoRA on linears nor bitsandbytes sees."""
    count = expert_count(config)
    return Part(others=(dims.hidden * count + (count if bias else 0)) * layers)


def mixtral(config: ConfigReader, dims: Dims) -> Part:
    """Experts in every layer."""
    width = config.size("intermediate_size")
    return experts(config, dims, width, dims.layers) + router(config, dims, dims.layers)


def gpt_oss(config: ConfigReader, dims: Dims) -> Part:
    """As Mixtral, with biases."""
    width = config.size("intermediate_size")
    return experts(config, dims, width, dims.layers, bias=True) + router(config, dims, dims.layers, bias=True)


def qwen_moe(config: ConfigReader, dims: Dims) -> Part:
    """Every `decoder_sparse_step`-th layer sparse, but for those listed as dense."""
    step = config.count("decoder_sparse_step", 1) or 1
    turns = (index for index in config.items("mlp_only_layers") if isinstance(index, int) and 0 <= index < dims.layers)
    sparse = dims.layers // step - sum((index + 1) % step == 0 for index in set(turns))
    mixture = experts(config, dims, config.size("moe_intermediate_size"), sparse) + router(config, dims, sparse)
    return mixture + _dense(config, dims, "intermediate_size", dims.layers - sparse)


def qwen_shared_moe(config: ConfigReader, dims: Dims) -> Part:
    """As Qwen's other mixtures, with a gated shared expert beside the routed ones."""
    part = qwen_moe(config, dims)
    sparse = next((each.layers for each in part.linears if each.fused), 0)
    gate = linear("shared_expert_gate", dims.hidden, 1, room="mlp", layers=sparse)
    return part + gated(dims.hidden, config.size("shared_expert_intermediate_size"), sparse) + Part((gate,))


def deepseek(config: ConfigReader, dims: Dims) -> Part:
    """The first layers dense, the others routed experts beside shared ones."""
    dense = min(config.count("first_k_dense_replace"), dims.layers)
    sparse, width = dims.layers - dense, config.size("moe_intermediate_size")
    shared = gated(dims.hidden, width * config.count("n_shared_experts"), sparse)
    mixture = experts(config, dims, width, sparse) + router(config, dims, sparse)
    return _dense(config, dims, "intermediate_size", dense) + mixture + shared


def llama4(config: ConfigReader, dims: Dims) -> Part:
    """Routed experts beside one shared expert in every few layers; its router is a Linear."""
    sparse = len(config.items("moe_layers")) or dims.layers // config.size("interleave_moe_layer_step")
    width = config.size("intermediate_size")
    choice = linear("router", dims.hidden, expert_count(config), room="mlp", layers=sparse)
    mixture = experts(config, dims, width, sparse) + gated(dims.hidden, width, sparse) + Part((choice,))
    return mixture + _dense(config, dims, "intermediate_size_mlp", dims.layers - sparse)


def gemma4(config: ConfigReader, dims: Dims) -> Part:
    """A dense MLP, and in the mixtures routed experts in parallel to it, with a scaled router and three more norms."""
    dense = _dense(config, dims, "intermediate_size", dims.layers)
    if not config.flag("enable_moe_block"):
        return dense
    count = expert_count(config)
    choice = linear("proj", dims.hidden, count, room="mlp", layers=dims.layers)
    scales = Part((choice,), norms=3 * dims.hidden * dims.layers, others=(dims.hidden + count) * dims.layers)
    return dense + scales + experts(config, dims, config.size("moe_intermediate_size"), dims.layers)


def _dense(config: ConfigReader, dims: Dims, key: str, layers: int) -> Part:
    """The layers of a mixture that have none; their width need not be said where there are no such layers."""
    return gated(dims.hidden, config.size(key), layers) if layers else Part()
