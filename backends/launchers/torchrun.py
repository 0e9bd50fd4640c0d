"""torchrun: the command of each machine, for who starts them himself."""

from __future__ import annotations

from typing import Final

from backends.launchers.base import Job
from backends.launchers.start import LAUNCH
from schemas.diagnostic import Finding
from schemas.plan import Plan

TITLE: Final = "torchrun"
STORE: Final = None
CARRIES: Final = None
BODY: Final = LAUNCH
COMMAND: Final = ("sh", LAUNCH)


def losses(plan: Plan) -> tuple[Finding, ...]:  # noqa: ARG001 - the signature is that of every launcher
    """None: it starts whatever the target starts."""
    return ()


def files(job: Job) -> dict[str, str]:  # noqa: ARG001 - the signature is that of every launcher
    """None beside those that start a machine's share."""
    return {}


def words(job: Job) -> tuple[str, ...]:
    """How machines find each other."""
    if job.needs.nodes == 1:
        return (
            "Make the environment first, by `sh setup.sh`, or activate one that has what `requirements.txt` names.",
        )
    return (
        f"On each of the {job.needs.nodes} machines, with the first one's name in the place of `HOST`: "
        "`NODE_RANK=0 MASTER_ADDR=HOST sh launch.sh` on the first, `NODE_RANK=1 MASTER_ADDR=HOST sh launch.sh` on the "
        "next. They wait for each other; port 29500 of the first must be open to the others (`MASTER_PORT` names "
        "another).",
        "This folder, what the run reads and the folder of its results must be on a disk that all of them see under "
        "one path. Make the environment first, once, by `sh setup.sh`.",
    )
