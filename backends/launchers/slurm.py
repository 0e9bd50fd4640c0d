"""Slurm: a batch script, for machines that share their disk with the one it is submitted from."""

from __future__ import annotations

import re
from math import ceil
from typing import Final

from backends.launchers.base import Job, render
from backends.launchers.start import LAUNCH, PATIENCE, SETUP
from schemas.diagnostic import Finding
from schemas.plan import Plan

TITLE: Final = "Slurm"
STORE: Final = None
CARRIES: Final = None
BODY: Final = "job.sbatch"
COMMAND: Final = ("sbatch", BODY)

NOTICE: Final = PATIENCE + 60
"""Seconds before the end of its time at which the run is told."""
LONGEST: Final = 24
"""Hours that are asked for where nobody knows how many it takes: a limit that most sites allow."""
MARGIN: Final = 1.5
"""What the upper end of the estimate of its hours is multiplied by: loading, evaluation and saving are not in it."""
WAIT: Final = 1800
"""Seconds for which machines may go on after the first one's end."""


def losses(plan: Plan) -> tuple[Finding, ...]:  # noqa: ARG001 - the signature is that of every launcher
    """None: it starts whatever the target starts."""
    return ()


def files(job: Job) -> dict[str, str]:
    """The batch script."""
    needs = job.needs
    script = render(
        "slurm.sh.jinja",
        name=job.name,
        title=job.title,
        body=BODY,
        launch=LAUNCH,
        setup=SETUP,
        card=needs.gpu.title,
        gres=gres(needs.gpu.name),
        nodes=needs.nodes,
        count=needs.count,
        cores=needs.cores,
        memory=needs.memory_gib,
        time=f"{hours(needs.hours)}:00:00",
        notice=NOTICE,
        wait=WAIT,
        saves=not job.steps,
    )
    return {BODY: script}


def hours(estimate: float | None) -> int:
    """Whole hours to ask for. A run that takes longer goes back to the queue and goes on."""
    return LONGEST if estimate is None else max(1, min(LONGEST, ceil(MARGIN * estimate)))


def gres(name: str) -> str:
    """A card as most sites call it: without its memory."""
    return re.sub(r"-\d+gb$", "", name)


def words(job: Job) -> tuple[str, ...]:
    """What the site must have, and how long is asked for."""
    estimate = job.needs.hours
    why = (
        f"as nobody knows how many it takes, and most sites allow {LONGEST}"
        if estimate is None
        else f"half as many again as the estimate's upper end of {estimate:.1f}, and {LONGEST} at most"
    )
    return (
        f"The script asks for {hours(estimate)} hours, {why}; a run that takes longer is told "
        f"{NOTICE} seconds before, goes back to the queue and goes on. Partition, account and the card's name are your "
        "site's: see the lines that begin with `##SBATCH`.",
        "This folder, what the run reads and the folder of its results must be on the disk that the machines share. "
        "Where they have no network, run `sh setup.sh` on the login node before, and fetch the base there.",
    )
