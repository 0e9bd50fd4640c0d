# pyright: basic, reportPrivateImportUsage=false, reportAttributeAccessIssue=false
# Strict typing stops at bitsandbytes, whose classes are untyped.
"""bitsandbytes' layers on fake tensors: its own modules and autograd functions around packed weights of no content."""

from __future__ import annotations

from typing import Any

import bitsandbytes
import torch
from bitsandbytes.functional import QuantState
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.nn import functional

from compiler.trace.recorder import EMULATED, Recorder
from schemas.method_plan import QuantizationPlan

BLOCK = 64
"""Weights that share a scale."""
NESTED_BLOCK = 256
"""Scales that share a scale, with double quantisation."""


def quantise(model: torch.nn.Module, asked: QuantizationPlan) -> None:
    """Replace what bitsandbytes replaces as transformers loads a model: every `nn.Linear` but the head."""
    head = model.get_output_embeddings()  # type: ignore[operator] - a transformers model
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is torch.nn.Linear and child is not head:
                setattr(module, name, _four_bit(child, asked) if asked.bits == 4 else _eight_bit(child))


def _four_bit(linear: torch.nn.Linear, asked: QuantizationPlan) -> torch.nn.Module:
    dtype = getattr(torch, asked.compute_dtype)
    with unset_fake_temporarily():
        layer = bitsandbytes.nn.Linear4bit(
            linear.in_features,
            linear.out_features,
            bias=False,
            compute_dtype=dtype,
            compress_statistics=bool(asked.double_quant),
            quant_type=asked.type or "nf4",
            device="meta",
        )
    weight: Any = torch.nn.Parameter(torch.empty((linear.weight.numel() + 1) // 2, 1, dtype=torch.uint8), False)
    weight.quant_state = _state(linear.weight, asked)
    weight.compress_statistics, weight.quant_type = bool(asked.double_quant), asked.type
    weight.bnb_quantized, weight.quant_storage, weight.blocksize = True, torch.uint8, BLOCK
    layer._parameters["weight"] = weight
    layer._parameters["bias"] = linear.bias
    layer.quant_state = weight.quant_state
    layer.support_avx512bf16_for_cpu = False  # weights are packed anew on a CPU that has it, and on no card
    return layer


def _state(weight: torch.Tensor, asked: QuantizationPlan) -> QuantState:
    blocks = -(-weight.numel() // BLOCK)
    code = torch.empty(16, dtype=torch.float32)
    kwargs: dict[str, Any] = {"shape": weight.shape, "dtype": weight.dtype, "blocksize": BLOCK, "code": code}
    kwargs["quant_type"] = asked.type
    if not asked.double_quant:
        return QuantState(absmax=torch.empty(blocks, dtype=torch.float32), **kwargs)
    scales = torch.empty(-(-blocks // NESTED_BLOCK), dtype=torch.float32)
    table = torch.empty(256, dtype=torch.float32)
    nested = QuantState(absmax=scales, code=table, blocksize=NESTED_BLOCK, dtype=torch.float32)
    offset = torch.empty((), dtype=torch.float32)
    return QuantState(absmax=torch.empty(blocks, dtype=torch.uint8), offset=offset, state2=nested, **kwargs)


def _eight_bit(linear: torch.nn.Linear) -> torch.nn.Module:
    with unset_fake_temporarily():
        layer = bitsandbytes.nn.Linear8bitLt(
            linear.in_features, linear.out_features, bias=False, has_fp16_weights=False, threshold=6.0, device="meta"
        )
    weight: Any = torch.nn.Parameter(torch.empty(linear.weight.shape, dtype=torch.int8), False)
    weight.CB, weight.SCB = weight, torch.empty(linear.out_features, dtype=torch.float32)
    weight.has_fp16_weights = False
    layer._parameters["weight"] = weight
    layer._parameters["bias"] = linear.bias
    layer.forward = lambda x: _EightBit.apply(x, weight, weight.SCB, layer.bias)
    return layer


class _EightBit(torch.autograd.Function):
    """bitsandbytes' MatMul8bitLt as CUDA runs it (0.50, autograd/_functions.py): its own asks for outliers, which only
    data knows. The input is kept, and quantised in rows; the gradient needs the weight in the input's type."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor, bias: Any) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        half = flat.to(torch.float16)
        packed, rows = torch.empty_like(half, dtype=torch.int8), half.new_empty(half.shape[0], dtype=torch.float32)
        products = torch.empty((flat.shape[0], weight.shape[0]), dtype=torch.int32)
        out = torch.empty((flat.shape[0], weight.shape[0]), dtype=torch.float16).to(x.dtype)
        del packed, rows, products, half
        ctx.kept, ctx.weight, ctx.scales, ctx.shape = flat, weight, scales, x.shape
        return (out if bias is None else out + bias.to(out.dtype)).reshape(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> Any:
        flat = grads[0].reshape(-1, grads[0].shape[-1])
        wide = ctx.weight.to(flat.dtype).mul_(ctx.scales.unsqueeze(1).mul(1.0 / 127.0).to(flat.dtype))
        return torch.matmul(flat, wide).view(ctx.shape), None, None, None


def _product(recorder: Recorder, func: Any, x: torch.Tensor, packed: torch.Tensor, shape: Any, *_: Any, **named: Any):
    """bitsandbytes' 4-bit product on CUDA (0.50, backends/cuda/ops.py): above a few rows the weight is expanded first,
    its scales before it."""
    scales = torch.empty(-(-packed.numel() * 2 // BLOCK), dtype=torch.float32)
    recorder.note(scales, func)
    weight = torch.empty(tuple(shape), dtype=x.dtype)
    recorder.note(weight, torch.ops.bitsandbytes.dequantize_4bit.default)
    bias = named.get("bias")
    return functional.linear(x, weight, bias)


EMULATED[torch.ops.bitsandbytes.gemm_4bit.default] = _product
