"""Traces of cases, made once: each recording is kept in `bench/.cache`, by the case, the trace's code and versions.

A case that ends in an error or over its time is kept too, with the reason, and tried again with `--again`.
"""

from __future__ import annotations

import signal
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bench.memory_cases import BENCH, Case, config_of, plan_of
from compiler.memory.stacks import profile
from compiler.trace.recording import Recording
from schemas.footprint import Stack

CACHE: Final = BENCH / ".cache"
TRACE: Final = BENCH.parent / "compiler" / "trace"
DECIDING: Final = (
    *(TRACE / f"{name}.py" for name in ("kernels", "flash", "model", "offloaded", "optimizers", "quantised")),
    *(TRACE / f"{name}.py" for name in ("recorder", "recording", "run", "step")),
    BENCH.parent / "backends" / "native" / "model.py",
)
"""Files that decide what is recorded, beside the facts of the stack. (What a trace takes of `compiler.memory` besides,
the shape of a batch and whether there is autocast, is not among them: those files change with every touch of the
formula.)"""
LIBRARIES: Final = ("torch", "transformers", "peft", "trl", "accelerate", "bitsandbytes")
LIMIT: Final = 240
"""Seconds that one trace may take."""


class Traced(Struct, frozen=True):
    """What came of a case: the file of its recording, or why there is none. `code`: a hash of the trace's own;
    `seconds`: what it took."""

    case: Case
    key: str
    code: str
    seconds: float
    refused: str | None

    @property
    def file(self) -> Path:
        """Where its recording is."""
        return CACHE / "recordings" / f"{self.key}.msgpack.z"


def traces(cases: Sequence[Case], *, workers: int, again: bool = False, stale: bool = False) -> Iterator[Traced]:
    """Each case's trace, in any order: those that are there first, then the others as they end.

    `again`: also those that could not be traced. `stale`: take those that older code of the trace made.
    """
    (CACHE / "recordings").mkdir(parents=True, exist_ok=True)
    (CACHE / "traced").mkdir(exist_ok=True)
    missing: list[Case] = []
    for case in cases:
        known = _known(case)
        fresh = known is not None and (stale or known.code == _code(case.stack))
        if known is None or not fresh or (again and known.refused):
            missing.append(case)
        else:
            yield known
    if not missing:
        return
    with get_context("spawn").Pool(workers, maxtasksperchild=25) as pool:
        yield from pool.imap_unordered(_trace, missing)


def recording_of(traced: Traced) -> Recording:
    """The recording of a traced case."""
    return msgspec.msgpack.decode(zlib.decompress(traced.file.read_bytes()), type=Recording)


@cache
def _code(stack: Stack) -> str:
    """A hash of what decides a trace of this stack."""
    facts = replace(profile(stack), title="", version="", expandable_segments=False, sources={})
    found = sha256(msgspec.json.encode(facts))
    for path in DECIDING:
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


@cache
def _versions() -> bytes:
    return ",".join(f"{name}=={version(name)}" for name in LIBRARIES).encode()


def _key(case: Case) -> str:
    return sha256(msgspec.json.encode(case) + _versions()).hexdigest()[:24]


def _note(key: str) -> Path:
    return CACHE / "traced" / f"{key}.json"


def _known(case: Case) -> Traced | None:
    path = _note(_key(case))
    return msgspec.json.decode(path.read_bytes(), type=Traced) if path.exists() else None


class _TooLongError(Exception):
    pass


def _stop(*_: object) -> None:
    raise _TooLongError


def _trace(case: Case) -> Traced:
    """In a process of the pool."""
    import transformers

    transformers.logging.set_verbosity_error()
    signal.signal(signal.SIGALRM, _stop)
    code = _code(case.stack)  # before anything is imported that may change meanwhile
    start = perf_counter()
    signal.alarm(LIMIT)
    try:
        refused = _record(case)
    except _TooLongError:
        refused = f"took more than {LIMIT} s"
    finally:
        signal.alarm(0)
    traced = Traced(case, _key(case), code, perf_counter() - start, refused)
    _note(traced.key).write_bytes(msgspec.json.encode(traced))
    return traced


def _record(case: Case) -> str | None:
    from compiler.trace.run import record

    try:
        recording = record(plan_of(case), case.stack, config_of(case))
    except _TooLongError:
        raise
    except Exception as error:  # any fault of a library is a reason, and is shown
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    packed = zlib.compress(msgspec.msgpack.encode(recording), 6)
    (CACHE / "recordings" / f"{_key(case)}.msgpack.z").write_bytes(packed)
    return None
