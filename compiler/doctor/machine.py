"""The machine: Python, cards and their driver, compilers, room on the disk."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from compiler.doctor.child import ask
from compiler.doctor.line import Line
from compiler.hardware import of_driver, this_cpu
from compiler.models import cache_root
from schemas.facts import GIB
from schemas.version import VERSION

GROUP: Final = "this machine"
SMI: Final = "nvidia-smi"
QUERY: Final = ("--query-gpu=name,memory.total,memory.used,driver_version,compute_cap", "--format=csv,noheader,nounits")
SMI_SECONDS: Final = 15.0
TESTED_PYTHON: Final = (3, 11)
NO_DRIVER: Final = f"none to be seen: there is no {SMI}"
FEW_GIB: Final = 20
"""Room below which a warning is due: 16-bit weights of 8 billion parameters are 15 GiB."""


def machine() -> Iterator[Line]:
    """What does not depend on any target."""
    yield _python()
    yield from cards()
    yield _main_memory()
    yield _compilers()
    yield from _disk()


def _python() -> Line:
    said = f"{platform.python_version()} at {sys.executable}, ftc {VERSION}, {platform.system()} {platform.machine()}"
    if sys.version_info < TESTED_PYTHON:
        return Line(GROUP, "Python", "warning", said, "ftc runs with it; the tested packages need Python 3.11 or newer")
    return Line(GROUP, "Python", "ok", said)


def cards() -> list[Line]:
    """The NVIDIA cards, by what their driver says."""
    if shutil.which(SMI) is None:
        return [
            Line(GROUP, "card", "note", NO_DRIVER, "train elsewhere what `ftc build` writes, or on the CPU, slowly")
        ]
    answer = ask((SMI, *QUERY), SMI_SECONDS)
    if answer.failure:
        remedy = "see `nvidia-smi`; a driver that was updated wants a restart, a container wants --gpus all"
        return [Line(GROUP, "card", "warning", f"{SMI} {answer.failure}", remedy)]
    rows = [[field.strip() for field in line.split(",")] for line in answer.out.splitlines() if line.strip()]
    if not rows:
        return [Line(GROUP, "card", "warning", f"{SMI} names none", "see `nvidia-smi -L`")]
    return [_card(row) for row in rows]


def has_card(lines: Iterable[Line]) -> bool:
    """Whether the driver is there, and so probably a card."""
    return any(line.subject == "card" and line.said != NO_DRIVER for line in lines)


def _card(row: list[str]) -> Line:
    """One row of nvidia-smi."""
    if len(row) != 5 or not row[1].isdigit():
        return Line(GROUP, "card", "warning", f"{SMI} says what ftc cannot read: {', '.join(row)[:80]}")
    title, total, used, driver, capability = row
    said = f"{title}, driver {driver}, compute capability {capability}, "
    listed = of_driver(title, int(total) << 20)
    taken = int(used) / 1024 if used.isdigit() else 0.0
    busy = f"; {taken:.1f} GiB of it in use by others now" if taken >= 1 else ""
    if listed is None:
        remedy = f"write `hardware: {{gpu: NAME, memory: {int(total) // 1024}GiB}}` with the name of a like card"
        return Line(GROUP, "card", "note", f"{said}{int(total) / 1024:.1f} GiB, not in ftc's catalog{busy}", remedy)
    said += f"{listed.memory / GIB:.1f} GiB usable, called {listed.name} in recipes{busy}"
    remedy = "write `hardware: {reserve: …}`, or end what uses it" if busy else None
    return Line(GROUP, "card", "warning" if busy else "ok", said, remedy)


def _main_memory() -> Line:
    size = this_cpu().memory
    return Line(GROUP, "memory", "note", f"{size / GIB:.1f} GiB main memory" if size else "its size is not to be seen")


def _compilers() -> Line:
    """Triton compiles a launcher for its kernels with the C compiler, at first use."""
    named = os.environ.get("CC", "").split()[:1]
    found = next((path for name in (*named, "gcc", "clang", "cc") if (path := shutil.which(name))), None)
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    absent = [what for what, there in (("C compiler", found), (str(header), header.is_file())) if not there]
    if not absent:
        return Line(GROUP, "compiler", "ok", f"{found}, with Python's headers: what triton needs")
    remedy = "needed on a card for compile: true, Liger and Unsloth: apt-get install gcc python3-dev, or your system's"
    return Line(GROUP, "compiler", "note", f"no {', no '.join(absent)}", remedy)


def _disk() -> Iterator[Line]:
    """Where runs, and where models are kept."""
    for subject, folder in (("disk here", Path.cwd()), ("hub cache", cache_root())):
        place = next((path for path in (folder, *folder.parents) if path.is_dir()), Path("/"))
        try:
            free = shutil.disk_usage(place).free / GIB
        except OSError as error:
            yield Line(GROUP, subject, "warning", f"{folder}: {error.strerror}")
            continue
        writable = os.access(place, os.W_OK)
        said = f"{free:.0f} GiB free at {folder}" + ("" if writable else ", which cannot be written")
        remedy = "free some, or name another place" + (" by HF_HOME" if subject == "hub cache" else " by output.dir")
        low = free < FEW_GIB or not writable
        yield Line(GROUP, subject, "warning" if low else "ok", said, remedy if low else None)
