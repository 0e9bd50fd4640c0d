# pyright: basic
# Strict typing stops at the functions that are replaced, which are untyped.
"""What CUDA does otherwise than a CPU: replaced while a trace runs, put back after it.

Fake tensors say that they are on a CPU, for torch's CPU build has no others that autocast works on. Where a library
would take another path on CUDA, that path is taken here: same tensors, same lifetimes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.nn import functional

from compiler.trace.flash import FUSED_TYPES, as_autocast, flash_replacements
from compiler.trace.recorder import EMULATED, Recorder


@contextmanager
def as_on_cuda(*, fused_gqa: bool) -> Iterator[None]:
    """Replace what differs. `fused_gqa`: whether the card has a fused kernel for grouped heads in 16 bit."""
    with ExitStack() as stack:
        for owner, name, value in _replacements(fused_gqa):
            stack.enter_context(_replaced(owner, name, value))
        yield


def _replacements(fused_gqa: bool) -> Iterator[tuple[Any, str, Any]]:
    yield torch.nn.Module, "_apply", _apply
    yield torch.Tensor, "__deepcopy__", _copied
    yield torch, "is_autocast_enabled", _autocast_is_on(torch.is_autocast_enabled)
    yield functional, "scaled_dot_product_attention", _attention(fused_gqa)
    yield functional, "dropout", _dropout
    yield functional, "layer_norm", _layer_norm(functional.layer_norm)
    for name, module in list(sys.modules.items()):
        if name.startswith("torch.") and "_get_foreach_kernels_supported_devices" in vars(module):
            yield module, "_get_foreach_kernels_supported_devices", lambda: ["cpu", "cuda"]
        if name.startswith("transformers.") and "is_tracing" in vars(module):
            yield module, "is_tracing", lambda *_: False
        if name.startswith("peft.") and "dequantize_module_weight" in vars(module):
            yield module, "dequantize_module_weight", _dequantised(module.dequantize_module_weight)
    yield from flash_replacements(fused=fused_gqa)
    yield from _tiled_loss()


def _tiled_loss() -> Iterator[tuple[Any, str, Any]]:
    """TRL's Triton kernels work in place on a tile, and add products to float32 sums without a copy."""
    kernels = sys.modules.get("trl.kernels.chunked_logprob")
    if kernels is None:
        return
    import trl.trainer.utils

    for module in (kernels, trl.trainer.utils):
        yield module, "_use_triton", lambda _: True
    yield kernels, "_forward_kernel", _Launched()
    yield kernels, "_backward_kernel", _Launched()
    yield kernels, "_addmm_fp32", lambda *_: None
    if "triton" not in vars(kernels):
        yield kernels, "triton", _Grid()


class _Launched:
    """A kernel that is started and allocates nothing."""

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        return lambda *_, **__: None


class _Grid:
    @staticmethod
    def cdiv(a: int, b: int) -> int:
        return -(-a // b)


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    had, before = name in vars(owner), vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if had:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


def _apply(self: torch.nn.Module, fn: Any, recurse: bool = True) -> torch.nn.Module:
    """Module.to and its kin: torch's own swaps tensors, which fake ones with weak references refuse."""
    if recurse:
        for child in self.children():
            child._apply(fn)
    for name, parameter in self._parameters.items():
        if parameter is None:
            continue
        with torch.no_grad():
            moved = fn(parameter)
        if moved is not parameter:
            self._parameters[name] = torch.nn.Parameter(moved.detach(), parameter.requires_grad)
    for name, buffer in self._buffers.items():
        if buffer is not None:
            self._buffers[name] = fn(buffer)
    return self


def _autocast_is_on(original: Callable[..., bool]) -> Callable[..., bool]:
    """Without a device it asks about CUDA's autocast, which is the CPU's here."""
    return lambda device_type="cpu": original(device_type)


def _copied(self: torch.Tensor, memo: dict[int, Any]) -> torch.Tensor:
    """copy.deepcopy of a tensor: torch's own would copy the fake mode with it."""
    copy = torch.empty_like(self, requires_grad=False)
    if isinstance(self, torch.nn.Parameter):
        copy = torch.nn.Parameter(copy, self.requires_grad)
    vars(copy).update({name: value for name, value in vars(self).items() if name == "quant_state"})
    memo[id(self)] = copy
    return copy


def _attention(fused_gqa: bool) -> Callable[..., torch.Tensor]:
    """The kernel that CUDA chooses: flash without a mask, the memory-efficient one under a mask, and products where
    neither takes the inputs: float32 or an old card with fewer heads of keys than of queries."""

    def attention(  # noqa: PLR0917 - torch's signature
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        aten = torch.ops.aten
        query, key, value = (as_autocast(item) for item in (query, key, value))
        flash = query.dtype in FUSED_TYPES and fused_gqa and query.shape[-1] <= 256
        if attn_mask is None and flash and query.shape[-1] == value.shape[-1]:
            return aten._scaled_dot_product_flash_attention(query, key, value, dropout_p, is_causal, scale=scale)[0]
        if enable_gqa and query.shape[1] != key.shape[1]:
            with torch.autocast("cpu", enabled=False):  # on CUDA, autocast ends where the attention operator begins
                return aten._scaled_dot_product_attention_math(
                    query, key, value, attn_mask, dropout_p, is_causal, None, scale=scale, enable_gqa=True
                )[0]
        bias = _written_out(attn_mask, query)
        return aten._scaled_dot_product_efficient_attention(
            query, key, value, bias, torch.is_grad_enabled(), dropout_p, is_causal, scale=scale
        )[0]

    return attention


def _written_out(mask: torch.Tensor | None, query: torch.Tensor) -> torch.Tensor | None:
    """A mask of booleans becomes one of the queries' type, padded to a multiple of 16 columns, for each row and head
    by its strides alone."""
    if mask is None:
        return None
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(mask.logical_not(), float("-inf"))
    elif mask.dtype != query.dtype:
        mask = mask.to(query.dtype)
    rows, _, length, columns = mask.shape
    padded = -(-columns // 16) * 16
    if padded != columns:
        mask = functional.pad(mask, (0, padded - columns))[..., :columns]
    return mask.expand(rows, query.shape[1], length, columns)


def _dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:  # noqa: A002, ARG001
    """CUDA's fused kernel keeps a mask of booleans."""
    return torch.ops.aten.native_dropout(input, p, True)[0] if training and p else input


def _layer_norm(original: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """CUDA's autocast computes layer norms in float32; a CPU's does not."""

    def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5):  # noqa: A002 - torch's own names
        if not torch.is_autocast_enabled("cpu"):
            return original(input, normalized_shape, weight, bias, eps)
        wide = [None if item is None else item.float() for item in (weight, bias)]
        return original(input.float(), normalized_shape, wide[0], wide[1], eps)

    return layer_norm


def _dequantised(original: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """PEFT knows quantised weights by the name of their class, which fake ones do not have."""

    def dequantised(module: torch.nn.Module) -> torch.Tensor:
        weight: Any = module.weight
        if weight.dtype == torch.uint8:
            from bitsandbytes.functional import dequantize_4bit

            return dequantize_4bit(weight, weight.quant_state)
        if weight.dtype == torch.int8:
            return weight * weight.SCB.view(-1, 1)
        return original(module)

    return dequantised


# --- operators that need an answer


def _scalar(recorder: Recorder, _func: Any, tensor: torch.Tensor) -> Any:
    """A question about data: whether all positions are real, how many there are."""
    if tensor.is_floating_point():
        return 1.0  # the count of an optimizer's steps
    return bool(recorder.answer) if tensor.dtype == torch.bool else recorder.answer


def _chosen(recorder: Recorder, func: Any, tensor: torch.Tensor, indices: list[torch.Tensor | None]) -> Any:
    """Choosing by booleans: all are chosen. The positions are written out first, as 64-bit integers."""
    mask = indices[0]
    if mask is None or mask.dtype != torch.bool:
        return func(tensor, indices)
    positions = tensor.new_empty((mask.numel(), mask.ndim), dtype=torch.int64)
    recorder.note(positions, func)
    return tensor.new_empty((mask.numel(), *tensor.shape[mask.ndim :]))


def _put(_: Recorder, func: Any, tensor: torch.Tensor, indices: Any, values: torch.Tensor, *rest: Any) -> Any:
    """The gradient of choosing."""
    if any(item is not None and item.dtype == torch.bool for item in indices):
        return tensor
    return func(tensor, indices, values, *rest)


def _accumulated(_: Recorder, func: Any, one: Any, other: Any, **named: Any) -> Any:
    """Gradients that meet are added in place, unless they are of a subclass, as fake ones are
    (autograd/input_buffer.cpp, accumulate_grad.h)."""
    meeting = torch._C._current_autograd_node() is not None and not torch.is_grad_enabled()
    if meeting and not named and isinstance(other, torch.Tensor) and one.shape == other.shape:
        return one if one.dtype == torch.result_type(one, other) else other
    return func(one, other, **named)


def _attention_gradient(recorder: Recorder, func: Any, *args: Any, **named: Any) -> Any:
    """The kernels sum the queries' gradient in float32, and flash those of keys and values for each head of queries
    (flash_attn/flash_api.cpp, mha_bwd; mem_eff_attention, kNeedsAccumGradQ)."""
    query, key = args[1], args[2]
    rows, heads, length, size = query.shape
    taken = [query.new_empty((rows, heads, length, size), dtype=torch.float32)]
    taken.append(query.new_empty((rows, heads, length), dtype=torch.float32))
    if key.shape[1] != heads:
        taken += [query.new_empty((rows, key.shape[2], heads, size)) for _ in range(2)]
    recorder.note(taken, func)
    return func(*args, **named)


EMULATED[torch.ops.aten._scaled_dot_product_flash_attention_backward.default] = _attention_gradient
EMULATED[torch.ops.aten._scaled_dot_product_efficient_attention_backward.default] = _attention_gradient


def _grouped(_: Recorder, func: Any, one: torch.Tensor, other: torch.Tensor, offs: Any = None, *rest: Any) -> Any:
    """Experts' products: CUDA has a slower path for other types than bfloat16, with the same tensors; fake ones have
    none."""
    if one.dtype == torch.bfloat16:
        return func(one, other, offs, *rest)
    if one.ndim == other.ndim == 2:
        return one.new_empty((offs.numel(), one.shape[0], other.shape[1]))
    return one.new_empty((*one.shape[-2:-1], other.shape[-1]))


EMULATED[torch.ops.aten._grouped_mm.default] = _grouped
EMULATED[torch.ops.aten.add.Tensor] = _accumulated
EMULATED[torch.ops.aten._local_scalar_dense.default] = _scalar
EMULATED[torch.ops.aten.index.Tensor] = _chosen
EMULATED[torch.ops.aten._index_put_impl_.default] = _put
EMULATED[torch.ops.aten.index_put_.default] = _put
