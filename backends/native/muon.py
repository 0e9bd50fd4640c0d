# pyright: basic
# Strict typing stops at torch's optimizers and at models, whose classes are made at run time.
"""Muon: updates of matrices are made orthogonal (Jordan et al. 2024, kellerjordan.github.io/posts/muon). It is for the
matrices inside layers, adapters' too; embedding, head, norms, biases and vectors are left to AdamW.

The update is torch's, scaled as in Moonshot's Muon (arXiv:2502.16982) to the size of an AdamW step, so that both are
told the same learning rate and weight decay.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch

MOMENTUM = 0.95
SCALED = "match_rms_adamw"


class MuonAndAdamW(torch.optim.Optimizer):
    """Both as one, for schedulers and checkpoints: they share its groups and its state."""

    def __init__(self, matrices: list[dict[str, Any]], rest: list[dict[str, Any]], rate: float, fused: bool) -> None:
        self.parts = (
            torch.optim.Muon(matrices, lr=rate, momentum=MOMENTUM, adjust_lr_fn=SCALED),
            torch.optim.AdamW(rest, lr=rate, fused=fused),
        )
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._share()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """A step of both."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for part in self.parts:
            part.step()
        return loss

    def __setstate__(self, state: dict[str, Any]) -> None:
        """What a checkpoint brings takes the place of groups and state."""
        super().__setstate__(state)
        self._share()

    def _share(self) -> None:
        muon, adamw = self.parts
        muon.state = adamw.state = self.state
        muon.param_groups = [group for group in self.param_groups if "ns_steps" in group]
        adamw.param_groups = [group for group in self.param_groups if "ns_steps" not in group]


def muon(
    model: Any, rate: float, decay: float, decayed: Collection[str] | None = None, *, fused: bool = True
) -> MuonAndAdamW:
    """The optimizer for what of a model is trained. `decayed`: names of the parameters that decay; None: all do."""
    outer = _outer(model)
    matrices, rest = {}, {}
    for name, item in model.named_parameters():
        if item.requires_grad:
            inside = item.ndim == 2 and min(item.shape) > 1 and id(item) not in outer
            (matrices if inside else rest)[name] = item
    parted = [
        [
            {"params": [item for name, item in part.items() if (decayed is None or name in decayed) is falls], **said}
            for falls, said in ((True, {"weight_decay": decay}), (False, {"weight_decay": 0.0}))
        ]
        for part in (matrices, rest)
    ]
    return MuonAndAdamW(parted[0], parted[1], rate, fused)


def _outer(model: Any) -> set[int]:
    """Parameters of embeddings, virtual tokens among them, and of the head."""
    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    embeddings = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    return {id(item) for module in (*ends, *embeddings) if module is not None for item in module.parameters()}
