# pyright: basic, reportPrivateImportUsage=false
# Strict typing stops at transformers and trl, whose arguments are untyped.
"""Answers that are compared, or judged: DPO, ORPO and KTO by TRL's trainers, on the rows' own tokens.

Rows come tokenised and masked like all others, and what is learnt of an answer are its labels. TRL would make tokens of
texts by itself, so it is kept from that; how it computes the losses is left as it is, but for the likelihood that ORPO
adds: of the answer, as in its paper (Hong et al. 2024, arXiv:2403.07691), where TRL takes the prompt too.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from datasets import Dataset
from peft import PeftModel
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from backends.native.counting import Counting
from backends.native.data import IGNORED
from backends.native.model import Plan
from backends.native.settings import SettingError

Rows = list[dict[str, Any]]
AS_THE_BASE = ("lora", "qlora", "dora", "qdora", "ia3")
"""Methods whose model is the base before it learns, unless their matrices start from the base's own."""


class Comparing(Counting):
    """Takes rows as they are, and counts."""

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset

    def compute_loss(self, model: Any, inputs: dict[str, Any], *further: Any, **named: Any) -> Any:
        self.count(model, inputs)
        return cast("Any", super()).compute_loss(model, inputs, *further, **named)


class Dpo(Comparing, DPOTrainer):
    """Rafailov et al. 2023, arXiv:2305.18290, and its kin."""


class Kto(Comparing, KTOTrainer):
    """Ethayarajh et al. 2024, arXiv:2402.01306."""


class Orpo(Comparing, ORPOTrainer):
    """Its likelihood is that of the chosen answer."""

    def concatenated_forward(self, model: Any, batch: dict[str, Any]) -> tuple[Any, ...]:
        pad: Any = self.padding_value
        joined = self.concatenated_inputs(batch, padding_value=pad, device=self.accelerator.device)
        labels, half = joined["concatenated_labels"], len(batch["chosen_labels"])
        more = {"output_router_logits": True} if self.aux_loss_enabled else {}
        made = model(
            joined["concatenated_input_ids"],
            attention_mask=joined["concatenated_attention_mask"],
            use_cache=False,
            **more,
        )
        logits = made.logits[:, -labels.shape[1] :]  # virtual tokens stand before
        chosen = logits[:half, :-1].flatten(0, 1).float()
        likelihood = cross_entropy(chosen, labels[:half, 1:].flatten(), ignore_index=IGNORED)
        scores = self.get_batch_logps(logits, labels, average_log_prob=True)
        found = (scores[:half], scores[half:], logits[:half, :-1], logits[half:, :-1], likelihood)
        return (*found, made.aux_loss) if self.aux_loss_enabled else found


def comparing_trainer(
    plan: Plan,
    settings: dict[str, Any],
    model: Any,
    *,
    tokenizer: Any,
    rows: tuple[Dataset, Dataset | None],
    base: Callable[[], Any],
) -> Comparing:
    """The trainer of the plan's objective. `base`: another copy of the base, for a model that changes the base's own
    weights and could not tell what it was."""
    training, pad = plan["training"], tokenizer.pad_token_id
    beta = training["preference"]["beta"]
    train, validation = rows
    common = {**settings, "beta": beta, "max_length": None, "disable_dropout": False, "remove_unused_columns": False}
    told = {"model": model, "processing_class": tokenizer}
    if training["objective"] == "orpo":
        if common.pop("activation_offloading"):
            raise SettingError("training.gradient_checkpointing = offload is not known to TRL's ORPO; write true")
        config = ORPOConfig(**{**common, "max_length": plan["data"]["max_length"]})
        # It would copy all rows to look for texts in them.
        none = {"train_dataset": train.select([]), "eval_dataset": validation and validation.select([])}
        made: Any = Orpo(args=config, data_collator=Orpos(pad), **none, **told)
        made.train_dataset, made.eval_dataset = train, validation
        made.use_dpo_data_collator = True  # ours hands it the same columns: nothing to warn of
        return made
    told |= {"train_dataset": train, "eval_dataset": validation}
    told["ref_model"] = None if isinstance(model, PeftModel) else base()
    if training["objective"] == "dpo":
        config = DPOConfig(**common, loss_type=[training["preference"]["loss"]])
        made = Dpo(args=config, data_collator=Pairs(pad), **told)
    else:
        # An answer is weighed against its neighbours', which must be the same ones however often it is seen.
        if plan["data"]["shuffle"]:
            told["train_dataset"] = train.shuffle(seed=training["seed"])
        config = KTOConfig(**{**common, "train_sampling_strategy": "sequential"})
        made = Kto(args=config, data_collator=Judged(pad, plan["data"]["max_length"]), **told)
    if "ref" in getattr(model, "peft_config", {}) and _starts_as_base(plan):
        model.delete_adapter("ref")  # a copy that says what the base says
    return made


def _starts_as_base(plan: Plan) -> bool:
    method = plan["method"]
    return method["kind"] in AS_THE_BASE and method.get("init", "default") in ("default", "gaussian")


def _padded(sequences: list[list[int]], filler: int) -> torch.Tensor:
    return pad_sequence([torch.tensor(each) for each in sequences], batch_first=True, padding_value=filler)


def _batch(ids: list[list[int]], labels: list[list[int]], pad: int, prefix: str = "") -> dict[str, torch.Tensor]:
    """As TRL's collators have it: what is learnt is marked by a mask."""
    return {
        f"{prefix}input_ids": _padded(ids, pad),
        f"{prefix}attention_mask": _padded([[1] * len(each) for each in ids], 0),
        f"{prefix}completion_mask": _padded([[int(label != IGNORED) for label in each] for each in labels], 0),
    }


class Pairs:
    """Rows of two answers as one batch: the chosen ones, then the rejected ones."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: Rows) -> dict[str, torch.Tensor]:
        both = ("chosen", "rejected")
        ids = [row[f"{answer}_ids"] for answer in both for row in rows]
        return _batch(ids, [row[f"{answer}_labels"] for answer in both for row in rows], self.pad)


class Orpos(Pairs):
    """The same as ORPO's trainer takes them: each kind of answer by itself, with labels."""

    def __call__(self, rows: Rows) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        for answer in ("chosen", "rejected"):
            ids, labels = ([row[f"{answer}_{what}"] for row in rows] for what in ("ids", "labels"))
            found[f"{answer}_input_ids"] = _padded(ids, self.pad)
            found[f"{answer}_attention_mask"] = _padded([[1] * len(each) for each in ids], 0)
            found[f"{answer}_labels"] = _padded(labels, IGNORED)
        return found


class Judged(Pairs):
    """Rows of one answer that is good or bad, and each prompt once more with its neighbour's answer: by these KTO
    estimates how far the model has moved. `limit`: such a pair is cut where rows end too."""

    def __init__(self, pad: int, limit: int) -> None:
        super().__init__(pad)
        self.limit = limit

    def __call__(self, rows: Rows) -> dict[str, torch.Tensor]:
        ids, labels = ([row[name] for row in rows] for name in ("input_ids", "labels"))
        starts = [next(at for at, label in enumerate(each) if label != IGNORED) for each in labels]
        before = [len(rows) - 1, *range(len(rows) - 1)]
        strange = [ids[at][: starts[at]] + ids[other][starts[other] :] for at, other in enumerate(before)]
        masks = [[IGNORED] * starts[at] + labels[other][starts[other] :] for at, other in enumerate(before)]
        strange, masks = ([each[: self.limit] for each in both] for both in (strange, masks))
        good = {"label": torch.tensor([bool(row["label"]) for row in rows])}
        return _batch(ids, labels, self.pad) | _batch(strange, masks, self.pad, "KL_") | good
