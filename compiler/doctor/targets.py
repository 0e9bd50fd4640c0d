"""What each target needs, and what of it is here. Other environments than this one are not searched."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import backends
from backends import load
from compiler.doctor.child import ask
from compiler.doctor.line import Line
from compiler.run import NEEDS
from schemas.artifact import Target

ROOM: Final = Path(backends.__file__).parent
PYTHON_SECONDS: Final = 20.0
ABLE: Final = "import sys, venv, ensurepip; print('.'.join(map(str, sys.version_info[:2])))"
PINNED_FOR: Final = (3, 11)


def target(name: Target, wanted: str | None) -> list[Line]:
    """`wanted`: another version of its tool than the tested."""
    return list(_native() if name == "native" else _tool(name, wanted))


def pins(name: Target, wanted: str | None) -> dict[str, str]:
    """Package → tested version, as the artifact pins them."""
    file = f"{name}-{wanted}.txt" if wanted else f"{name}.txt"
    path = ROOM / "native" / "requirements.txt" if name == "native" else ROOM / "requirements" / file
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return {pin.partition("==")[0]: pin.partition("==")[2] for pin in lines if "==" in pin}


def _native() -> Iterator[Line]:
    """Trains in this environment."""
    for package, tested in pins("native", None).items():
        yield _package("native", package, tested, needed=package in NEEDS)


def _package(group: str, package: str, tested: str, *, needed: bool) -> Line:
    here = _version(package)
    if here is None:
        status = "missing" if needed else "note"
        return Line(group, package, status, f"not installed; tested with {tested}", "pip install 'ftc[native]'")
    if here.partition("+")[0] == tested:
        return Line(group, package, "ok", f"{here}, as tested")
    return Line(group, package, "warning", f"{here}; tested with {tested}", f"pip install {package}=={tested}")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _tool(name: Target, wanted: str | None) -> Iterator[Line]:
    """Trains in an environment that its `run.sh` makes from pins, or in the one that VENV names."""
    package = load(name).VERSION.partition("==")[0]
    pinned = pins(name, wanted)
    tested, here = pinned[package], _version(package)
    yield Line(name, package, "note", f"run.sh pins {tested}; " + (f"{here} is here" if here else "none is here"))
    named = os.environ.get("VENV")
    yield _named(name, named) if named else _maker(name)
    shell = shutil.which("sh")
    yield Line(name, "sh", "ok" if shell else "missing", shell or "there is none, and run.sh needs one")


def _named(group: str, folder: str) -> Line:
    python = Path(folder) / "bin" / "python"
    if os.access(python, os.X_OK):
        return Line(group, "environment", "ok", f"VENV names {folder}, which is not looked into")
    return Line(group, "environment", "missing", f"VENV={folder} has no bin/python", "unset VENV, or name another")


def _maker(group: str) -> Line:
    """The Python that will make the environment."""
    python = os.environ.get("PYTHON") or "python3"
    if shutil.which(python) is None:
        return Line(group, "environment", "missing", f"there is no {python} to make one with", "PYTHON=… names another")
    answer = ask((python, "-c", ABLE), PYTHON_SECONDS)
    if answer.failure:
        remedy = "apt-get install python3-venv, or your system's; PYTHON=… names another"
        return Line(group, "environment", "missing", f"{python} cannot make one: it {answer.failure}", remedy)
    found = tuple(int(part) for part in answer.out.split(".") if part.isdigit())
    said = f"none yet; {python} ({answer.out}) can make one, which downloads some 7 GB"
    if found < PINNED_FOR:
        return Line(group, "environment", "warning", said, "the pins were resolved for Python 3.11: PYTHON=… names one")
    return Line(group, "environment", "ok", said)
