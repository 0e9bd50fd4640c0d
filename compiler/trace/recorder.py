# pyright: basic, reportPrivateImportUsage=false
# Strict typing stops at torch's dispatcher, whose arguments are untyped.
"""Listens to every operator of a run on fake tensors: what it allocates, when that is freed, and which module asked.

Sizes are those of storages, in bytes: views share one. Nothing is computed.
"""

from __future__ import annotations

import weakref
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from peft import PeftModel
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from compiler.trace.recording import Allocation, Recording

WALKING: Final = ("step", "eval")
"""Phases in which modules are at work."""

Emulated = Callable[..., Any]
EMULATED: Final[dict[Any, Emulated]] = {}
"""Operators that need an answer where there is no data, or that take another path on CUDA: see `kernels`."""


class Recorder(TorchDispatchMode):
    """Records while it is active. `phase` is set by whoever drives the run.

    `answer`: what a question about data (`.all()`, `.item()`) gets: 0 where some positions are padding.
    """

    answer = 1

    def __init__(self) -> None:
        super().__init__()
        self.recording = Recording([], [], [])
        self._phase = "load"
        self._known: dict[int, int] = {}
        self._modules = _Modules()

    @property
    def phase(self) -> str:
        """What the run is doing."""
        return self._phase

    @phase.setter
    def phase(self, name: str) -> None:
        self._phase = name
        self.recording.marks.append((len(self.recording.events), name))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        emulated = EMULATED.get(func)
        if emulated is not None:
            result = emulated(self, func, *args, **(kwargs or {}))
        else:
            result = func(*args, **(kwargs or {}))
        self.note(result, func)
        return result

    def note(self, result: Any, func: Any) -> None:
        """Record what an operator gave back, where it is new."""
        if isinstance(result, torch.Tensor):
            self._add(result, func)
        elif isinstance(result, tuple | list):
            for item in result:
                self.note(item, func)

    def hold(self, tensor: torch.Tensor, part: str, name: str) -> None:
        """Say what a tensor is, and which module's, one that was there before recording too. `name`: a parameter's."""
        if not tensor.untyped_storage().nbytes():
            return
        self._add(tensor, None)
        allocation = self.recording.allocations[self._known[_key(tensor)]]
        allocation.part, allocation.module = part, plain(name).rpartition(".")[0]

    @contextmanager
    def following(self, model: torch.nn.Module) -> Iterator[None]:
        """Know which module is at work."""
        with self._modules.following(model):
            yield

    def _add(self, tensor: torch.Tensor, func: Any) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()
        if not size:
            return
        number = len(self.recording.allocations)
        self._known[key] = number
        self.recording.allocations.append(
            Allocation(
                size=size,
                op=str(func) if func is not None else "",
                module=self._modules.current() if self._phase in WALKING else "",
                dtype=str(tensor.dtype).removeprefix("torch."),
                shape=tuple(tensor.shape),
                phase=self._phase,
            )
        )
        self.recording.events.append(number)
        weakref.finalize(storage, self._free, key, number)

    def _free(self, key: int, number: int) -> None:
        if self._known.pop(key, None) is not None:
            self.recording.events.append(-number - 1)


def _key(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata


class _Modules:
    """Which module is at work: in the forward pass the one entered last, in the backward pass the one that made the
    node of the graph that is walked through, known by the node's number."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._stack: list[tuple[int, str]] = []
        self._numbers: list[int] = [0]
        self._at: list[str] = [""]

    def current(self) -> str:
        node = torch._C._current_autograd_node()
        if node is None or torch.is_grad_enabled():
            return self._stack[-1][1] if self._stack else ""
        return self._at[bisect_right(self._numbers, node._sequence_nr()) - 1]

    @contextmanager
    def following(self, model: torch.nn.Module) -> Iterator[None]:
        self._names = {id(module): plain(name) for name, module in model.named_modules()}
        if isinstance(model, PeftModel):
            self._names[id(model)] = "peft"  # what PEFT does before the model: virtual tokens
        handles = [register_module_forward_pre_hook(self._enter), register_module_forward_hook(self._leave)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._stack.clear()

    def _enter(self, module: torch.nn.Module, _inputs: Any) -> None:
        self._stack.append((id(module), self._names.get(id(module), "")))
        self._mark()

    def _leave(self, module: torch.nn.Module, _inputs: Any, _output: Any) -> None:
        # Recomputation ends as soon as it has what it needs: modules it was inside of never leave.
        while self._stack and self._stack.pop()[0] != id(module):
            pass
        self._mark()

    def _mark(self) -> None:
        number = torch.autograd._get_sequence_nr()
        name = self._stack[-1][1] if self._stack else ""
        if number == self._numbers[-1]:
            self._at[-1] = name
        else:
            self._numbers.append(number)
            self._at.append(name)


def plain(name: str) -> str:
    """A module's name without what PEFT puts around the model."""
    for prefix in ("base_model.model", "base_model"):
        if name == prefix or name.startswith(f"{prefix}."):
            return name.removeprefix(prefix).removeprefix(".")
    return name
