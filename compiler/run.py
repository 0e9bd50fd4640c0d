"""Starts an artifact's command as a child process and lives as long as it does.

The child has a session of its own, so that Ctrl-C at a terminal reaches it once, through us, and not twice. Linux tells
it to stop where we are killed: nobody would know of it, and a second start would train beside it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final, TextIO

from msgspec import Struct

from backends.native import EXTRAS
from compiler.errors import FtcError
from compiler.exit import MISSING
from schemas.artifact import Artifact

PASSED_ON: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TAIL_BYTES: Final = 8192
TAIL_LINES: Final = 15
WAIT_FOR_STREAM: Final = 2.0
PR_SET_PDEATHSIG: Final = 1
NEEDS: Final = ("torch", "transformers", "peft", "trl", "datasets", "accelerate")
"""Packages without which the native script cannot start; the other targets make an environment of their own."""


class Ended(Struct, frozen=True):
    """How a child ended. `code` as a shell says it: 128 + N after signal N. `signalled`: a signal that we passed on.

    `tail`: its last lines on standard error, or else on standard output; empty where they went straight to a terminal.
    """

    code: int
    signalled: int | None
    tail: tuple[str, ...]


def command(artifact: Artifact) -> list[str]:
    """What to execute in the artifact's folder; `FtcError` (missing) where the tool is not installed, or where other
    machines are to start it too."""
    program, *arguments = artifact.command
    if program == "torchrun" and "--nnodes" in arguments:
        said = shlex.join(artifact.command)
        hint = f"start this on each, in the artifact's folder, with one machine's name for HOST: {said}"
        raise FtcError("the recipe is for several machines, and this is one of them", hint, MISSING)
    if artifact.target == "native":
        _require_extras(artifact)
    # Of this environment, not of whichever comes first on the path.
    started = {"python": (), "python3": (), "torchrun": ("launch.py",)}.get(program)
    if started is not None:
        absent = [name for name in NEEDS if find_spec(name) is None]
        if absent:
            raise _not_installed(f"{sys.executable} has no {', '.join(absent)}")
        return [sys.executable, apart(), *started, *arguments]
    found = shutil.which(program) or shutil.which(program, path=str(Path(sys.executable).parent))
    if found is None:
        raise _not_installed(f'there is no command "{program}"')
    return [found, *arguments]


def _require_extras(artifact: Artifact) -> None:
    """What the plan needs beyond the usual packages: a tracker, an optimizer's library."""
    wanted = [line for line in artifact.files.get("requirements.txt", "").splitlines() if line in EXTRAS.values()]
    absent = [line for line in wanted if not is_installed(line.partition("==")[0])]
    if absent:
        names = ", ".join(line.partition("==")[0] for line in absent)
        hint = f"pip install {shlex.join(absent)}"
        raise FtcError(f"the recipe asks for what is not installed here: {names}", hint, MISSING)


def is_installed(name: str) -> bool:
    """Whether this environment has a distribution of that name."""
    try:
        return bool(distribution(name))
    except PackageNotFoundError:
        return False


def run_child(arguments: Sequence[str], folder: Path) -> Ended:
    """Run to the end, its output passed on as it comes. SIGINT, SIGTERM and SIGHUP are passed on to it and its own."""
    out, err = (None if stream.isatty() else subprocess.PIPE for stream in (sys.stdout, sys.stderr))
    with _Relay() as relay:
        child = subprocess.Popen(  # noqa: S603 (the artifact's own command, no shell)
            arguments,
            cwd=folder,
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=_ending_with_us(),  # noqa: PLW1509 (there are no threads yet)
        )
        relay.watch(child)
        said, failed = _Tail(child.stdout, sys.stdout), _Tail(child.stderr, sys.stderr)
        code = child.wait()
    # Some tools log to standard output, their errors too.
    told = said.lines()
    return Ended(code if code >= 0 else 128 - code, relay.received, failed.lines() or told)


def _ending_with_us() -> Callable[[], None] | None:
    """What a child does before it begins, so that it hears SIGTERM at our death."""
    if sys.platform != "linux":
        return None
    import ctypes

    libc, us = ctypes.CDLL(None), os.getpid()

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != us:  # it was too late to ask
            os.kill(os.getpid(), signal.SIGTERM)

    return ask


def apart() -> str:
    """The folder of the script stays out of the import path, where its files could hide a package."""
    return "-P" if sys.version_info >= (3, 11) else "-I"


def _not_installed(what: str) -> FtcError:
    return FtcError(f"native cannot run here: {what}", "pip install 'ftc[native]'", MISSING)


class _Relay:
    """While entered, signals go to the child instead of ending this process."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Relay:
        # Who ignores SIGHUP, as under nohup, is to outlive the terminal, and so is the child.
        heard = [each for each in PASSED_ON if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._pass_on) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def watch(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child
        if self.received is not None:
            self._send(self.received)

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        self.received = number
        self._send(number)

    def _send(self, number: int) -> None:
        if self._child and self._child.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)


class _Tail:
    """Passes a stream on as it comes, in a thread, and remembers its end."""

    def __init__(self, stream: IO[bytes] | None, sink: TextIO) -> None:
        self._end = b""
        self._sink = sink
        self._thread = threading.Thread(target=self._pump, args=(stream,), daemon=True) if stream else None
        if self._thread:
            self._thread.start()

    def lines(self) -> tuple[str, ...]:
        """The last lines that say something. To be asked when the child has ended."""
        if self._thread:
            # A worker of the child that outlives it may hold the stream open.
            self._thread.join(timeout=WAIT_FOR_STREAM)
        text = self._end.decode(errors="replace").replace("\r", "\n")
        return tuple(line for line in text.splitlines() if line.strip())[-TAIL_LINES:]

    def _pump(self, stream: IO[bytes]) -> None:
        while chunk := os.read(stream.fileno(), TAIL_BYTES):
            self._sink.buffer.write(chunk)
            self._sink.buffer.flush()
            self._end = (self._end + chunk)[-TAIL_BYTES:]
