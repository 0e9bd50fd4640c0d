"""LLaMA-Factory's method read as a recipe's."""

from __future__ import annotations

from typing import Final

from backends.backwards import backwards
from backends.llamafactory.reading_data import listed
from backends.llamafactory.table import TABLE
from backends.reading import Reader, typed

BACK: Final = backwards(TABLE)
"""Key → leaf, of the keys that stand for one leaf alone."""


def read_method(reader: Reader) -> None:
    kind = str(reader.get("finetuning_type", "lora"))
    if kind == "full":
        _full(reader)
    elif kind != "lora":
        what = {"freeze": "the last layers are trained", "oft": "OFT"}.get(kind, kind)
        reader.note("refused", "finetuning_type", f"{what}, which no recipe can say", "name a method of ftc")
    else:
        _lora(reader)


def _full(reader: Reader) -> None:
    reader.put("method.kind", "full", "finetuning_type")
    if reader.has("quantization_bit"):
        reader.note("refused", "quantization_bit", "quantised weights cannot be trained without an adapter")
    if not reader.true("pure_bf16"):
        reader.put("method.weights_dtype", "float32")
    reader.also("method.kind", "pure_bf16")
    idle = [key for key in reader.config if key.startswith(("lora", "pissa")) or key in ("use_dora", "use_rslora")]
    reader.idle("without LoRA it does nothing", *idle, "additional_target")


def _lora(reader: Reader) -> None:
    bits, dora = reader.number("quantization_bit"), reader.true("use_dora")
    reader.put("method.kind", f"{'q' if bits else ''}{'d' if dora else 'l'}ora", "finetuning_type", "use_dora")
    reader.put("method.rank", int(reader.number("lora_rank", 8) or 8), "lora_rank")
    alpha = reader.number("lora_alpha")
    reader.put("method.alpha", int(alpha) if alpha else "auto", "lora_alpha")
    for key in ("use_rslora", "lora_dropout", "loraplus_lr_ratio"):
        if reader.has(key):
            leaf = BACK[key].leaf
            reader.put(leaf, typed(leaf, reader.get(key)), key)
    target = reader.get("lora_target", "all")
    names = listed(target)
    reader.put("method.target_modules", "all-linear" if names == ["all"] else names, "lora_target")
    if reader.has("additional_target"):
        reader.put("method.modules_to_save", listed(reader.get("additional_target")), "additional_target")
    if reader.true("pissa_init"):
        reader.put("method.init", "pissa", "pissa_init", "pissa_iter")
        if reader.number("pissa_iter", 16) != -1:
            reader.note("differs", "pissa_iter", "the singular values are found exactly, not by iteration")
    else:
        reader.idle("without pissa_init it does nothing", "pissa_iter")
        reader.put("method.init", "default", "pissa_init")
    _plus(reader)
    _quantization(reader, bits)


def _plus(reader: Reader) -> None:
    if reader.number("loraplus_lr_embedding", 1e-6) == 1e-6 or not reader.has("loraplus_lr_ratio"):
        reader.idle("it is the usual one, or without loraplus_lr_ratio", "loraplus_lr_embedding")


def _quantization(reader: Reader, bits: float | None) -> None:
    if not bits:
        reader.idle("without quantization_bit it does nothing", "quantization_method", "quantization_type")
        reader.idle("without quantization_bit it does nothing", "double_quantization")
        return
    method = str(reader.get("quantization_method", "bnb"))
    if bits not in (4, 8) or method != "bnb":
        key = "quantization_bit" if method == "bnb" else "quantization_method"
        reader.note("refused", key, f"ftc quantises by bitsandbytes, to 4 or 8 bit, and not by {method} to {bits:g}")
    reader.also("method.kind", "quantization_method")
    reader.put("method.quantization.bits", int(bits), "quantization_bit")
    leaves = {"quantization_type": "type", "double_quantization": "double_quant"}
    for key, name in leaves.items():
        if reader.has(key) and bits == 4:
            reader.put(f"method.quantization.{name}", reader.get(key), key)
        elif reader.has(key):
            reader.idle("8 bit have neither", key)
