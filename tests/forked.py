"""A process forked from the test, that does its work step by step and stands still where it is told to."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

Step = Callable[[bytes], None]
PATIENCE = 120
"""Seconds after which a process that neither ends nor goes on is given up: it hangs."""


class Forked:
    """A child in a session of its own, with workers of its own.

    Every process of it tells each of its steps by a byte, and takes a permission from the gate before it goes on: it
    stands still after as many steps as there are `permits`. What is told ends when the last of its processes has.
    """

    def __init__(self, work: Callable[[Step], object], permits: int, errors: Path) -> None:
        self.told, telling = os.pipe()
        entry, self.gate = os.pipe()
        self.errors = errors
        os.write(self.gate, bytes(permits))
        self.pid = os.fork()
        if not self.pid:
            self._live(work, telling, entry)
        os.close(telling)
        os.close(entry)

    def _live(self, work: Callable[[Step], object], telling: int, entry: int) -> None:
        code = 1
        try:
            os.setsid()
            os.close(self.gate)
            os.dup2(os.open(self.errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
            signal.signal(signal.SIGINT, signal.default_int_handler)

            def step(name: bytes) -> None:
                os.write(telling, name)
                os.read(entry, 1)

            work(step)
            code = 0
        except KeyboardInterrupt:
            code = 130
        finally:
            os._exit(code)

    def steps(self, count: int) -> bytes:
        """The next steps; fewer where it ends before."""
        found = b""
        while len(found) < count and (more := self._told(count - len(found))):
            found += more
        return found

    def end(self) -> tuple[bytes, int]:
        """Whatever else is told until all its processes are gone, and how the child ended."""
        os.close(self.gate)
        found = b"".join(iter(lambda: self._told(1 << 16), b""))
        os.close(self.told)
        return found, os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self, how: int = signal.SIGKILL) -> None:
        """Only the child itself: its workers are to end by themselves."""
        os.kill(self.pid, how)

    def _told(self, count: int) -> bytes:
        if not select.select([self.told], [], [], PATIENCE)[0]:
            os.killpg(self.pid, signal.SIGKILL)
            raise AssertionError(f"hangs: {self.errors.read_text('utf-8')}")
        return os.read(self.told, count)


def before(name: bytes, step: Step, owner: Any, attribute: str) -> None:
    """Have a function tell a step before it does anything."""
    original = getattr(owner, attribute)

    def stepping(*arguments: Any, **options: Any) -> Any:
        step(name)
        return original(*arguments, **options)

    setattr(owner, attribute, stepping)


def around(name: bytes, step: Step, owner: Any, attribute: str) -> None:
    """Have a function tell a step before, and another when it is done."""
    before(name, step, owner, attribute)
    original = getattr(owner, attribute)

    def stepping(*arguments: Any, **options: Any) -> Any:
        found = original(*arguments, **options)
        step(name)
        return found

    setattr(owner, attribute, stepping)
