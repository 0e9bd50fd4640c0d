"""Axolotl's YAML read as a recipe: its table backwards, and what one key alone does not say.

Defaults are those of axolotl 0.19.0 (utils/schemas/config.py, core/builders/base.py).
"""

from __future__ import annotations

import re
from math import ceil
from typing import Final, cast

from backends.axolotl.reading_data import read_data
from backends.axolotl.reading_keys import ALIASES, IDLE, MULTIMODAL, OLD_ATTENTION, OLD_OPTIMIZERS, REINFORCED, WRITTEN
from backends.axolotl.table import TABLE, TRACKERS
from backends.base import spelled
from backends.raw_keys import raw_keys
from backends.reading import Config, Reader, Reading, account, backwards, read_table, typed, whole
from backends.sharded_reading import cards, deepspeed, fully_sharded

BACK: Final = backwards(TABLE)
LIGER: Final = "axolotl.integrations.liger."
SWANLAB: Final = "axolotl.integrations.swanlab."
CUT: Final = "axolotl.integrations.cut_cross_entropy."
NAMED: Final = frozenset(
    ("adapter", "load_best_model_at_end", "eval_steps", "save_steps", "use_tensorboard", "num_epochs", "max_steps")
)
"""Keys of one leaf that are read beside others."""


def read(config: Config, count: int | None = None) -> Reading:
    """A config as leaves of a recipe. `count`: the cards that it is trained on, which the file does not say."""
    old = renamed(config)
    reader = Reader({name: config[old.get(name, name)] for name in (*(key for key in config if key not in old.values()), *old)})
    _refuse(reader)
    _model(reader)
    _method(reader)
    read_data(reader)
    _training(reader)
    _plugins(reader)
    _cadence(reader)
    _trackers(reader)
    _as_written(reader)
    read_table(reader, BACK, NAMED)
    _sharding(reader, count)
    _defaults(reader)
    account(reader, "axolotl", IDLE)
    return reader.done()


def renamed(config: Config) -> dict[str, str]:
    """Key as it is read → key as it is written, where an older name is used."""
    return {new: old for old, new in ALIASES.items() if config.get(old) is not None and config.get(new) is None}


def _refuse(reader: Reader) -> None:
    """What is another kind of training altogether."""
    rl = reader.get("rl")
    if not reader.has("base_model"):
        reader.note("refused", "base_model", "there is no base_model, so that nothing is trained")
    if rl not in (None, False, "dpo", "ipo", "orpo", "kto"):
        reader.note("refused", "rl", f"{rl} is {REINFORCED.get(str(rl), 'no objective of a recipe')}")
    for key in ("reward_model", "process_reward_model"):
        if reader.true(key):
            reader.note("refused", key, "a reward model is trained, which no recipe can say")
    for key, why in MULTIMODAL.items():
        if reader.get(key) not in (None, False):
            reader.note("refused", key, why)
    if reader.true("gptq"):
        reader.note("refused", "gptq", "a GPTQ base is trained on with kernels that are no more", "use the 16-bit base")
    if reader.has("pretraining_dataset"):
        why = "rows are streamed without end and packed together; a recipe reads files and hub data sets to their end"
        reader.note("refused", "pretraining_dataset", why)


def _model(reader: Reader) -> None:
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


def _as_written(reader: Reader) -> None:
    """What ftc itself writes for Axolotl, whatever the recipe, or what is Axolotl's own default."""
    for key, value, leaf in WRITTEN:
        if reader.get(key) == value and leaf in reader.leaves:
            reader.also(leaf, key)


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
        hub = "flash_attention_3" if "flash-attn3" in named else "flash_attention_2" if "flash-attn" in named else "sdpa"
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
    if isinstance(tokens, list):
        reader.put("model.tokens.add", tokens, "tokens")
    else:
        why = "Axolotl stops at a mapping here, as pad, eos and bos belong under special_tokens"
        reader.note("lost", "tokens", why)


def _method(reader: Reader) -> None:
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
    reader.idle("without `adapter` it does nothing", *(key for key in reader.config if key.startswith(("lora", "peft"))))
    if not reader.has("unfrozen_parameters"):
        return
    patterns = [_pattern(str(item)) for item in cast("list[object]", reader.get("unfrozen_parameters"))]
    if all(patterns):
        reader.put("method.train_only", patterns, "unfrozen_parameters")
    else:
        reader.note("refused", "unfrozen_parameters", "expressions that no pattern of names stands for")


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
        reader.note("refused", "adapter", "neither lora_target_modules nor lora_target_linear: no layer gets an adapter")


LINEAR: Final = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Named beside lora_target_linear, these are among the linear layers already."""


def _training(reader: Reader) -> None:
    micro = int(reader.number("micro_batch_size", 1) or 1)
    total = reader.number("batch_size")
    accumulated = reader.number("gradient_accumulation_steps", total // micro if total else 1) or 1
    reader.put("training.global_batch_size", int(micro * accumulated), "gradient_accumulation_steps", "batch_size")
    _length(reader)
    _objective(reader)
    _schedule(reader)
    _optimizer(reader)
    _checkpointing(reader)
    if reader.get("gradient_checkpointing_kwargs.use_reentrant") is False:
        reader.also("training.gradient_checkpointing", "gradient_checkpointing_kwargs.use_reentrant")
    else:
        reader.idle("gradients are the same", "gradient_checkpointing_kwargs.use_reentrant")


def _length(reader: Reader) -> None:
    """Steps win over epochs."""
    steps = reader.number("max_steps")
    if steps and steps > 0:
        reader.put("training.max_steps", int(steps), "max_steps", "num_epochs")
    else:
        reader.put("training.epochs", whole(reader.number("num_epochs", 1.0) or 1.0), "num_epochs", "max_steps")


def _objective(reader: Reader) -> None:
    rl = reader.get("rl")
    if rl not in ("dpo", "ipo", "orpo", "kto"):
        return
    reader.put("training.objective", "dpo" if rl == "ipo" else rl, "rl")
    losses = reader.get("dpo_loss_type")
    listed = cast("list[object]", losses) if isinstance(losses, list) else [losses] if losses else []
    if rl == "ipo" or listed:
        if len(listed) > 1 or (listed and listed[0] not in ("sigmoid", "ipo", "hinge")):
            reader.note("refused", "dpo_loss_type", f"{spelled(losses)} is none of sigmoid, ipo and hinge")
        reader.put("training.preference.loss", "ipo" if rl == "ipo" else listed[0], "dpo_loss_type")
    betas = ("trl.beta", "rl_beta", "orpo_alpha")
    beta = next((key for key in betas if reader.has(key)), None)
    if beta:
        reader.put("training.preference.beta", reader.number(beta), *betas)
    if reader.has("dpo_beta"):
        reader.idle("Axolotl does not read it any more", "dpo_beta")
    for key in ("kto_desirable_weight", "kto_undesirable_weight"):
        if reader.number(key, 1.0) == 1.0:
            reader.idle("it is the usual weight", key)
    if reader.true("dataset_exact_deduplication"):
        reader.note("lost", "dataset_exact_deduplication", "of compared answers ftc writes the rows as they are")
    reader.also("training.objective", "remove_unused_columns", "skip_prepare_dataset")


SCHEDULERS: Final = {"cosine": "cosine", "linear": "linear", "constant_with_warmup": "constant", "constant": "constant"}


def _schedule(reader: Reader) -> None:
    named = str(reader.get("lr_scheduler", "cosine"))
    arguments = cast("dict[str, object]", reader.get("lr_scheduler_kwargs", {}))
    ratio = reader.number("cosine_min_lr_ratio")
    if named == "cosine_with_min_lr" and set(arguments) == {"min_lr_rate"}:
        named, ratio = "cosine", reader.number("lr_scheduler_kwargs.min_lr_rate")
        reader.put("training.min_lr_ratio", ratio, "lr_scheduler_kwargs.min_lr_rate")
    elif named == "cosine" and ratio is not None:
        reader.put("training.min_lr_ratio", ratio, "cosine_min_lr_ratio")
    elif named == "polynomial" and "lr_end" in arguments and arguments.get("power", 1.0) == 1.0:
        rate = reader.number("learning_rate") or 1.0
        share = round((reader.number("lr_scheduler_kwargs.lr_end") or 0.0) / rate, 9)
        reader.put("training.min_lr_ratio", share, "lr_scheduler_kwargs")
    if named in SCHEDULERS or reader.leaves.get("training.min_lr_ratio"):
        reader.put("training.scheduler", SCHEDULERS.get(named, named), "lr_scheduler")
    else:
        reader.note("refused", "lr_scheduler", f"no scheduler of a recipe falls like {named}")
    _warmup(reader, named)


def _warmup(reader: Reader, named: str) -> None:
    keys = ("warmup_steps", "warmup_ratio")
    steps, share = reader.number("warmup_steps"), reader.number("warmup_ratio")
    if named == "constant":
        reader.put("training.warmup", 0.0, *keys)
        if steps or share:
            reader.idle("a constant learning rate has none there", *keys)
    elif steps is not None:
        reader.put("training.warmup", steps if 0 < steps < 1 else int(steps) or 0.0, *keys)
    else:
        reader.put("training.warmup", 0.03 if share is None else float(share), *keys)


def _optimizer(reader: Reader) -> None:
    named = reader.get("optimizer")
    if named in OLD_OPTIMIZERS:
        ours, why = OLD_OPTIMIZERS[str(named)]
        reader.put("training.optimizer", ours, "optimizer")
        if why:
            reader.note("differs", "optimizer", why)
    elif named is not None and named not in cast("dict[object, object]", BACK["optimizer"].values):
        reader.note("refused", "optimizer", f"no optimizer of a recipe is {spelled(named)}")
    if reader.has("adam_beta1", "adam_beta2"):
        betas = [reader.number("adam_beta1", 0.9), reader.number("adam_beta2", 0.999)]
        reader.put("training.betas", betas, "adam_beta1", "adam_beta2")


def _checkpointing(reader: Reader) -> None:
    kind, offloaded = reader.get("gradient_checkpointing"), reader.get("activation_offloading")
    keys = ("gradient_checkpointing", "activation_offloading", "selective_checkpointing")
    if reader.has("selective_checkpointing") and kind:
        reader.put("training.gradient_checkpointing", "selective", *keys, "selective_checkpointing.save")
    elif kind in ("offload", "offload_disk") or (kind and offloaded):
        reader.put("training.gradient_checkpointing", "offload", *keys)
    else:
        reader.put("training.gradient_checkpointing", bool(kind), *keys)


def _plugins(reader: Reader) -> None:
    """Liger's kernels and cross entropy without logits are leaves; others of Axolotl's own are raw keys."""
    named = reader.get("plugins", [])
    plugins = [str(item) for item in cast("list[object]", named)] if isinstance(named, list) else []
    known = raw_keys("axolotl").plugins or {}
    others = [item for item in plugins if not item.startswith((LIGER, CUT, SWANLAB)) and "." in item]
    refused = [item for item in others if not item.startswith("axolotl.integrations.")]
    refused += [item for item in others if item.rpartition(".")[0] in known]
    liger, cut = (any(item.startswith(what) for item in plugins) for what in (LIGER, CUT))
    if refused:
        reader.note("refused", "plugins", f"{refused[0]} is code that a recipe does not show")
    if any(item.startswith(SWANLAB) for item in plugins):
        reader.idle("ftc reports to trackers of its own list", "plugins", "use_swanlab")
    if others:
        reader.put("targets.axolotl.plugins", others, "plugins")
    cut = cut and reader.get("cut_cross_entropy", True) is not False
    fused = liger and reader.true("liger_fused_linear_cross_entropy")
    if cut or fused or reader.true("chunked_cross_entropy"):
        reader.put("training.loss", "chunked", "plugins", "cut_cross_entropy", "liger_fused_linear_cross_entropy")
        reader.also("training.loss", "chunked_cross_entropy")
    else:
        reader.put("training.loss", "full", "chunked_cross_entropy")
    keys = [key for key in reader.config if key.startswith("liger_") and key != "liger_fused_linear_cross_entropy"]
    if liger and any(reader.true(key) for key in keys):
        reader.put("training.kernels", "liger", "plugins", "liger_fused_linear_cross_entropy", *keys)
    else:
        reader.put("training.kernels", "none", *(("plugins",) if liger else ()))
        reader.idle("without its plugin Axolotl drops it in silence, or it is off", *keys)


def _cadence(reader: Reader) -> None:
    """How often; a number of times an epoch becomes a share of one, or steps where the run is counted in steps."""
    validated = reader.has("test_datasets") or bool(reader.number("val_set_size", 0.0))
    for what, leaf in (("eval", "evaluation.every"), ("save", "checkpoint.every")):
        keys = (f"{what}_steps", f"{what}_strategy", f"{what}s_per_epoch")
        if what == "eval" and not validated:
            reader.idle("there are no validation rows", *keys)
        else:
            reader.put(leaf, _every(reader, what), *keys)
    if reader.true("load_best_model_at_end"):
        reader.put("checkpoint.best", validated, "load_best_model_at_end")
    reader.also("checkpoint.best", "metric_for_best_model", "greater_is_better")


def _every(reader: Reader, what: str) -> object:
    strategy, often = reader.get(f"{what}_strategy"), reader.number(f"{what}s_per_epoch")
    steps, epochs = reader.number(f"{what}_steps"), reader.number("num_epochs", 1.0) or 1.0
    total = reader.number("max_steps") or 0
    if often:
        steps = 1.0 / (often * epochs)
        if steps >= 1:
            steps = None
            if what == "eval" and strategy is None:
                why = "Axolotl never evaluates here: it takes fewer than two evaluations of a run for none"
                reader.note("idle", "evals_per_epoch", why)
    if not steps:
        never = strategy in ("no", False) or (what == "eval" and strategy is None)
        return None if never else "epoch"
    if steps >= 1:
        return int(steps)
    if total > 0:
        return ceil(steps * total)
    share = round(steps * epochs, 9)
    return "epoch" if share == 1 else share if share < 1 else None


def _trackers(reader: Reader) -> None:
    used = ["tensorboard"] if reader.true("use_tensorboard") else []
    for tracker, project in TRACKERS.items():
        switch, run = f"use_{tracker}", "wandb_name" if tracker == "wandb" else f"{tracker}_run_name"
        if reader.true(switch) or (reader.has(project) and reader.get(switch) is not False):
            used.append(tracker)
            if reader.has(project):
                reader.put("logging.project", reader.get(project), project)
        reader.idle("the run is named by the recipe's name", run)
    if used or any(reader.get(f"use_{name}") is False for name in ("tensorboard", *TRACKERS)):
        reader.put("logging.to", used, "use_tensorboard", *(f"use_{name}" for name in TRACKERS), *TRACKERS.values())
    if reader.has("output_dir"):
        reader.put("output.dir", reader.get("output_dir"), "output_dir")
    if reader.has("auto_resume_from_checkpoints") and reader.true("auto_resume_from_checkpoints"):
        reader.put("checkpoint.resume", "auto", "auto_resume_from_checkpoints")


def _sharding(reader: Reader, count: int | None) -> None:
    if reader.get("deepspeed"):
        deepspeed(reader)
    elif reader.has("fsdp_config", "fsdp"):
        fully_sharded(reader)
    cards(reader, count)


def _defaults(reader: Reader) -> None:
    """Where Axolotl's own default is another than ftc's, and the file leaves it to that."""
    for leaf, value in DEFAULTS.items():
        if leaf not in reader.leaves:
            reader.put(leaf, value)


DEFAULTS: Final = {
    "model.attention": "sdpa",
    "data.max_length": 512,
    "data.packing": False,
    "training.micro_batch_size": 1,
    "checkpoint.keep": 4,
    "checkpoint.resume": "never",
}
