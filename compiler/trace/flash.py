# pyright: basic
# Strict typing stops at transformers' registries, which are untyped.
"""The flash attention package, which runs on CUDA only: torch's operator of the same kernel stands in for it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import torch
from torch.nn.functional import pad
from transformers.integrations.sdpa_attention import repeat_kv
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel

from backends.native.attention import DOCUMENTS

FUSED_TYPES: Final = (torch.bfloat16, torch.float16)
IMPLEMENTATIONS: Final = ("flash_attention_2", "flash_attention_3")


def flash_replacements(*, fused: bool) -> Iterator[tuple[Any, str, Any]]:
    """For `kernels`: owner, name, value. `fused`: whether the card has torch's kernel for documents end to end."""
    known = {**vars(ALL_ATTENTION_FUNCTIONS)["_local_mapping"], **dict.fromkeys(IMPLEMENTATIONS, _flash)}
    known[DOCUMENTS] = partial(_documents, fused=fused)
    yield ALL_ATTENTION_FUNCTIONS, "_local_mapping", known
    yield PreTrainedModel, "_check_and_adjust_attn_implementation", _unchecked


_checked = PreTrainedModel._check_and_adjust_attn_implementation


def _unchecked(self: Any, attn_implementation: str | None, *rest: Any, **named: Any) -> Any:
    """transformers asks whether the package is there."""
    if attn_implementation in IMPLEMENTATIONS:
        return attn_implementation
    return _checked(self, attn_implementation, *rest, **named)


def _documents(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    fused: bool,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """backends.native.attention: torch's kernel in 16 bit on a card that has it, else document by document, keys and
    values copied to as many heads as queries have."""
    query, key, value = (as_autocast(item) for item in (query, key, value))
    if fused and query.dtype in FUSED_TYPES:
        width = value.shape[-1]
        value = pad(value, (0, query.shape[-1] - width)) if width != query.shape[-1] else value
        return _flash(module, query, key, value, attention_mask, dropout, scaling)[0][..., :width], None
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    efficient = torch.ops.aten._scaled_dot_product_efficient_attention
    out = efficient(query, key, value, None, torch.is_grad_enabled(), dropout, True, scale=scaling)[0]
    return torch.cat([out], dim=2).transpose(1, 2).contiguous(), None


def as_autocast(tensor: torch.Tensor) -> torch.Tensor:
    """Autocast's cast of attention's inputs."""
    if torch.is_autocast_enabled("cpu") and tensor.dtype == torch.float32:
        return tensor.to(torch.get_autocast_dtype("cpu"))
    return tensor


def _flash(  # noqa: PLR0917 - transformers' signature
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' flash_attention_forward: inputs in 16 bit; under a mask of padding the real positions are copied
    out of their rows, and the result into new ones."""
    query, key, value = (_in_16_bit(item, module) for item in (query, key, value))
    if attention_mask is not None:
        query, key, value = (item.clone(memory_format=torch.contiguous_format) for item in (query, key, value))
    flash = torch.ops.aten._scaled_dot_product_flash_attention
    out = flash(query, key, value, dropout if module.training else 0.0, True, scale=scaling)[0]
    return (out if attention_mask is None else out.clone()).transpose(1, 2), None


def _in_16_bit(tensor: torch.Tensor, module: Any) -> torch.Tensor:
    if tensor.dtype != torch.float32:
        return tensor
    if torch.is_autocast_enabled("cpu"):
        return tensor.to(torch.get_autocast_dtype("cpu"))
    return tensor.to(module.config.dtype)
