# pyright: basic
# Strict typing stops at transformers, whose classes are made at run time.
"""Bottleneck adapters: small layers inside each decoder layer, trained while the base stands still.

`houlsby` (Houlsby et al. 2019, arXiv:1902.00751) has one behind attention and one behind the mlp, `pfeiffer` (Pfeiffer
et al. 2021, arXiv:2005.00247) the second alone. Each adds `up(activation(down(x)))` to what its block has made, before
that is added to the residual stream. `up` starts at zero: at first the model is the base. They cannot be merged into
the base's weights, since there is an activation between the two matrices.

To use what was trained, with this file beside you:

    model = load_bottlenecks(AutoModelForCausalLM.from_pretrained(BASE), "adapter")

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
CHECKPOINT = "model.safetensors"
"""What transformers' trainer looks for in a checkpoint."""
KIND = "bottleneck"
ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}
BEHIND = {"houlsby": ("attention", "mlp"), "pfeiffer": ("mlp",)}
BLOCKS = {"attention": ("self_attn", "attn", "attention", "self_attention"), "mlp": ("mlp", "feed_forward", "ffn")}
"""What transformers' models call the two blocks of a layer."""


class BottleneckError(Exception):
    """Why adapters cannot be put on a model or read, in words for its owner."""


class Bottleneck(nn.Module):
    """`x + up(activation(down(x)))`, as wide as `x` (batch, positions, width) outside and `inner` inside."""

    def __init__(self, width: int, inner: int, activation: str) -> None:
        super().__init__()
        self.down, self.up, self.activation = (
            nn.Linear(width, inner),
            nn.Linear(inner, width),
            ACTIVATIONS[activation](),
        )
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """In the type of the input, whatever that of the weights."""
        return hidden + self.up(self.activation(self.down(hidden.to(self.down.weight.dtype)))).to(hidden.dtype)


def add_bottlenecks(base: Any, inner: int, activation: str, placement: str) -> Any:
    """The base with adapters in each layer, in float32, and nothing else of it to be trained. What is saved of it from
    then on are the adapters alone."""
    width = base.config.get_text_config().hidden_size
    base.requires_grad_(False)
    for layer in base.get_decoder().layers:
        for block in BEHIND[placement]:
            adapter = Bottleneck(width, inner, activation).to(next(layer.parameters()).device)
            layer.add_module(f"{block}_adapter", adapter)
            _block(layer, block).register_forward_hook(partial(_through, adapter))
    base.bottleneck = {"kind": KIND, "bottleneck": inner, "activation": activation, "placement": placement}
    base.save_pretrained = partial(_save_checkpoint, base)
    return base


def save_bottlenecks(
    model: Any, folder: str | Path, weights: str = WEIGHTS, state: dict[str, Any] | None = None
) -> None:
    """The adapters alone: their weights, those of `state` where the model has only parts of them, and how they are
    placed."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    items = state.items() if state else model.named_parameters()
    trained = {name: item.detach().cpu().contiguous() for name, item in items if "_adapter." in name}
    save_file(trained, folder / weights, metadata={"format": "pt"})
    about = {**model.bottleneck, "base_model_name_or_path": model.config._name_or_path}
    (folder / CONFIG).write_text(json.dumps(about, indent=2) + "\n", "utf-8")


def load_bottlenecks(base: Any, folder: str | Path) -> Any:
    """The base with the adapters of a folder. `BottleneckError` where they are another model's."""
    about = json.loads((Path(folder) / CONFIG).read_text("utf-8"))
    if about.get("kind") != KIND:
        raise BottleneckError(f'"{folder}" holds no bottleneck adapters')
    model = add_bottlenecks(base, about["bottleneck"], about["activation"], about["placement"])
    saved = load_file(Path(folder) / WEIGHTS)
    wanted = {name: item.shape for name, item in model.named_parameters() if "_adapter." in name}
    if wanted != {name: item.shape for name, item in saved.items()}:
        raise BottleneckError(f'the adapters of "{folder}" are those of another model')
    model.load_state_dict(saved, strict=False)
    return model


def _block(layer: nn.Module, block: str) -> nn.Module:
    found = next((part for name in BLOCKS[block] if (part := getattr(layer, name, None)) is not None), None)
    if found is None:
        raise BottleneckError(f"a layer of this model has no {block} block where adapters would go")
    return found


def _through(adapter: Bottleneck, block: nn.Module, given: Any, made: Any) -> Any:
    """What a block has made, through its adapter. Some blocks give more than the hidden states, those first."""
    del block, given
    return (adapter(made[0]), *made[1:]) if isinstance(made, tuple) else adapter(made)


def _save_checkpoint(model: Any, folder: str | Path, state_dict: dict[str, Any] | None = None, **options: Any) -> None:
    """As transformers' trainer saves a model, and finds it again."""
    del options
    save_bottlenecks(model, folder, CHECKPOINT, state_dict)
