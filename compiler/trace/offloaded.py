# pyright: basic
# Strict typing stops at torch's hooks, which are untyped.
"""Activations in main memory: what TRL's offloading (1.16, models/activation_offloading.py) leaves on the card.

A saved tensor that is no parameter and no smaller than a KiB is copied away. It stays for as long as the next few are
saved after it, and comes back as a new tensor for its step of the backward pass. The head keeps its own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import torch
from torch.autograd.graph import saved_tensors_hooks

from compiler.trace.model import bare_model

LEAST: Final = 1024
"""Bytes from which a tensor is worth moving: TRL's min_offload_size."""
STASH: Final = 5
"""Tensors that may still be on their way: TRL's max_fwd_stash_size."""


class _Away:
    """A tensor in main memory."""

    def __init__(self, tensor: torch.Tensor, number: int) -> None:
        self.shape, self.stride, self.dtype, self.number = tensor.shape, tensor.stride(), tensor.dtype, number


class Offloading:
    """Moves what one forward pass saves. `model`: its parameters stay where they are."""

    def __init__(self, model: Any) -> None:
        self._parameters = {_key(item) for item in model.parameters()}
        self._stash: OrderedDict[int, torch.Tensor] = OrderedDict()
        self._returned: list[torch.Tensor] = []
        self._saved = 0
        self._step: Any = None
        self._head: torch.nn.Module = bare_model(model).get_output_embeddings()

    @contextmanager
    def moving(self) -> Iterator[None]:
        """For a forward pass: what it saves is moved, but for what the head saves."""
        outside: list[ExitStack] = []
        handles = [
            self._head.register_forward_pre_hook(lambda *_: outside.append(_staying())),
            self._head.register_forward_hook(lambda *_: outside.pop().close(), always_call=True),
        ]
        self._stash.clear()
        self._saved = 0
        try:
            with saved_tensors_hooks(self._pack, self._unpack):
                yield
        finally:
            for handle in handles:
                handle.remove()

    def done(self) -> None:
        """After the backward pass: nothing is on its way."""
        self._returned.clear()
        self._stash.clear()
        self._step = None

    def _pack(self, tensor: torch.Tensor) -> Any:
        self._saved += 1
        on_its_way = any(_key(item) == _key(tensor) for item in self._stash.values())
        small = tensor.numel() * tensor.element_size() < LEAST
        if small or on_its_way or isinstance(tensor, torch.nn.Parameter) or _key(tensor) in self._parameters:
            return tensor
        whole = tensor.is_contiguous() and tensor.storage_offset() == 0
        moved = tensor if whole or 0 in tensor.stride() else tensor.clone(memory_format=torch.contiguous_format)
        for number in [item for item in self._stash if item <= self._saved - STASH]:
            del self._stash[number]
        self._stash[self._saved] = moved
        return _Away(moved, self._saved)

    def _unpack(self, kept: Any) -> torch.Tensor:
        if not isinstance(kept, _Away):
            return kept
        node = torch._C._current_autograd_node()
        if node is not self._step:
            # What came back for the step before is let go after this one has begun.
            self._step = node
            self._returned.clear()
        if kept.number in self._stash:
            return self._stash[kept.number]
        self._stash.clear()
        tensor = torch.empty_strided(kept.shape, kept.stride, dtype=kept.dtype)
        self._returned.append(tensor)
        return tensor


def _staying() -> ExitStack:
    stack = ExitStack()
    stack.enter_context(saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor))
    return stack


def _key(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata
