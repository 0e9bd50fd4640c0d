"""What the native run calls each leaf of a plan: the path under which `train.py` reads it from `plan.json`."""

from __future__ import annotations

from pathlib import Path

from schemas.support import Folded, Key, Never, Ours, Table

SOURCE_LEAVES = ("path", "local", "format", "split", "subset", "revision", "weight", "limit")
FIELD_LEAVES = (
    "messages",
    "role",
    "content",
    "thinking",
    "tools",
    "system",
    "instruction",
    "input",
    "output",
    "prompt",
    "completion",
    "chosen",
    "rejected",
    "label",
    "text",
)


def template_file(value: object) -> object:
    """The file beside `plan.json` that holds the chat template; "tokenizer" is the tokenizer's own."""
    name = str(value)
    if name == "tokenizer":
        return name
    return Path(name).name if name.endswith(".jinja") else f"{name}.jinja"


def _same(*paths: str) -> Table:
    """Leaves that `train.py` reads under their own path."""
    return {path: Key(path) for path in paths}


def _sources(part: str) -> Table:
    """A list of sources is written as a whole; each of its leaves is in there."""
    answers: Table = {f"{part}[].{leaf}": Folded(part) for leaf in SOURCE_LEAVES}
    return answers | {f"{part}[].fields.{leaf}": Folded(part) for leaf in FIELD_LEAVES}


MODEL: Table = _same(
    "model.base",
    "model.revision",
    "model.dtype",
    "model.attention",
    "model.trust_remote_code",
    "model.tokenizer",
    "model.tokens.pad",
    "model.tokens.eos",
    "model.tokens.bos",
    "model.tokens.add",
) | {"model.chat_template": Key("model.chat_template", template_file)}

METHOD: Table = _same(
    "method.rank",
    "method.alpha",
    "method.dropout",
    "method.target_modules",
    "method.modules_to_save",
    "method.rslora",
    "method.lora_plus_ratio",
    "method.adapter_dtype",
    "method.quantization",
    "method.quantization.bits",
    "method.quantization.type",
    "method.quantization.double_quant",
    "method.quantization.compute_dtype",
    "method.freeze",
    "method.train_only",
    "method.weights_dtype",
    "method.kind",
    "method.init",
    "method.feedforward_modules",
    "method.virtual_tokens",
    "method.init_text",
    "method.projection",
    "method.encoder_hidden_size",
    "method.bottleneck",
    "method.activation",
    "method.placement",
)

DATA: Table = (
    _same(
        "data.validation",
        "data.system",
        "data.max_length",
        "data.overlong",
        "data.bad_rows",
        "data.packing",
        "data.loss_on",
        "data.shuffle",
    )
    | _sources("data.train")
    | _sources("data.validation")
)

TRAINING: Table = _same(
    "training.epochs",
    "training.max_steps",
    "training.global_batch_size",
    "training.micro_batch_size",
    "training.learning_rate",
    "training.scheduler",
    "training.min_lr_ratio",
    "training.warmup",
    "training.weight_decay",
    "training.betas",
    "training.epsilon",
    "training.max_grad_norm",
    "training.gradient_checkpointing",
    "training.loss",
    "training.compile",
    "training.kernels",
    "training.neftune_alpha",
    "training.seed",
    "training.objective",
    "training.preference",
    "training.preference.beta",
    "training.preference.loss",
    "training.optimizer",
)

AROUND: Table = _same(
    "name",
    "evaluation.every",
    "evaluation.batch_size",
    "checkpoint.every",
    "checkpoint.keep",
    "checkpoint.best",
    "checkpoint.weights_only",
    "checkpoint.resume",
    "logging.every",
    "logging.to",
    "logging.project",
    "output.dir",
    "output.merge",
    "hardware.count",
    "hardware.nodes",
    "hardware.strategy",
    "hardware.offload",
) | {
    "targets.axolotl": Never("raw keys for Axolotl alone", ({},)),
    "targets.llamafactory": Never("raw keys for LLaMA-Factory alone", ({},)),
}

CONSUMED: Table = {
    "version": Ours("the compiler read it"),
    "hardware.gpu": Ours("chose what was auto"),
    "hardware.memory": Ours("what the plan was weighed against"),
    "hardware.reserve": Ours("what the plan was weighed against"),
}

TABLE: Table = MODEL | METHOD | DATA | TRAINING | AROUND | CONSUMED
