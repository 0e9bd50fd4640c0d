"""What the compiler knows about a base model and about a GPU. Facts only: no defaults, no decisions."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

GIB = 1 << 30

Room = Literal["attention", "mlp", "experts"]
Origin = Literal["folder", "cache", "catalog", "hub"]
Prequantization = Literal["bnb-4bit", "bnb-8bit", "gptq", "awq", "mxfp4", "fp8"]


MIXING: Final = frozenset(
    (
        *("bloom", "codegen", "falcon", "falcon_mamba", "gpt_neox_japanese", "gpt_oss", "gptj", "jamba", "lfm3"),
        *("llama4", "mamba", "mamba2", "minimax", "mpt", "nemotron", "openai-gpt", "recurrent_gemma", "rwkv"),
        *("stablelm", "xglm", "xlstm", "zamba", "zamba2", "zaya"),
    )
)
"""Families of which transformers (read at 5.23) does not tell each layer where the documents of a packed row begin, or
leaves out a window there."""
BY_CONVOLUTION: Final = frozenset(
    (
        *("bailing_hybrid", "bamba", "falcon_h1", "granitemoehybrid", "kimi_linear", "nemotron_h", "olmo_hybrid"),
        *("qwen3_5", "qwen3_5_moe", "qwen3_next"),
    )
)
"""Families whose convolutions keep documents apart only by the package causal_conv1d, which is built for the card."""


class Linear(Struct, frozen=True):
    """One kind of weight matrix inside a decoder layer, as transformers 5 names it.

    `copies` is how many of them one layer holds (experts: the number of experts). `fused` marks a stack of
    experts kept in one 3-D parameter, which is not an `nn.Linear`: bitsandbytes leaves it in 16 bit.
    `layers` is how many layers have it.
    """

    name: str
    room: Room
    d_in: int
    d_out: int
    layers: int
    copies: int = 1
    fused: bool = False
    bias: bool = False

    @property
    def weights(self) -> int:
        """Elements of all its copies in all its layers, biases left out."""
        return self.d_in * self.d_out * self.copies * self.layers


class ModelFacts(Struct, frozen=True):
    """Dimensions of a base model, from its config.json. Sizes in elements, lengths in tokens.

    `sliding_layers`: how many layers attend within `sliding_window` alone.
    """

    name: str
    hub_id: str | None
    family: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tied: bool
    context: int
    linears: tuple[Linear, ...]
    params: int
    active_params: int
    norm_params: int
    sliding_window: int | None
    experts: int
    experts_per_token: int
    softcap: bool
    dtype: str | None
    chat_format: str | None
    prequantized: Prequantization | None
    origin: Origin
    source: str
    sliding_layers: int = 0

    @property
    def embedding_params(self) -> int:
        """Elements of the input embedding alone."""
        return self.vocab * self.hidden

    @property
    def head_params(self) -> int:
        """Elements of the output head; 0 where it is tied to the embedding."""
        return 0 if self.tied else self.embedding_params

    @property
    def other_params(self) -> int:
        """Elements of no matrix of `linears`, norm, embedding or head: biases, routers, sinks, convolutions."""
        counted = self.embedding_params + self.head_params + self.norm_params
        return self.params - counted - sum(linear.weights for linear in self.linears)

    @property
    def modules(self) -> frozenset[str]:
        """Last names of everything `target_modules` may list: nn.Linear modules and fused expert parameters."""
        return frozenset(linear.name for linear in self.linears)

    @property
    def beyond_sdpa(self) -> str | None:
        """What its attention does that SDPA cannot, in words; None where SDPA can."""
        if self.softcap:
            return "soft-caps attention logits"
        return "has attention sinks" if self.family == "gpt_oss" else None

    @property
    def mixes_documents(self) -> bool:
        """Whether in transformers' class the documents of a packed row would see each other."""
        return self.family.removesuffix("_text") in MIXING

    @property
    def packs_by_package(self) -> bool:
        """Whether it takes a package beyond the usual ones to keep them apart."""
        return self.family.removesuffix("_text") in BY_CONVOLUTION

    @property
    def matmul_params(self) -> int:
        """Weights a token is multiplied by, the head included and the embedding look-up not: the N of 2N FLOPs."""
        return self.active_params - self.norm_params - (0 if self.tied else self.embedding_params)


class Gpu(Struct, frozen=True):
    """A card. `memory` is what the driver reports as usable, in bytes; rates are dense, in TFLOP/s and GB/s."""

    name: str
    title: str
    memory: int
    compute_capability: float | None
    bf16_tflops: float | None
    fp16_tflops: float | None
    bandwidth: float | None
    usd_per_hour: float | None
    price_date: str | None
    source: str

    @property
    def has_bf16(self) -> bool:
        """Whether bfloat16 is computed in hardware: its rate is known, or the card is an Ampere or newer."""
        return self.bf16_tflops is not None or (self.compute_capability or 0) >= 8

    @property
    def is_cpu(self) -> bool:
        """Whether this is the machine's main memory rather than a card."""
        return self.name == "cpu"
