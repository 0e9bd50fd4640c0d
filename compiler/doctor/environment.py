"""torch and bitsandbytes of this environment, asked in a child process."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from compiler.doctor import probe
from compiler.doctor.child import ask
from compiler.doctor.line import Line
from compiler.doctor.targets import pins
from compiler.run import apart

GROUP: Final = "this environment"
SECONDS: Final = 90.0
"""The first import of torch on a slow disk takes half a minute."""
DRIVERS: Final = {11: 450, 12: 525, 13: 580}
"""CUDA's major version → the oldest driver that runs it (NVIDIA, "CUDA Compatibility", minor version compatibility)."""


def environment(*, card: bool) -> Iterator[Line]:
    """`card`: whether the driver knows of one."""
    if find_spec("torch") is None:
        yield Line(GROUP, "torch", "note", "not installed", "native needs it: pip install 'ftc[native]'")
        return
    answer = ask((sys.executable, apart(), "-W", "ignore", str(Path(probe.__file__))), SECONDS)
    found = _found(answer.out)
    if found is None:
        said = f"{_installed('torch')} is installed, and its import {answer.failure or 'said nothing'}"
        remedy = f"install it anew: pip install --force-reinstall torch=={pins('native', None)['torch']}"
        yield Line(GROUP, "torch", "missing", said, remedy)
        return
    yield _torch(found, card=card)
    yield _bitsandbytes(found)


def _found(out: str) -> dict[str, Any] | None:
    said = next((line for line in out.splitlines() if line.startswith(probe.MARK)), None)
    return None if said is None else json.loads(said.removeprefix(probe.MARK))


def _torch(found: dict[str, Any], *, card: bool) -> Line:
    cuda, hip = found["cuda"], found["hip"]
    built = f"for CUDA {cuda}" if cuda else f"for ROCm {hip}" if hip else "for the CPU alone"
    said = f"{found['torch']}, built {built}"
    if found["sees"]:
        return _of_card(found, said)
    if not card:
        return Line(GROUP, "torch", "ok", f"{said}; there is no card to see")
    if not cuda:
        return Line(
            GROUP, "torch", "warning", f"{said}: it will not use the card", "pip install torch from a CUDA index"
        )
    oldest = DRIVERS.get(int(str(cuda).partition(".")[0]))
    needs = f"CUDA {cuda} needs driver {oldest} or newer: " if oldest else ""
    remedy = f"{needs}update the driver, or install torch for an older CUDA; see CUDA_VISIBLE_DEVICES too"
    return Line(GROUP, "torch", "warning", f"{said}, and does not see the card", remedy)


def _of_card(found: dict[str, Any], said: str) -> Line:
    major, minor = found["capability"]
    if found["arches"] and not has_code(found["arches"], major, minor):
        remedy = f"install a torch that is built for compute capability {major}.{minor}"
        return Line(GROUP, "torch", "warning", f"{said}, holds no code for this card", remedy)
    if found["adds"] != "works":
        remedy = "see `nvidia-smi`: others may hold its memory, or its driver may be too old for this torch"
        return Line(
            GROUP, "torch", "warning", f"{said}, sees the card and cannot compute on it: {found['adds']}", remedy
        )
    return Line(GROUP, "torch", "ok", f"{said}; it sees the card and computes on it")


def has_code(arches: list[str], major: int, minor: int) -> bool:
    """Code runs on cards of the same major number that are not older; PTX on any that is not older. ROCm's names are
    other ones, and are not judged."""
    for arch in arches:
        kind, _, number = arch.partition("_")
        digits = "".join(char for char in number if char.isdigit())
        if kind not in ("sm", "compute") or not digits:
            return True
        theirs = int(digits[:-1] or 0), int(digits[-1])
        if theirs <= (major, minor) and (kind == "compute" or theirs[0] == major):
            return True
    return False


def _bitsandbytes(found: dict[str, Any]) -> Line:
    if find_spec("bitsandbytes") is None:
        remedy = "qlora and 8-bit optimizers need it: pip install 'ftc[native]'"
        return Line(GROUP, "bitsandbytes", "note", "not installed", remedy)
    said = _installed("bitsandbytes")
    works = found.get("bitsandbytes")
    if works is None:
        return Line(GROUP, "bitsandbytes", "note", f"{said}; not tried, as torch sees no card")
    if works == "works":
        return Line(GROUP, "bitsandbytes", "ok", f"{said}; quantises to 4 bit on the card")
    remedy = "run `python -m bitsandbytes`, which says what its CUDA library lacks"
    return Line(GROUP, "bitsandbytes", "warning", f"{said} does not work on the card: {works}", remedy)


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "an unknown version"
