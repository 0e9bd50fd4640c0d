"""The model families ftc can count: one line each.

Every line is compared with the class of transformers for the models of the catalog, by `tests/test_models.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

from compiler.checkpoint import attention, feed_forward
from compiler.checkpoint.part import Layout


class Family(Struct, frozen=True):
    """How a decoder is built.

    `layer_norms`: norms of hidden size in each layer. `defaults`: what transformers' class assumes where config.json
    is silent, for the keys that hub files do leave out. `full_every`: of how many layers one attends to all positions
    where others have a window; None: all have.
    """

    attention: Layout
    feed_forward: Layout
    layer_norms: int = 2
    defaults: Mapping[str, object] = field(default_factory=dict[str, object])
    full_every: int | None = None


_TIED: Final = {"tie_word_embeddings": True}
_GEMMA: Final = {**_TIED, "head_dim": 256}
_GEMMA3: Final = {
    **_GEMMA,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 262208,
    "max_position_embeddings": 131072,
    "sliding_window": 4096,
}
_GEMMA4: Final = {**_GEMMA, "global_head_dim": 512, "full_attention_interval": 6, "hidden_size_per_layer_input": 256}
_QWEN3_NEXT: Final = {"head_dim": 256, "full_attention_interval": 4, "linear_conv_kernel_dim": 4}

FAMILIES: Final[Mapping[str, Family]] = {
    "llama": Family(attention.plain, feed_forward.plain),
    "mistral": Family(attention.unbiased, feed_forward.plain, defaults={"num_key_value_heads": 8}),
    "ministral": Family(attention.unbiased, feed_forward.plain, defaults={"num_key_value_heads": 8}),
    "ministral3": Family(attention.unbiased, feed_forward.plain, defaults={"num_key_value_heads": 8}),
    "mixtral": Family(attention.unbiased, feed_forward.mixtral, defaults={"num_key_value_heads": 8}),
    "qwen2": Family(attention.qwen2, feed_forward.plain),
    "qwen2_moe": Family(attention.qwen2, feed_forward.qwen_shared_moe),
    "qwen3": Family(attention.normed, feed_forward.plain, defaults={"head_dim": 128}),
    "qwen3_moe": Family(attention.normed, feed_forward.qwen_moe),
    "qwen3_next": Family(attention.qwen3_next, feed_forward.qwen_shared_moe, defaults=_QWEN3_NEXT),
    "qwen3_5": Family(attention.qwen3_5, feed_forward.plain, defaults=_QWEN3_NEXT),
    "qwen3_5_moe": Family(attention.qwen3_5, feed_forward.qwen_shared_moe, defaults=_QWEN3_NEXT),
    "gemma": Family(attention.plain, feed_forward.plain, defaults=_GEMMA),
    "gemma2": Family(attention.plain, feed_forward.plain, 4, {**_GEMMA, "attn_logit_softcapping": 50.0}, full_every=2),
    "gemma3": Family(attention.normed, feed_forward.plain, 4, _GEMMA3, full_every=6),
    "gemma4": Family(attention.gemma4, feed_forward.gemma4, 4, _GEMMA4, full_every=6),
    "phi3": Family(attention.phi3, feed_forward.phi3),
    "gpt_oss": Family(
        attention.sinks, feed_forward.gpt_oss, defaults={"attention_bias": True, "head_dim": 64}, full_every=2
    ),
    "deepseek_v2": Family(attention.latent, feed_forward.deepseek),
    "deepseek_v3": Family(attention.latent, feed_forward.deepseek),
    "glm4_moe_lite": Family(attention.latent, feed_forward.deepseek, defaults={"first_k_dense_replace": 1}),
    "llama4": Family(attention.plain, feed_forward.llama4, defaults={"head_dim": 128, "interleave_moe_layer_step": 1}),
    "smollm3": Family(attention.plain, feed_forward.plain, defaults=_TIED),
    "granite": Family(attention.plain, feed_forward.plain),
}
ASSUMED: Final = FAMILIES["llama"]
"""What a family that is not listed is taken for, said wherever its facts are shown."""
