"""A run that has ended, found by its folder."""

from __future__ import annotations

import json
import logging
import os
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from compiler.errors import FtcError
from compiler.exit import MISSING, USAGE

NEEDS: Final = ("torch", "transformers", "peft", "safetensors")
SECTIONS: Final = ("model", "method", "data", "output", "derived")
"""Of a plan, which are read here."""
TOKENIZER: Final = "tokenizer_config.json"
ADAPTER: Final = ("adapter_config.json", "adapter_model.safetensors", TOKENIZER)
"""What an adapter cannot be without."""
HINT: Final = "name the folder that the run wrote, outputs/NAME beside the recipe"


class Finished(Struct, frozen=True):
    """`plan` and `summary`: as the run wrote them. It may have been copied to another place since."""

    folder: Path
    plan: dict[str, Any]
    summary: dict[str, Any]

    @property
    def name(self) -> str:
        """The recipe's."""
        return self.plan["name"]

    @property
    def kind(self) -> str:
        """The method."""
        return self.plan["method"]["kind"]

    @property
    def result(self) -> Path:
        """What was trained: an adapter, or the model itself, and the tokenizer with it."""
        return self.folder / ("model" if self.kind == "full" else "adapter")


def find_run(name: str) -> Finished:
    """The run of a folder; `FtcError` where there is none that has ended, or it cannot be loaded here."""
    folder = Path(name)
    if not folder.is_dir():
        raise FtcError(f'there is no folder "{name}"', HINT, USAGE)
    if (folder / "train.py").is_file():
        out = _plan(folder)["output"]["dir"]
        raise FtcError(f'"{name}" is what `ftc build` wrote; its run is in {out}', f"ftc … {out}", USAGE)
    if not (folder / "plan.json").is_file() and (folder.parent / "plan.json").is_file():
        raise FtcError(f'"{name}" is a part of a run', f"name the run: {folder.parent}", USAGE)
    if not (folder / "summary.json").is_file() or not (folder / "plan.json").is_file():
        begun = (folder / "metrics.jsonl").is_file() or (folder / "checkpoints").is_dir()
        why = "a run that has not come to its end" if begun else "no run of the native target"
        raise FtcError(f'"{name}" is {why} (FTC620)', "ftc run RECIPE goes on with it" if begun else HINT, USAGE)
    found = Finished(folder, _plan(folder), _read(folder / "summary.json"))
    if not found.result.is_dir():
        raise FtcError(f'"{found.result}" is gone: there is nothing of this run left (FTC620)', None, USAGE)
    # What is not there would be looked for on the hub, under the folder's name.
    needed = ("config.json", TOKENIZER) if found.kind == "full" else ADAPTER
    if gone := [name for name in needed if not (found.result / name).is_file()]:
        raise FtcError(f'"{found.result}" is damaged: there is no {", ".join(gone)} (FTC620)', None, USAGE)
    return found


def require_packages() -> None:
    """`FtcError` (missing) where models cannot be loaded. To be called before torch is imported, which reads what is
    set here."""
    absent = [name for name in NEEDS if find_spec(name) is None]
    if absent:
        raise FtcError(
            f"a model cannot be loaded here: there is no {', '.join(absent)}", "pip install 'ftc[native]'", MISSING
        )
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # Threads that wait for each other by spinning make a step eight times slower on a CPU that others use too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def _plan(folder: Path) -> dict[str, Any]:
    found = _read(folder / "plan.json")
    if not all(isinstance(found.get(name), dict) for name in SECTIONS) or "name" not in found:
        raise FtcError(f'"{folder / "plan.json"}" is not the plan of a run', None, USAGE)
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise FtcError(f'"{path}" cannot be read: {error}', None, USAGE) from error
    if not isinstance(found, dict):
        raise FtcError(f'"{path}" is not what a run writes', None, USAGE)
    return found  # pyright: ignore[reportUnknownVariableType] (whatever stands in it)
