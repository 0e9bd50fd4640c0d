# pyright: basic
# Strict typing stops at transformers' registries, which are untyped.
"""Attention over rows that lie end to end, document by document: nothing is computed between documents, and no mask
over all pairs of positions is kept.

On CUDA in 16 bit it is torch's own kernel for sequences of different length; elsewhere each document is attended to by
itself. Rows that come with a mask (padded ones, and generation) are attended to as `sdpa` does.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

DOCUMENTS = "documents"
"""What `attn_implementation` calls it."""
LARGEST_HEAD = 256
GROUPED: Any = {"enable_gqa": True} if "enable_gqa" in inspect.signature(varlen_attn).parameters else {}
"""Fewer heads of keys than of queries: before torch 2.12 there is no word for it, and none is needed."""
FUSED_FROM = (8, 0)
"""Compute capability: torch's kernels of this kind are built for Ampere and newer (flash_attn/flash_api.cpp)."""


SHORT = 8
"""Tokens of the documents by which it is seen whether a model keeps them apart."""
NOISE = 3e-2
"""Of the logits of a document: what 16 bit may make of the same numbers, where experts take tokens in another order."""


class AttentionError(Exception):
    """Why this model cannot be attended to document by document."""


def register(device: str = "cpu") -> None:
    """Make the name known to transformers, for a model on this device."""
    fused = device != "cpu" and torch.cuda.get_device_capability(device) >= FUSED_FROM
    AttentionInterface.register(DOCUMENTS, partial(documents_attention, fused=fused))
    AttentionMaskInterface.register(DOCUMENTS, _mask)


def require_apart(model: Any, device: torch.device) -> None:
    """`AttentionError` where a document of a packed row is another one beside others: not every model of transformers
    tells each of its layers where documents begin, and none says so. Two passes over two short ones, of which the first
    changes. All processes that share a model must ask at once."""
    bounds = torch.tensor([0, SHORT, 2 * SHORT], dtype=torch.int32, device=device)
    told = {
        "position_ids": torch.arange(SHORT, device=device).repeat(2)[None],
        "seq_idx": torch.arange(2, dtype=torch.int32, device=device).repeat_interleave(SHORT)[None],
        **dict.fromkeys(("cu_seq_lens_q", "cu_seq_lens_k"), bounds),
        **dict.fromkeys(("max_length_q", "max_length_k"), SHORT),
    }
    first, other, second = torch.arange(3 * SHORT, device=device).split(SHORT)
    try:
        with _asking(model):
            made = [
                model(input_ids=torch.cat((before, second))[None], use_cache=False, **told).logits[0, SHORT:].float()
                for before in (first, other)
            ]
    except ValueError as error:  # transformers' own words, where a package is missing
        raise AttentionError(f"packed rows cannot be computed: {error}; or write data.packing: false") from error
    if (made[0] - made[1]).norm() > NOISE * made[0].norm():
        raise AttentionError(
            "documents in one row see each other in this model: not all of its layers are told where they begin "
            "(transformers does that). Write data.packing: false"
        )


@contextmanager
def _asking(model: Any) -> Iterator[None]:
    """While entered, the model only answers, and nothing is compiled for the shape in which it is asked."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        model.train(training)


def _mask(batch_size: int, q_length: int, kv_length: int, **named: Any) -> Any:
    """None where nobody gave one: each document, or each row, is attended to by itself."""
    if named.get("attention_mask") is None and q_length == kv_length:
        return None
    return sdpa_mask(batch_size, q_length, kv_length, **named)


def documents_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    fused: bool = False,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **named: Any,
) -> tuple[torch.Tensor, None]:
    """Shapes (rows, heads, positions, width), to (rows, positions, heads, width). `cu_seq_lens_q`: where the documents
    of the one row begin, and its end, int32; None: rows as they are. `max_length_q`: no document is longer. `fused`:
    whether the card has torch's kernel, for what is in 16 bit."""
    if named.get("softcap") is not None or named.get("s_aux") is not None:
        raise AttentionError("this model caps or adds to its attention logits, which sdpa cannot: write eager or flex")
    windowed = sliding_window is not None and query.shape[2] == key.shape[2] > sliding_window
    if cu_seq_lens_q is None and (attention_mask is not None or not windowed):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **named
        )
    heads = Heads(*(_as_autocast(item) for item in (query, key, value)))
    if fused and cu_seq_lens_q is not None and max_length_q is not None and _fits(heads.query) and not dropout:
        return _by_kernel(heads, (cu_seq_lens_q, max_length_q), scaling, sliding_window), None
    ends = [0, query.shape[2]] if cu_seq_lens_q is None else cu_seq_lens_q.tolist()
    return _one_by_one(heads, ends, sliding_window, {"scale": scaling, "dropout_p": dropout}), None


class Heads(NamedTuple):
    """Of one layer, each of shape (rows, heads, positions, width)."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor


def _by_kernel(
    heads: Heads, documents: tuple[torch.Tensor, int], scaling: float | None, window: int | None
) -> torch.Tensor:
    """torch's own kernel for sequences of different length."""
    bounds, longest = documents
    width = heads.value.shape[-1]
    # Heads whose values are narrower than their keys: the kernel wants them alike.
    value = pad(heads.value, (0, heads.query.shape[-1] - width)) if width != heads.query.shape[-1] else heads.value
    query, key, value = (item.transpose(1, 2).flatten(0, 1) for item in (heads.query, heads.key, value))
    reach = (window - 1 if window else -1, 0)
    told: Any = {"scale": scaling, "window_size": reach, **GROUPED}
    made: Any = varlen_attn(query, key, value, bounds, bounds, longest, longest, **told)
    return made[None, ..., :width]


def _one_by_one(heads: Heads, ends: list[int], window: int | None, told: dict[str, Any]) -> torch.Tensor:
    groups = heads.query.shape[1] // heads.key.shape[1]
    key, value = repeat_kv(heads.key, groups), repeat_kv(heads.value, groups)
    parts = [
        _one(Heads(*(item[:, :, start:end] for item in (heads.query, key, value))), window, told)
        for start, end in pairwise(ends)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous()


def _as_autocast(tensor: torch.Tensor) -> torch.Tensor:
    """Autocast casts what torch's own attention is given, but not what this one is."""
    kind = tensor.device.type
    return tensor.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else tensor


def _fits(query: torch.Tensor) -> bool:
    return query.dtype in (torch.bfloat16, torch.float16) and query.shape[-1] <= LARGEST_HEAD


def _one(heads: Heads, window: int | None, told: dict[str, Any]) -> torch.Tensor:
    """One document."""
    length = heads.query.shape[2]
    if window is None or length <= window:
        return scaled_dot_product_attention(*heads, is_causal=True, **told)
    places = torch.arange(length, device=heads.query.device)
    behind = places[:, None] - places[None]
    near = (behind >= 0) & (behind < window)
    return scaled_dot_product_attention(*heads, near, **told)
