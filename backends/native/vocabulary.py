# pyright: basic
# Strict typing stops at transformers and peft, whose classes are made at run time.
"""New tokens: where their rows in embedding and head begin, and which of them are trained.

Copied as it stands into every native artifact, so it imports nothing of the compiler.

An adapter that was saved with new tokens is loaded onto a base that has rows for them, as PEFT's AutoPeftModel does by
the tokenizer beside the adapter:

    base.resize_token_embeddings(len(tokenizer))
    model = PeftModel.from_pretrained(base, "adapter")
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from peft.tuners.trainable_tokens.layer import TrainableTokensLayer

from backends.native.model import ModelError, Plan


def make_room(base: Any, plan: Plan, tokenizer: Any) -> None:
    """Rows for `model.tokens.add` in embedding and head. The row of a token that the tokenizer did not know begins as
    the mean of those that its text was written with before; a base that has rows to spare keeps its size."""
    if not plan["model"]["tokens"]["add"]:
        return
    # Where the base's type is one of few bits, embedding and head are not: bitsandbytes leaves them out.
    if len(tokenizer) > base.get_input_embeddings().weight.shape[0]:
        base.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    for module in _modules(base).values():
        weight = module.weight.data
        if not weight.is_floating_point():
            raise ModelError("model.tokens.add needs an embedding and a head that are not quantised")
        # A tokenizer that was saved does not know any more: what was learnt of its rows is in the adapter.
        for token, pieces in getattr(tokenizer, "written_before", {}).items():
            known = torch.tensor(pieces, device=weight.device)
            weight[tokenizer.convert_tokens_to_ids(token)] = weight[known].float().mean(0).to(weight.dtype)


def trained_rows(base: Any, plan: Plan, tokenizer: Any = None) -> dict[str, list[int]] | None:
    """What PEFT calls trainable token indices: rows by the name of the module that has them, of modules that are not
    trained as a whole. None where there are none. Without a tokenizer they are the first rows, as many."""
    added = plan["model"]["tokens"]["add"]
    rows = tokenizer.convert_tokens_to_ids(list(added)) if tokenizer else list(range(len(added)))
    whole = plan["method"]["modules_to_save"]
    if added and getattr(base.get_output_embeddings(), "bias", None) is not None:
        raise ModelError("the head of this model has a bias, which PEFT leaves out where it trains single rows of it")
    return {name: rows for name in _modules(base) if added and name not in whole} or None


def settle(model: Any) -> None:
    """What PEFT leaves open around rows that it trains."""
    # They are in the adapter: it would save all the others too, with each checkpoint, as there are more than before.
    model.save_pretrained = partial(model.save_pretrained, save_embedding_layers=False)
    for module in model.modules():
        if isinstance(module, TrainableTokensLayer):
            vars(module)["cast_input_dtype_enabled"] = False  # it casts none, and is asked whether it does
    head = model.get_base_model().get_output_embeddings()
    if not hasattr(head, "bias"):
        head.bias = None  # TRL's loss asks for it


def _modules(base: Any) -> dict[str, Any]:
    """The embedding, and the head where it has weights of its own, by the last part of their names."""
    embedding, head = base.get_input_embeddings(), base.get_output_embeddings()
    tied = head is None or head.weight is embedding.weight
    wanted = {id(module) for module in ((embedding,) if tied else (embedding, head))}
    return {name.rpartition(".")[2]: module for name, module in base.named_modules() if id(module) in wanted}
