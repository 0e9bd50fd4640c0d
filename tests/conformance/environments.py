"""The environments that the other targets' tools live in: they cannot share one.

Each is made from a list of exact versions beside this file, under ~/.cache/ftc/conformance, and kept until the list
changes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Final

from msgspec import Struct

from schemas.artifact import Target

HERE: Final = Path(__file__).resolve().parent
PLACE: Final = Path.home() / ".cache" / "ftc" / "conformance"
ENVIRONMENT: Final = {
    **{name: value for name, value in os.environ.items() if name != "ALLOW_EXTRA_ARGS"},
    "PYTHONPATH": str(HERE / "stubs"),
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "2",
    "AXOLOTL_DO_NOT_TRACK": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_DISABLED": "true",
    "LLAMAFACTORY_VERBOSITY": "ERROR",
    "AXOLOTL_DATASET_NUM_PROC": "0",
}


class Tool(Struct, frozen=True):
    """`folder`: of its environment. `body`: the file of an artifact that it reads."""

    name: Target
    folder: str
    body: str

    @property
    def bin(self) -> Path:
        """Where its Python is."""
        return PLACE / self.folder / "bin"


TOOLS: Final = (
    Tool("axolotl", "ax", "config.yaml"),
    Tool("llamafactory", "lf", "config.yaml"),
    Tool("unsloth", "us", "train.py"),
)

BY_NAME: Final[dict[Target, Tool]] = {tool.name: tool for tool in TOOLS}


def install(tool: Tool) -> None:
    """The tool's environment; torch with what it needs, all else exactly as listed."""
    pins = (HERE / f"{tool.name}.txt").read_text(encoding="utf-8")
    stamp, digest = tool.bin.parent / "installed", sha256(pins.encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return
    print(f"{tool.name}: installing into {tool.bin.parent}", file=sys.stderr)
    if not (tool.bin / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", tool.bin.parent], check=True)
    pip = [tool.bin / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, *re.findall(r"^torch==.*", pins, re.MULTILINE), "setuptools", "wheel"], check=True)
    # DeepSpeed asks for torch while it is built.
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "-r", HERE / f"{tool.name}.txt"], check=True)
    stamp.write_text(digest)
