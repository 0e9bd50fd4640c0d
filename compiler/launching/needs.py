"""What the plan asks of the machines that it is started on: cores, main memory and disk, each with its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec.structs import replace

from backends.alike import all_sources
from backends.native.files import local_files
from backends.native.findings import DataError
from compiler.duration.estimate import estimate
from compiler.memory import weigh
from schemas.facts import GIB
from schemas.footprint import Footprint
from schemas.launch import PACKAGES, Needs, Part
from schemas.plan import Plan

CORES: Final = 4
"""Of each card: its process, its communication, and those that prepare rows. The smallest machines of clouds have as
many."""
MARGIN: Final = 1.25
"""What the main memory of the plan is multiplied by: some goes to the system and to files that are read."""
ENVIRONMENT: Final = 12 * GIB
"""An environment with torch and CUDA's libraries, twice while it is made: about 6 GiB each."""
UNSEEN_ROWS: Final = 10 * GIB
"""Allowed for rows of the hub, whose size is not known here."""
COPIES: Final = 3
"""Rows lie there as they are, prepared, and once more while they are prepared."""
HALF: Final = 2
"""Bytes of a 16-bit weight."""


def needs(plan: Plan, footprint: Footprint) -> Needs:
    """All of it, for each machine. `ValueError` where the plan is for no card, which is refused before."""
    if plan.gpu is None:
        raise ValueError("no card to ask for")
    return Needs(
        gpu=plan.gpu,
        nodes=plan.hardware.nodes,
        count=plan.hardware.count,
        cores=CORES * plan.hardware.count,
        memory=int(footprint.host_ram * MARGIN),
        disk=_disk(plan, footprint),
        hours=_longest(plan, footprint),
    )


def _longest(plan: Plan, footprint: Footprint) -> float | None:
    """Hours at the slow end of the estimate; None where the number of tokens is unknown."""
    time = estimate(plan, footprint).time
    return time.high if time else None


def _disk(plan: Plan, footprint: Footprint) -> tuple[Part, ...]:
    trained, state = _saved(plan, footprint)
    kept = _kept(plan)
    whole = trained + (0 if plan.checkpoint.weights_only else state)
    holds = "weights" if plan.checkpoint.weights_only else "weights and optimizer"
    parts = (
        Part(PACKAGES, ENVIRONMENT, "an environment with torch and CUDA's libraries"),
        Part("base", _base(plan), f"{plan.facts.params / 1e9:.1f} billion weights as they are published"),
        Part("data", *_rows(plan)),
        Part("checkpoints", kept * whole, f"{kept} of {whole / GIB:.1f} GiB: {holds}, one of them being written"),
        Part("result", trained, "what is trained"),
    )
    merged = HALF * plan.facts.params if plan.output.merge and plan.lora else 0
    return (*parts, Part("merged model", merged, "in 16 bit")) if merged else parts


def _base(plan: Plan) -> int:
    """A quantised base counts as if it were not: what is published beside it is seldom taken apart."""
    return plan.facts.params * (2 * HALF if plan.facts.dtype == "float32" else HALF)


def _saved(plan: Plan, footprint: Footprint) -> tuple[int, int]:
    """Bytes of what is trained, and of the optimizer's state: of a run of one card, as a checkpoint has all shards."""
    alone = replace(plan.hardware, count=1, nodes=1, strategy="single", offload="none")
    found = weigh(replace(plan, hardware=alone), footprint.stack).by_phase
    parts = found.get("optimizer") or found["step"]
    return parts.adapters or parts.weights, parts.optimizer


def _kept(plan: Plan) -> int:
    """Checkpoints that lie there at once."""
    if plan.checkpoint.every is None:
        return 1  # of a run that is told to stop
    return plan.checkpoint.keep + 1 + plan.checkpoint.best


def _rows(plan: Plan) -> tuple[int, str]:
    sources = [source for _, source in all_sources(plan)]
    size = sum(path.stat().st_size for source in sources if source.local for path in _there(source.path))
    if all(source.local for source in sources):
        return COPIES * size, f"{COPIES} times the {size / GIB:.1f} GiB of its files, as they are prepared"
    return COPIES * size + UNSEEN_ROWS, f"{UNSEEN_ROWS // GIB} GiB allowed for rows of the hub, whose size is not known"


def _there(path: str) -> list[Path]:
    try:
        return local_files(path)
    except (OSError, DataError):
        return []  # which is said of the data, at its line
