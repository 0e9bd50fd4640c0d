"""Axolotl's base and method, read as a recipe's."""

from __future__ import annotations

import re
from typing import Final, cast

from backends.axolotl.reading_keys import BACK, OLD_ATTENTION
from backends.base import spelled
from backends.reading import Reader, typed


def read_model(reader: Reader) -> None:
    if any(reader.true(key) for key in ("fp16", "float16")):
        reader.put("model.dtype", "float16", "fp16", "float16")
    elif reader.get("bf16") in (True, "full", "true") or reader.true("bfloat16"):
        reader.put("model.dtype", "bfloat16", "bf16", "bfloat16")
    elif reader.get("bf16", "auto") != "auto" or reader.true("float32"):
        reader.put("model.dtype", "float32", "bf16", "fp16", "float32")
    else:
        reader.put("model.dtype", "auto", "bf16")
    reader.also("model.dtype", "bf16", "fp16", "float16", "bfloat16", "float32")
    _tf32(reader)
    if reader.true("model_quantization_config_kwargs.dequantize"):
        reader.also("model.dtype", "model_quantization_config", "model_quantization_config_kwargs.dequantize")
    _attention(reader)
    if reader.true("tokenizer_use_mistral_common"):
        why = "rows become tokens by the base's own tokenizer and template, not by mistral-common"
        reader.note("lost", "tokenizer_use_mistral_common", why)
    special = reader.get("special_tokens")
    for name in cast("dict[str, object]", special) if isinstance(special, dict) else ():
        _special_token(reader, name)
    if reader.has("tokens"):
        _new_tokens(reader)


def _tf32(reader: Reader) -> None:
    """ftc leaves it off; beside products in 16 bit there are next to none that it would round."""
    if not reader.true("tf32"):
        reader.also("model.dtype", "tf32")
    elif reader.leaves["model.dtype"].value == "float32":
        reader.note("differs", "tf32", "ftc computes float32 products to their last digit")
    else:
        reader.idle("it rounds float32 products, and these are in 16 bit", "tf32")


def _attention(reader: Reader) -> None:
    for key, word in OLD_ATTENTION.items():
        if reader.true(key) and not reader.has("attn_implementation"):
            if word:
                reader.put("model.attention", word, key)
            else:
                reader.note("differs", key, "ftc knows no such attention; what it computes is the same")
                reader.put("model.attention", "sdpa", key)
        elif reader.has(key):
            reader.idle("attn_implementation says it, or it is off", key)
    named = reader.get("attn_implementation")
    if isinstance(named, str) and named not in cast("dict[object, object]", BACK["attn_implementation"].values):
        hub = (
            "flash_attention_3" if "flash-attn3" in named else "flash_attention_2" if "flash-attn" in named else "sdpa"
        )
        reader.note("differs", "attn_implementation", f"{named} is read as {hub}, which computes the same")
        reader.put("model.attention", hub, "attn_implementation")


def _special_token(reader: Reader, name: str) -> None:
    key, value = f"special_tokens.{name}", reader.get(f"special_tokens.{name}")
    leaf = {"pad_token": "pad", "eos_token": "eos", "bos_token": "bos"}.get(name)
    if leaf:
        reader.put(f"model.tokens.{leaf}", value, key)
    elif name == "additional_special_tokens":
        reader.put("model.tokens.add", value, key)
    else:
        reader.note("lost", key, "a recipe names no such token; it stays the tokenizer's")


def _new_tokens(reader: Reader) -> None:
    tokens = reader.get("tokens")
    if not isinstance(tokens, dict):
        reader.put("model.tokens.add", tokens, "tokens")
    else:
        why = "Axolotl stops at a mapping here, as pad, eos and bos belong under special_tokens"
        reader.note("lost", "tokens", why)


def read_method(reader: Reader) -> None:
    adapter = reader.get("adapter")
    if not adapter:
        _full(reader)
        return
    if adapter not in ("lora", "qlora"):
        reader.note("refused", "adapter", f"{spelled(adapter)} is none of lora and qlora")
        return
    dora = reader.true("peft_use_dora")
    bits = 4 if adapter == "qlora" else 8 if reader.true("load_in_8bit") else None
    reader.put("method.kind", f"{'q' if bits else ''}{'d' if dora else 'l'}ora", "adapter", "peft_use_dora")
    _quantization(reader, bits)
    _targets(reader)
    for key, leaf in (("lora_r", "method.rank"), ("lora_alpha", "method.alpha")):
        if not reader.has(key):
            reader.note("refused", "adapter", f"Axolotl has no default for {key}, and stops without it")
        else:
            reader.put(leaf, typed(leaf, reader.get(key)), key)
    if reader.has("lora_modules_to_save"):
        reader.put("method.modules_to_save", reader.get("lora_modules_to_save"), "lora_modules_to_save")
    _start(reader)


def _start(reader: Reader) -> None:
    start = reader.get("peft_init_lora_weights")
    if isinstance(start, bool):
        reader.put("method.init", "default", "peft_init_lora_weights")
    if reader.has("peft.loftq_config"):
        reader.put("method.init", "loftq", "peft.loftq_config")
    if reader.has("loraplus_lr_embedding"):
        if reader.number("loraplus_lr_embedding") == 1e-6 or not reader.has("loraplus_lr_ratio"):
            reader.idle("it is the usual one, or without loraplus_lr_ratio", "loraplus_lr_embedding")
        else:
            reader.note("lost", "loraplus_lr_embedding", "ftc gives embeddings 1e-6 beside LoRA+")


def _full(reader: Reader) -> None:
    reader.put("method.kind", "full", "adapter")
    for key in ("load_in_4bit", "load_in_8bit"):
        if reader.true(key):
            reader.note("refused", key, "quantised weights cannot be trained without an adapter")
        reader.also("method.kind", key)
    reader.idle(
        "without `adapter` it does nothing", *(key for key in reader.config if key.startswith(("lora", "peft")))
    )
    if not reader.has("unfrozen_parameters"):
        return
    frozen = _frozen(cast("list[object]", reader.get("unfrozen_parameters")))
    if frozen:
        reader.put("method.freeze", frozen, "unfrozen_parameters")
        return
    patterns = [_pattern(str(item)) for item in cast("list[object]", reader.get("unfrozen_parameters"))]
    if all(patterns):
        reader.put("method.train_only", patterns, "unfrozen_parameters")
    else:
        reader.note("refused", "unfrozen_parameters", "expressions that no pattern of names stands for")


FROZEN: Final = re.compile(r"\^\(\?!(.+)\)\[\^ \]\*\$")


def _frozen(expressions: list[object]) -> list[str] | None:
    """What ftc itself writes for `freeze`: all names but those of some patterns."""
    found = FROZEN.fullmatch(str(expressions[0])) if len(expressions) == 1 else None
    return [_plain(part.removesuffix("$")) for part in found[1].split("$|")] if found else None


def _plain(expression: str) -> str:
    text = expression.replace("[^ ]*", "*").replace("[^ ]", "?")
    return re.sub(r"\\(.)", r"\1", text)


def _pattern(expression: str) -> str | None:
    """A regular expression over parameter names as a pattern, where it is no more than names, dots and `.*`; what
    follows the beginning of a name does not count there."""
    text = expression.removeprefix("^")
    ends, text = text.endswith("$"), text.removesuffix("$")
    text = text.replace("[^ ]*", ".*").replace(r"\.", ".")
    plain = text.replace(".*", "*")
    if re.search(r"[\\()|+^${}]|\[(?![\d!-]+\])", plain):
        return None
    return plain if ends or plain.endswith("*") else f"{plain}*"


def _quantization(reader: Reader, bits: int | None) -> None:
    if bits == 4 and not reader.true("load_in_4bit"):
        reader.note("refused", "adapter", "qlora without load_in_4bit, at which Axolotl stops")
    if bits == 8:
        reader.put("method.quantization.bits", 8, "load_in_8bit")
    if bits is None and reader.true("load_in_4bit"):
        why = "beside `adapter: lora` Axolotl leaves the base in 16 bit, and so does this recipe"
        reader.note("differs", "load_in_4bit", why, "write `adapter: qlora` there, or `kind: qlora` here, for 4 bit")
    reader.also("method.kind", "load_in_4bit", "load_in_8bit")
    names = {
        "bnb_4bit_quant_type": "type",
        "bnb_4bit_use_double_quant": "double_quant",
        "bnb_4bit_compute_dtype": "compute_dtype",
    }
    for theirs, ours in names.items():
        key = f"bnb_config_kwargs.{theirs}"
        if reader.has(key) and bits == 4:
            reader.put(f"method.quantization.{ours}", reader.get(key), key)
        elif reader.has(key):
            reader.idle("it is for qlora alone", key)


def _targets(reader: Reader) -> None:
    names, fused = reader.get("lora_target_modules"), reader.get("lora_target_parameters")
    keys = ("lora_target_modules", "lora_target_parameters", "lora_target_linear")
    if isinstance(names, str) and names != "all-linear":
        reader.put("method.target_modules", f"re:{names}", *keys)
        return
    listed = [*cast("list[str]", names if isinstance(names, list) else []), *cast("list[str]", fused or [])]
    if reader.true("lora_target_linear") or names == "all-linear":
        others = [] if set(listed) <= set(LINEAR) else [name for name in listed if name not in LINEAR]
        reader.put("method.target_modules", ["all-linear", *others] if others else "all-linear", *keys)
    elif listed:
        reader.put("method.target_modules", listed, *keys)
    else:
        reader.note(
            "refused", "adapter", "neither lora_target_modules nor lora_target_linear: no layer gets an adapter"
        )


LINEAR: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Named beside lora_target_linear, these are among the linear layers already."""
