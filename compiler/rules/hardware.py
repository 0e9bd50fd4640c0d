"""Rules about the GPU, and how work is spread over several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from compiler.rules.context import Context, Rule
from compiler.sizes import parse_size
from schemas.diagnostic import Finding
from schemas.facts import Gpu
from schemas.method import LoraMethod

SMALLEST: Final = 100 << 20
"""Bytes below which a plain number for a card's memory was not meant in bytes."""

SHARDED: Final = ("fsdp", "zero2", "zero3")


def unknown_gpu(context: Context) -> Iterator[Finding]:
    asked = context.recipe.hardware.gpu
    if asked is None or context.gpu is not None:
        return
    from compiler.hardware import GpuProblem, find_gpu  # only where something is wrong

    found = find_gpu(asked)
    if isinstance(found, GpuProblem):
        hint = found.hint or "`ftc gpus` lists them; hardware.memory takes the size of another card"
        yield Finding("FTC277", "hardware.gpu", found.message, hint)


def bfloat16_unsupported(context: Context) -> Iterator[Finding]:
    gpu = context.gpu
    if gpu is None or gpu.has_bf16 or gpu.is_cpu:
        return
    for path in _bfloat16_leaves(context):
        message = f"{gpu.title} does not compute bfloat16"
        yield Finding("FTC271", path, message, "write float16, or auto")


def _bfloat16_leaves(context: Context) -> Iterator[str]:
    method = context.recipe.method
    if context.recipe.model.dtype == "bfloat16":
        yield "model.dtype"
    if isinstance(method, LoraMethod) and method.quantization and method.quantization.compute_dtype == "bfloat16":
        yield "method.quantization.compute_dtype"


def half_on_cpu(context: Context) -> Iterator[Finding]:
    asked = context.recipe.model.dtype
    if context.gpu is None or not context.gpu.is_cpu:
        return
    if asked == "bfloat16":
        message = "most CPUs compute bfloat16 tens of times slower than float32"
        yield Finding("FTC270", "model.dtype", message, "write float32, or auto", "warning")
    if asked == "float16":
        yield Finding("FTC282", "model.dtype", "a CPU cannot train in float16", "write float32, or auto")


def flash_attention(context: Context) -> Iterator[Finding]:
    asked, gpu = context.recipe.model.attention, context.gpu
    if gpu is None or asked not in ("flash_attention_2", "flash_attention_3"):
        return
    needs = _flash_needs(asked, gpu)
    if needs:
        yield Finding(
            "FTC272", "model.attention", f"{asked} needs {needs}, and this is {gpu.title}", "write sdpa, or auto"
        )


def flash_attention_in_32_bit(context: Context) -> Iterator[Finding]:
    model, gpu = context.recipe.model, context.gpu
    flash = model.attention in ("flash_attention_2", "flash_attention_3")
    if flash and model.dtype == "float32" and not (gpu and _flash_needs(model.attention, gpu)):
        message = f"{model.attention} computes in 16 bit only, and dtype is float32"
        yield Finding("FTC280", "model.attention", message, "write sdpa, or another dtype")


def flex_on_cpu(context: Context) -> Iterator[Finding]:
    if context.gpu is not None and context.gpu.is_cpu and context.recipe.model.attention == "flex":
        message = "flex has no backward pass on a CPU: nothing could be trained"
        yield Finding("FTC272", "model.attention", message, "write sdpa, or auto")


def _flash_needs(asked: str, gpu: Gpu) -> str | None:
    """What the kernels were built for (github.com/Dao-AILab/flash-attention); None where the card is that."""
    capability = gpu.compute_capability
    if gpu.is_cpu:
        return "a GPU"
    if capability is None:
        return None
    if asked == "flash_attention_2":
        return "an Ampere card or newer" if capability < 8.0 else None
    return None if 9.0 <= capability < 10.0 else "a Hopper card"


def kernels_on_cpu(context: Context) -> Iterator[Finding]:
    if context.gpu is not None and context.gpu.is_cpu and context.recipe.training.kernels == "liger":
        message = "liger's kernels are written in Triton and need a GPU"
        yield Finding("FTC279", "training.kernels", message, "write none, or auto")


def beyond_sdpa(context: Context) -> Iterator[Finding]:
    facts = context.facts
    if facts is not None and facts.beyond_sdpa and context.recipe.model.attention == "sdpa":
        message = f"{facts.name} {facts.beyond_sdpa}, which sdpa leaves out: the model would be another"
        yield Finding("FTC276", "model.attention", message, "write eager, flex or flash_attention_2, or auto")


def offload_unsharded(context: Context) -> Iterator[Finding]:
    hardware = context.recipe.hardware
    if hardware.offload != "none" and hardware.strategy not in SHARDED:
        message = f"offload belongs to {', '.join(SHARDED)}, and the strategy is {hardware.strategy}"
        yield Finding("FTC273", "hardware.offload", message, "write strategy: fsdp, or remove offload")


def strategy_for_devices(context: Context) -> Iterator[Finding]:
    """A tool may offload what one card cannot hold, and names that by the strategy."""
    hardware, devices = context.recipe.hardware, context.devices
    strategy = hardware.strategy
    if strategy == "single" and devices > 1:
        message = f"single uses one device, and there are {devices}"
        yield Finding("FTC275", "hardware.strategy", message, "write ddp, or auto")
    if strategy == "ddp" and devices == 1:
        message = "ddp spreads rows over several devices, and there is one"
        yield Finding("FTC275", "hardware.strategy", message, "write single, or auto; or set hardware.count")
    if strategy in SHARDED and devices == 1 and hardware.offload == "none":
        message = f"{strategy} shards over several devices, and there is one"
        yield Finding("FTC275", "hardware.strategy", message, "write single, or auto; or set hardware.count")


def several_cpus(context: Context) -> Iterator[Finding]:
    if context.gpu is not None and context.gpu.is_cpu and context.devices > 1:
        leaf = "count" if context.recipe.hardware.count > 1 else "nodes"
        message = f"a cpu is one device, and hardware.{leaf} is {getattr(context.recipe.hardware, leaf)}"
        yield Finding("FTC278", f"hardware.{leaf}", message, "remove it, or name a GPU")


def reserve_over_memory(context: Context) -> Iterator[Finding]:
    hardware = context.recipe.hardware
    if hardware.memory is not None and parse_size(hardware.memory) == 0:
        yield Finding("FTC281", "hardware.memory", "a card without memory holds nothing", "write its size, as 22GiB")
        return
    if isinstance(hardware.memory, int) and hardware.memory < SMALLEST:
        message = f"memory: {hardware.memory} means {hardware.memory} bytes"
        yield Finding("FTC281", "hardware.memory", message, f"write {hardware.memory}GiB")
        return
    capacity = _capacity(context)
    if capacity and hardware.reserve != "auto" and parse_size(hardware.reserve) >= capacity:
        message = f"reserve {hardware.reserve} leaves nothing of the card's memory"
        yield Finding("FTC281", "hardware.reserve", message, "write less, as 1GiB")


def _capacity(context: Context) -> int | None:
    asked = context.recipe.hardware.memory
    if asked is not None:
        return parse_size(asked)
    return context.gpu.memory if context.gpu else None


RULES: Final = (
    Rule(("hardware.gpu",), unknown_gpu),
    Rule(("hardware.gpu", "model.dtype", "method.quantization"), bfloat16_unsupported),
    Rule(("hardware.gpu", "model.dtype"), half_on_cpu),
    Rule(("hardware.gpu", "model.attention"), flash_attention),
    Rule(("hardware.gpu", "model.attention", "model.dtype"), flash_attention_in_32_bit),
    Rule(("hardware.gpu", "model.attention"), flex_on_cpu),
    Rule(("hardware.gpu", "training.kernels"), kernels_on_cpu),
    Rule(("model.base", "model.attention"), beyond_sdpa),
    Rule(("hardware.offload", "hardware.strategy"), offload_unsharded),
    Rule(("hardware.strategy", "hardware.offload", "hardware.count", "hardware.nodes"), strategy_for_devices),
    Rule(("hardware.gpu", "hardware.count", "hardware.nodes"), several_cpus),
    Rule(("hardware.gpu", "hardware.memory", "hardware.reserve"), reserve_over_memory),
)
