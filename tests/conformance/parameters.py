"""What conformance recipes vary: parameters, the values of each, and what a value needs beside it.

A value is what it adds to the base recipe, as `--set` would; the first of each parameter adds nothing.
"""

from __future__ import annotations

from pathlib import Path

Sets = tuple[str, ...]

BASE = """\
version: 1
name: conformance
model: {{base: {bases}/bfloat16}}
method: {{kind: lora}}
data: {{train: [{{path: {data}/messages.jsonl, format: messages}}], max_length: 256, validation: 0.3}}
training: {{global_batch_size: 16, micro_batch_size: 2}}
hardware: {{gpu: h100}}
output: {{dir: {runs}}}
"""


def base(bases: Path, data: Path, runs: Path) -> str:
    """The recipe that every other is a variant of."""
    return BASE.format(bases=bases, data=data, runs=runs)


FORMATS = ("messages", "sharegpt", "alpaca", "prompt_completion", "text")
COMPARED = {"dpo": "preference", "orpo": "preference", "kto": "kto"}

PARAMETERS: dict[str, dict[str, Sets]] = {
    "method": {"lora": (), **{kind: (f"method.kind={kind}",) for kind in ("dora", "qlora", "qdora", "full")}},
    "quantization": {
        "nf4": (),
        "fp4": ("method.quantization={type: fp4, double_quant: false}",),
        "int8": ("method.quantization={bits: 8}",),
    },
    "size": {
        "16": (),
        "8": ("method.rank=8", "method.alpha=8", "method.dropout=0.1"),
        "64": ("method.rank=64", "method.alpha=16"),
    },
    "targets": {
        "all": (),
        "attention": ("method.target_modules=attention",),
        "named": ("method.target_modules=[q_proj, down_proj]",),
        "expression": ("method.target_modules='re:.*(q|v)_proj'",),
    },
    "start": {
        "plain": (),
        **{name: (f"method.init={name}",) for name in ("gaussian", "pissa", "olora")},
        "rslora": ("method.rslora=true",),
        "lora-plus": ("method.lora_plus_ratio=16.0",),
    },
    "whole": {
        "none": (),
        "head": ("method.modules_to_save=[lm_head]",),
        "both": ("method.modules_to_save=[lm_head, embed_tokens]",),
        "new-tokens": ("model.tokens.add=[<call>, </call>]", "method.modules_to_save=[embed_tokens, lm_head]"),
    },
    "adapters": {"auto": (), "bfloat16": ("method.adapter_dtype=bfloat16",)},
    "trained": {
        "all": (),
        "freeze": ("method.freeze=['*.embed_tokens.*', '*.layers.[01].*']",),
        "train-only": ("method.train_only=['*.layers.3.*', '*norm*']",),
    },
    "weights": {"auto": (), "float32": ("method.weights_dtype=float32",)},
    "precision": {
        "bfloat16": (),
        "float16": ("hardware.gpu=t4", "model.base=@base"),
        "float32": ("model.dtype=float32", "model.base=@base"),
    },
    "data": {
        "messages": (),
        **{kind: (f"data.train=[{{path: @data/{kind}.jsonl, format: {kind}}}]",) for kind in FORMATS[1:]},
        **{
            name: (f"training.objective={name}", f"data.train=[{{path: @data/{kind}.jsonl, format: {kind}}}]")
            for name, kind in COMPARED.items()
        },
    },
    "preference": {
        "sigmoid": (),
        "ipo": ("training.preference={beta: 0.3, loss: ipo}",),
        "hinge": ("training.preference={beta: 0.05, loss: hinge}",),
    },
    "loss_on": {"auto": (), "last": ("data.loss_on=last_assistant",), "all": ("data.loss_on=all",)},
    "source": {
        "plain": (),
        "weight": ("data.train[0].weight=2.0",),
        "count": ("data.train[0].limit=5",),
        "share": ("data.train[0].limit=0.5",),
        "system": ("data.system='Count: boats, \"all\" of them.'",),
    },
    "overlong": {
        "auto": (),
        **{name: (f"data.overlong={name}",) for name in ("truncate", "drop", "split")},
        "error": ("data.overlong=error", "data.train[0].path=@data/@kind-short.jsonl"),
    },
    "room": {"256": (), "1024": ("data.max_length=1024",)},
    "packing": {"auto": (), "off": ("data.packing=false",)},
    "validation": {
        "share": (),
        "count": ("data.validation=2",),
        "none": ("data.validation=null",),
        "file": ("data.validation=[{path: @data/@kind-held.jsonl, format: @kind}]",),
    },
    "shuffle": {"yes": (), "no": ("data.shuffle=false",)},
    "template": {
        "own": (),
        "chatml": ("model.chat_template=chatml", "model.base=@base"),
        "file": ("model.chat_template=@bases/boats.jinja",),
    },
    "tokens": {"own": (), "pad": ("model.tokens.pad=@pad",)},
    "length": {
        "epoch": (),
        "epochs": ("training.epochs=3",),
        "steps": ("~training.epochs", "training.max_steps=200"),
    },
    "schedule": {
        "cosine": (),
        "floor": ("training.min_lr_ratio=0.1", "training.warmup=7"),
        "linear": ("training.scheduler=linear", "training.warmup=0.03", "training.learning_rate=7.0e-5"),
        "constant": ("training.scheduler=constant", "training.warmup=0.0"),
        "polynomial": ("training.scheduler=polynomial", "training.min_lr_ratio=0.25"),
    },
    "optimizer": {
        "adamw": (),
        **{
            name: (f"training.optimizer={name}",)
            for name in (
                "adamw_8bit",
                "adamw_4bit",
                "paged_adamw",
                "paged_adamw_8bit",
                "adafactor",
                "lion_8bit",
                "sgd",
                "muon",
            )
        },
    },
    "numbers": {
        "usual": (),
        "others": ("training.betas=[0.8, 0.95]", "training.weight_decay=0.1", "training.max_grad_norm=0.3"),
        "unclipped": ("training.weight_decay=0.01", "training.max_grad_norm=0", "training.epsilon=1.0e-6"),
    },
    "checkpointing": {
        "auto": (),
        **{name: (f"training.gradient_checkpointing={name}",) for name in ("true", "false", "selective", "offload")},
    },
    "loss": {"auto": (), "full": ("training.loss=full",), "chunked": ("training.loss=chunked",)},
    "kernels": {"auto": (), "none": ("training.kernels=none",), "liger": ("training.kernels=liger",)},
    "compile": {"no": (), "yes": ("training.compile=true",)},
    "attention": {
        "auto": (),
        **{name: (f"model.attention={name}",) for name in ("eager", "flash_attention_2", "flash_attention_3", "flex")},
    },
    "noise": {"none": (), "some": ("training.neftune_alpha=5.0",)},
    "seed": {"42": (), "7": ("training.seed=7",)},
    "evaluation": {
        "epoch": (),
        "steps": ("evaluation.every=20", "evaluation.batch_size=3"),
        "share": ("evaluation.every=0.5",),
        "never": ("evaluation.every=null",),
    },
    "checkpoint": {
        "epoch": (),
        "best": ("checkpoint.every=40", "checkpoint.best=true", "checkpoint.keep=1"),
        "share": ("checkpoint.every=0.25", "checkpoint.weights_only=true", "checkpoint.resume=never"),
        "never": ("checkpoint.every=null", "checkpoint.resume=never"),
    },
    "batch": {
        "16/2": (),
        "single": ("training.micro_batch_size=1",),
        "8/8": ("training.global_batch_size=8", "training.micro_batch_size=8"),
        "auto": ("training.micro_batch_size=auto", "training.global_batch_size=32"),
    },
    "cards": {
        "one": (),
        "ddp": ("hardware.count=2", "hardware.strategy=ddp"),
        "fsdp": ("hardware.count=2", "hardware.strategy=fsdp"),
        "zero2": ("hardware.count=2", "hardware.strategy=zero2", "hardware.offload=optimizer"),
        "zero3": ("hardware.count=2", "hardware.strategy=zero3", "hardware.offload=all"),
        "machines": ("hardware.count=2", "hardware.nodes=2", "hardware.strategy=ddp"),
    },
    "merge": {"no": (), "yes": ("output.merge=true",)},
    "reports": {
        "none": (),
        "all": ("logging.to=[wandb, tensorboard, mlflow]", "logging.project=boats", "logging.every=3"),
        "trackio": ("logging.to=[trackio]",),
    },
}

NEEDS: dict[tuple[str, str], tuple[dict[str, str], ...]] = {
    ("quantization", "fp4"): ({"method": "qlora"},),
    ("quantization", "int8"): ({"method": "qlora"},),
    ("trained", "freeze"): ({"method": "full"},),
    ("trained", "train-only"): ({"method": "full"},),
    ("weights", "float32"): ({"method": "full"}, {"method": "full", "precision": "float32"}),
    ("preference", "ipo"): ({"data": "dpo"},),
    ("preference", "hinge"): ({"data": "dpo"},),
    ("overlong", "split"): ({"data": "text"},),
    ("checkpoint", "best"): ({"evaluation": "steps"},),
    ("data", "kto"): ({}, {"batch": "8/8"}),
    ("data", "text"): ({}, {"overlong": "truncate", "packing": "off"}),
    ("data", "prompt_completion"): ({}, {"template": "chatml"}),
    ("attention", "flash_attention_2"): ({}, {"batch": "single"}),
}
"""A value → what is chosen beside it where it does not build alone: the first of these with which it does."""


def sets(row: dict[str, str], bases: Path, data: Path) -> Sets:
    """A row of the array as overrides of the base recipe."""
    kind = COMPARED.get(row["data"], row["data"])
    chatml = row["template"] == "chatml"
    own = bases / f"{'chatml-' * chatml}{row['precision']}"
    pad = "<|im_start|>" if chatml else "<|eot_id|>"
    words = {"@bases": str(bases), "@base": str(own), "@data": str(data), "@kind": kind, "@pad": pad}
    said = [item for name, value in row.items() for item in PARAMETERS[name][value]]
    # A list of sources replaces the base's, so it comes before what is said of its first source.
    said.sort(key=lambda item: not item.startswith("data.train="))
    return tuple(_filled(item, words) for item in said)


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text
