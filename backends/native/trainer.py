# pyright: basic, reportPrivateImportUsage=false
# Strict typing stops at transformers and trl, whose arguments are untyped.
"""The trainer of a run: TRL's, with the model and the plan's settings in it. TRL moves, so it is called here alone, and
in `compared.py` where answers are compared.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft.optimizers import create_loraplus_optimizer
from transformers import PrinterCallback, Trainer
from trl import SFTConfig, SFTTrainer

from backends.native.attention import require_apart
from backends.native.compared import comparing_trainer
from backends.native.counting import Counting
from backends.native.data import IGNORED
from backends.native.methods import LORA_KINDS, choose_trained, set_adapter_dtype
from backends.native.model import Plan, compile_layers, load_base, use_liger
from backends.native.muon import muon
from backends.native.settings import of_rows, settings
from backends.native.vocabulary import make_room


class CountingTrainer(Counting, SFTTrainer):
    """TRL's trainer, which counts tokens without waiting for the device and takes the loss that the plan names.

    `full`: transformers' own, over all logits. `chunked`: TRL's, or on a CPU, where TRL's kernel is slow, one over the
    logits of trained positions alone, as long as these are few.
    """

    loss_kind = "chunked"
    apart = False

    def prediction_step(self, model, inputs, *told, **named):
        loss, *rest = super().prediction_step(model, inputs, *told, **named)
        items = (inputs["labels"][:, 1:] != IGNORED).sum().to(loss.device)
        self.watched += torch.stack((loss.double() * items, items))
        return loss, *rest

    def evaluation_loop(self, *told, metric_key_prefix="eval", **named):
        """The loss of a token, as in training: transformers takes the mean over batches, which says something else for
        another size of batch."""
        self.watched = torch.zeros(2, dtype=torch.float64, device=self.args.device)
        found: Any = super().evaluation_loop(*told, metric_key_prefix=metric_key_prefix, **named)
        whole: Any = self.accelerator.reduce(self.watched, "sum")
        loss, items = whole.tolist()
        found.metrics[f"{metric_key_prefix}_loss"] = loss / items
        return found

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if "cu_seq_lens_q" in inputs and not self.apart:
            require_apart(model, inputs["input_ids"].device)
            self.apart = True
        self.count(model, inputs)
        if self.loss_kind == "full":
            return Trainer.compute_loss(self, model, inputs, return_outputs, num_items_in_batch)
        bare = self.accelerator.unwrap_model(model)
        vocabulary = bare.config.get_text_config().vocab_size
        if self.args.use_cpu and not self.aux_loss_enabled and _few(inputs["labels"], vocabulary):
            loss = trained_positions_loss(model, bare.get_output_embeddings(), inputs, num_items_in_batch)
            # `num_items_in_batch` counts the tokens of all processes, whose gradients are averaged.
            return loss if num_items_in_batch is None else loss * self.accelerator.num_processes
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)


COMPARED = ("dpo", "orpo", "kto")
FEW_LOGITS = 1 << 26
"""A quarter of a GiB in float32."""


def _few(labels: torch.Tensor, vocabulary: int) -> bool:
    return int((labels != IGNORED).sum()) * vocabulary <= FEW_LOGITS


def trained_positions_loss(
    model: Any, head: torch.nn.Module, inputs: dict[str, Any], items: torch.Tensor | int | None
) -> torch.Tensor:
    """Cross entropy over `items` tokens, the head applied only where a label is: elsewhere it would be thrown away."""
    labels = inputs["labels"][:, 1:]
    wanted = labels != IGNORED
    # Virtual tokens stand before the row's own.
    hook = head.register_forward_pre_hook(lambda _, hidden: (hidden[0][:, -labels.shape[1] - 1 : -1][wanted],))
    try:
        logits = model(**{key: value for key, value in inputs.items() if key != "labels"}, use_cache=False).logits
    finally:
        hook.remove()
    loss = torch.nn.functional.cross_entropy(logits.float(), labels[wanted], reduction="sum")
    return loss / (wanted.sum() if items is None else items)


def build_trainer(
    plan: Plan,
    out: Path,
    device: str,
    tokenizer: Any,
    *,
    train: Dataset,
    validation: Dataset | None,
    load: Callable[[Plan, str], Any] = load_base,
) -> Any:
    """The model with its adapters, and the trainer around it. The caller has set the seed. `load` gives the base."""
    told = settings(plan, out, device, len(train))
    with_room = partial(_with_room, load, plan, device, tokenizer)
    base = with_room()
    if plan["training"]["kernels"] == "liger":
        use_liger(base)
    model = choose_trained(base, plan, tokenizer, lambda: load_base(plan, "cpu", quantized=False))
    before = _adapters(model, plan)
    if plan["training"]["objective"] in COMPARED:
        rows: Any = (train, validation)
        trainer: Any = comparing_trainer(
            plan,
            told,
            model,
            tokenizer=tokenizer,
            rows=rows,
            base=with_room,
        )
    else:
        config = SFTConfig(**told, **of_rows(plan))
        trainer = CountingTrainer(
            model=model, args=config, train_dataset=train, eval_dataset=validation, processing_class=tokenizer
        )
        trainer.loss_kind = plan["training"]["loss"]
    _restore(trainer.model, before, plan)
    # With the settings that the trainer has made of ours.
    if optimizer := _optimizer(plan, trainer):
        trainer.create_optimizer = partial(_take, trainer, optimizer)
    trainer.remove_callback(PrinterCallback)
    if plan["training"]["compile"]:
        compile_layers(trainer.model)
    return trainer


def _take(trainer: Any, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """In the place of the trainer's own way to one: DeepSpeed forgets one that is there already."""
    trainer.optimizer = optimizer
    return optimizer


def _with_room(load: Callable[[Plan, str], Any], plan: Plan, device: str, tokenizer: Any) -> Any:
    """The base, with rows for new tokens."""
    base = load(plan, device)
    make_room(base, plan, tokenizer)
    return base


def _adapters(model: Any, plan: Plan) -> dict[str, torch.Tensor]:
    """A copy of the adapters; nothing where all weights are trained, which would be copied in vain."""
    if plan["method"]["kind"] not in LORA_KINDS:
        return {}
    return {name: item.detach().clone() for name, item in model.named_parameters() if item.requires_grad}


def _restore(model: Any, before: dict[str, torch.Tensor], plan: Plan) -> None:
    """TRL rounds the adapters of a quantised base to bfloat16; put back what they were before."""
    for name, parameter in model.named_parameters():
        if name in before:
            parameter.data = before[name]
    if plan["method"]["kind"] in LORA_KINDS:
        set_adapter_dtype(model, plan)


def _optimizer(plan: Plan, trainer: Any) -> torch.optim.Optimizer | None:
    """Muon, or one that learns B faster than A, where the plan asks for it; None: the trainer's own."""
    model, config = trainer.model, trainer.args
    if plan["training"]["optimizer"] == "muon":
        return muon(model, config.learning_rate, config.weight_decay, trainer.get_decay_parameter_names(model))
    if plan["method"]["kind"] not in LORA_KINDS or plan["method"]["lora_plus_ratio"] is None:
        return None
    kind, options = Trainer.get_optimizer_cls_and_kwargs(config, model)
    told = {"loraplus_lr_ratio": plan["method"]["lora_plus_ratio"], "loraplus_weight_decay": config.weight_decay}
    # Adapters of an embedding would be trained at 1e-6, whatever the plan says.
    told["loraplus_lr_embedding"] = config.learning_rate
    return create_loraplus_optimizer(model, kind, **told, **options)
