"""Turns what was typed for a base and for a card into facts, or says what was probably meant."""

from __future__ import annotations

from os.path import relpath
from pathlib import Path

from compiler.errors import FtcError
from compiler.exit import MISSING, USAGE
from compiler.hardware import GpuProblem, find_gpu, this_cpu
from compiler.models import ModelNotFound, find_model
from schemas.facts import GIB, Gpu, ModelFacts


def base_facts(typed: str) -> ModelFacts:
    """Facts of a base, seen from the working folder; `FtcError` (missing) where there is none, its hint what was
    probably meant."""
    found = find_model(typed, Path.cwd())
    if isinstance(found, ModelNotFound):
        hint = f'did you mean "{found.suggestion}"?' if found.suggestion else "`ftc models` lists those known by name"
        raise FtcError(f'base model "{typed}" was not found. Tried: {"; ".join(found.tried)}', hint, MISSING)
    return found


def base_seen_from(typed: str, facts: ModelFacts, folder: Path) -> str:
    """The base as a recipe in that folder names it: by its hub id, or as a folder."""
    if facts.origin != "folder":
        return facts.hub_id or typed
    if typed.startswith("~") or Path(typed).is_absolute():
        return typed
    path = relpath(typed, folder).replace("\\", "/")
    return path if path.startswith(".") else f"./{path}"


def card(typed: str) -> Gpu:
    """A card of the catalog; `FtcError` (usage) with what was probably meant. `cpu` has this machine's main memory."""
    found = find_gpu(typed)
    if isinstance(found, GpuProblem):
        raise FtcError(found.message, found.hint or "`ftc gpus` lists the known ones", USAGE)
    return this_cpu() if found.is_cpu else found


def main_memory(gpu: Gpu) -> str | None:
    """How a recipe for a CPU says what there is; None for a card, whose memory the catalog knows."""
    return f"{gpu.memory // GIB}GiB" if gpu.is_cpu and gpu.memory >= GIB else None
