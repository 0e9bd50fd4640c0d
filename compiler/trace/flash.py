# pyright: basic
# Strict typing stops at transformers' registries, which are untyped.
"""The flash attention package, which runs on CUDA only: torch's operator of the same kernel stands in for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel

IMPLEMENTATIONS: Final = ("flash_attention_2", "flash_attention_3")


def flash_replacements() -> Iterator[tuple[Any, str, Any]]:
    """For `kernels`: owner, name, value."""
    known = {**vars(ALL_ATTENTION_FUNCTIONS)["_local_mapping"], **dict.fromkeys(IMPLEMENTATIONS, _flash)}
    yield ALL_ATTENTION_FUNCTIONS, "_local_mapping", known
    yield PreTrainedModel, "_check_and_adjust_attn_implementation", _unchecked


_checked = PreTrainedModel._check_and_adjust_attn_implementation


def _unchecked(self: Any, attn_implementation: str | None, *rest: Any, **named: Any) -> Any:
    """transformers asks whether the package is there."""
    if attn_implementation in IMPLEMENTATIONS:
        return attn_implementation
    return _checked(self, attn_implementation, *rest, **named)


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
