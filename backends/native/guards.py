# pyright: basic
# Strict typing stops at transformers, whose callbacks take untyped keywords.
"""What ends a run before its end: somebody stops it, the loss is no number any more, or a file cannot be read on.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from transformers import TrainerCallback

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHOWN = 120
"""Characters of a batch that are quoted."""
REMEDY = (
    "Checkpoints are from before, and the newest would lead here again. Lower training.learning_rate or "
    "training.max_grad_norm, or look at the rows with ftc data; then train anew with --fresh, or from a "
    "checkpoint by naming it in checkpoint.resume"
)


class StoppedError(Exception):
    """The run was stopped from outside. `number`: the signal's; `step`: the last one, after which it was saved; `then`:
    what another start does."""

    def __init__(self, number: int, step: int, then: str) -> None:
        super().__init__(f"stopped after step {step}, which is saved; {then}")
        self.number, self.step = number, step


class LossError(Exception):
    """The loss is no number: what was learnt since the newest checkpoint is lost."""


class Later:
    """A small value of the device, on its way to main memory without anybody waiting for it."""

    def __init__(self, value: torch.Tensor) -> None:
        self._value, self._event = value, None
        if value.is_cuda:
            self._value = torch.empty_like(value, device="cpu", pin_memory=True).copy_(value, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def there(self) -> bool:
        """Whether it has come."""
        return self._event is None or self._event.query()

    def read(self) -> torch.Tensor:
        """The value; waits for it."""
        if self._event is not None:
            self._event.synchronize()
        return self._value


class Stopper(TrainerCallback):
    """Lets the step that is being taken come to its end and be saved. At a second Ctrl-C it stops at once; other
    signals often come twice, to the process and through the one that started it.

    Several processes agree by telling each other at the end of a step what they have heard, and look at that at the end
    of the next: all end after the same one, and none waits for its card.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._heard = 0
        self._told: Later | None = None
        self._before: dict[int, Any] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            # Who ignores a signal, as SIGHUP under nohup, goes on doing so; SIGINT is ours by now.
            heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._hear) for number in heard}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.asked = self._by_all(args, wait=False)
        if self.asked is not None:
            control.should_save = control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # The last step is taken. Where it was not saved either, its result is, whoever wants to stop.
        if self.asked is None and args.save_strategy != "no":
            self.asked = self._by_all(args, wait=True)

    def _by_all(self, args: Any, *, wait: bool) -> int | None:
        """What any process has heard: by now where it is waited for, or else by the end of the step before."""
        if args.world_size == 1:
            return self._heard or None
        before, heard = self._told, torch.full((1,), self._heard, device=args.device)
        torch.distributed.all_reduce(heard, torch.distributed.ReduceOp.MAX)
        self._told = Later(heard)
        told = self._told if wait else before
        return int(told.read()) or None if told else None

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # The epoch was left, and has not ended.
        if self.asked is not None and not float(state.epoch).is_integer():
            control.should_save = control.should_evaluate = False

    def close(self) -> None:
        """Signals are heard as before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:
        again, self._heard = self._heard == number == signal.SIGINT, number
        if again:
            self.close()
            raise KeyboardInterrupt


@contextmanager
def reading_from(folder: Path) -> Iterator[None]:
    """While entered, a file that is cut short or cannot be read ends the process in words. Rows are read as memory,
    through a map of their files, so that the system tells it by a signal, which Python itself could only die of."""
    said = (
        f"error: a file that is trained on cannot be read any more, most likely one in {folder}: it was cut short, "
        "or the disk fails. Start it again: rows that are damaged are prepared anew, and it goes on from the newest "
        "checkpoint\n"
    ).encode()

    def tell(_: int) -> None:
        os.write(2, said)
        os._exit(1)

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(tell)
    libc = ctypes.CDLL(None)
    libc.signal.restype, libc.signal.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
    before = libc.signal(signal.SIGBUS, ctypes.cast(handler, ctypes.c_void_p))
    try:
        yield
    finally:
        libc.signal(signal.SIGBUS, before)


class LossWatch:
    """Looks at every loss without waiting for the device: at each as soon as it is there, at the latest when asked to
    wait, before something is saved that could be broken."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._pending: deque[tuple[Later, int, torch.Tensor]] = deque()

    def add(self, loss: torch.Tensor, step: int, inputs: dict[str, Any]) -> None:
        """A loss of this step. Raises `LossError` where an earlier one is not finite."""
        ids = next(value for name, value in inputs.items() if name.endswith("input_ids"))
        self._pending.append((Later(loss.detach()), step, ids[0]))
        self.look()

    def look(self, *, wait: bool = False) -> None:
        """`LossError` where one of those that are there is not finite, with its step and the words its rows begin with.
        `wait`: until all are."""
        while self._pending and (wait or self._pending[0][0].there()):
            later, step, ids = self._pending.popleft()
            value = later.read()
            if not torch.isfinite(value).all():
                said = self._tokenizer.decode(ids, skip_special_tokens=True)[:SHOWN]
                raise LossError(
                    f"the loss of step {step} is {value.item()}, and nothing is learnt of it; its batch begins with "
                    f"{said!r}. {REMEDY}"
                )


def require_numbers(model: Any, step: int) -> None:
    """`LossError` where a step has made what is trained no number, though its loss was one: gradients overflow first,
    and the next loss would tell it too late for what is saved now."""
    for name, weight in model.named_parameters():
        own = weight.detach()
        own = own.to_local() if hasattr(own, "to_local") else own  # of weights that are parted each looks at its part
        if weight.requires_grad and own.numel() and not torch.linalg.vector_norm(own, float("inf")).isfinite():
            raise LossError(
                f"step {step} left {name} with values that are no numbers, though its loss was one: its gradients were "
                f"too large for their type. {REMEDY}"
            )
