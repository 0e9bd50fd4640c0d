"""What does not go together with a launcher, at the lines of the recipe."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from backends.launchers.base import Starter
from compiler.launching.moving import carried, rows
from schemas.diagnostic import Finding
from schemas.plan import Plan
from schemas.recipe import Recipe

NO_CARD: Final = "FTC450"
ELSEWHERE: Final = "FTC452"
ANEW: Final = "FTC453"
NO_MOUNT: Final = "FTC454"
MIB: Final = 1 << 20
MOUNTED: Final = re.compile(r"(/(?!\.\.?(/|$))[\w.@%+=-]+)+", re.ASCII)
"""Where storage can be mounted: not on the whole disk, and by letters that no shell and no tool reads otherwise."""


def wrong_for(starter: Starter, plan: Plan, recipe: Recipe) -> Iterator[Finding]:
    """All of it. A warning where a run that is interrupted would be lost."""
    yield from _no_card(starter, plan)
    yield from starter.losses(plan)
    if starter.STORE is not None:
        yield from _not_there(starter, plan)
        yield from _no_mount(starter, recipe.output.dir)
    yield from _begins_anew(starter, plan)


def _no_card(starter: Starter, plan: Plan) -> Iterator[Finding]:
    if plan.gpu is None:
        message = f"{starter.TITLE} is to be asked for GPUs, and the recipe names none"
        yield Finding(NO_CARD, "hardware.gpu", message, "name one: `ftc gpus` lists them")
    elif plan.gpu.is_cpu:
        message = f"{starter.TITLE} is to be asked for GPUs, and the recipe is for a cpu"
        yield Finding(NO_CARD, "hardware.gpu", message, "name a GPU, or build without --launcher")


def _not_there(starter: Starter, plan: Plan) -> Iterator[Finding]:
    """What lies on this machine and cannot be taken along."""
    resume = plan.checkpoint.resume
    if resume not in ("auto", "never"):
        message = f'{starter.TITLE}\'s machines do not see "{resume}"'
        hint = "write auto: a run goes on from its own newest checkpoint"
        yield Finding(ELSEWHERE, "checkpoint.resume", message, hint)
    if starter.CARRIES is None:
        return
    base, data = (sum(path.stat().st_size for path in _paths(part)) for part in (carried(plan), rows(plan)))
    if base + data > starter.CARRIES:
        leaf, what = ("model.base", base) if base > data else ("data.train", data)
        message = f"{starter.TITLE} takes along at most {starter.CARRIES // MIB} MiB, and this is {what // MIB} MiB"
        yield Finding(ELSEWHERE, leaf, message, "put it on the hub, and name it there")


def _no_mount(starter: Starter, folder: str) -> Iterator[Finding]:
    written = PurePosixPath(folder)
    if written.is_absolute() and not MOUNTED.fullmatch(str(written)):
        message = f"{starter.TITLE} mounts storage at output.dir, and {str(written)!r} is no place for that"
        hint = "write a folder below /, in letters, digits and . _ - @ % + ="
        yield Finding(NO_MOUNT, "output.dir", message, hint)


def _paths(part: Iterator[tuple[str, Path]]) -> set[Path]:
    return {path for _, path in part}


def _begins_anew(starter: Starter, plan: Plan) -> Iterator[Finding]:
    """A run that is stopped in the middle, as these machines do to runs. Of checkpoints of weights alone it is said for
    every run."""
    checkpoint = plan.checkpoint
    anew = f"a run that {starter.TITLE} has to start again begins anew"
    if checkpoint.resume == "never":
        yield Finding(ANEW, "checkpoint.resume", f"{anew}: resume is never", "write auto", level="warning")
    elif checkpoint.every is None:
        message = f"{anew}: nothing is saved before its end"
        yield Finding(ANEW, "checkpoint.every", message, "write epoch, or a number of steps", level="warning")
