"""Work spread over processes, its results in order.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar, cast

from backends.native.findings import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 4
"""Results that may wait for their turn, for each process."""
KILLED = "a process that prepares rows was killed, most often for want of memory"


class ElsewhereError(Exception):
    """Where in another process an error came up: the cause of what is raised here."""


def processes() -> int:
    """How many processes this machine has work for."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


def in_order(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """The result of each item, in order. What `work` raises is raised here, in its turn.

    Processes are forked, so that they need not be told what they know already: on Linux only. Less than two items, or
    workers, are worked off here.
    """
    remaining = iter(items)
    first = list(islice(remaining, 2))
    if workers < 2 or len(first) < 2:
        yield from map(work, chain(first, remaining))
        return
    pool = _Pool()
    try:
        pool.start(work, workers)
        yield from pool.results(chain(first, remaining))
    finally:
        pool.close()


class _Pool:
    def __init__(self) -> None:
        self._idle: list[Connection] = []
        self._busy: dict[Connection, int] = {}
        self._processes: list[Any] = []

    def start(self, work: Callable[[Any], Any], workers: int) -> None:
        # What is there already would be looked through for garbage again and again, here and in each worker, and what
        # they share would be copied by that.
        gc.freeze()
        with _deaf():
            for _ in range(workers):
                self._start_one(work)

    def _start_one(self, work: Callable[[Any], Any]) -> None:
        context = get_context("fork")
        ours, theirs = context.Pipe()
        # A later worker holds our ends of the earlier pipes; each ends when the one after it has.
        process = context.Process(target=_serve, args=(work, theirs, ours), daemon=True)
        process.start()
        theirs.close()
        self._idle.append(ours)
        self._processes.append(process)

    def results(self, items: Iterator[Any]) -> Iterator[Any]:
        """As long as a result is awaited that others are ahead of, no more than a few are kept."""
        done: dict[int, Any] = {}
        given = turn = 0
        while True:
            while self._idle and given - turn < AHEAD * len(self._processes):
                try:
                    item = next(items)
                except StopIteration:
                    break
                self._give(item, given)
                given += 1
            if turn == given:
                return
            if turn not in done:
                self._receive(done)
                continue
            found, error, story = done.pop(turn)
            turn += 1
            if error:
                raise error from ElsewhereError(story)
            yield found

    def _give(self, item: Any, number: int) -> None:
        worker = self._idle.pop()
        try:
            worker.send(item)
        except OSError:  # it was killed while it had nothing to do
            raise DataError(KILLED) from None
        self._busy[worker] = number

    def _receive(self, done: dict[int, Any]) -> None:
        for worker in cast("list[Connection]", wait(list(self._busy))):
            try:
                done[self._busy.pop(worker)] = worker.recv()
            except (EOFError, OSError):  # it is gone, before its answer or amid it
                raise DataError(KILLED) from None
            self._idle.append(worker)

    def close(self) -> None:
        for process in self._processes:
            process.kill()  # none has anything to put in order
        for process in self._processes:
            process.join()
        gc.unfreeze()


@contextmanager
def _deaf() -> Generator[None]:
    """Ctrl-C reaches every process of a terminal. The one that asked decides, once all that it forks is known to it;
    what it forks never hears of it."""
    heard: list[int] = []
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is not None
    # A thread of a library may hear what this one is deaf to, and Python would still tell it here.
    handler = signal.signal(signal.SIGINT, lambda number, _: heard.append(number)) if ours else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if ours:
            signal.signal(signal.SIGINT, handler)
        for number in heard[:1]:
            signal.raise_signal(number)


def _serve(work: Callable[[Any], Any], pipe: Connection, ours: Connection) -> None:
    """The life of a worker: it ends when nobody is left to ask it."""
    ours.close()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        try:
            item = pipe.recv()
        except (EOFError, OSError):
            return
        answer = _answer(work, item)
        try:
            pipe.send_bytes(answer)
        except OSError:
            return


def _answer(work: Callable[[Any], Any], item: Any) -> bytes:
    """The result, or the error with its story, ready to be sent."""
    try:
        return pickle.dumps((work(item), None, ""), pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # it is raised where the result is awaited
        story = "\n" + traceback.format_exc()
        try:
            told = pickle.dumps((None, error, story))
            pickle.loads(told)  # noqa: S301 (what was just written)
        except Exception:  # an error that can be told only in words
            told = pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}"), story))
        return told
