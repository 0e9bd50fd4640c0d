"""What all launchers have alike: `setup.sh` makes an environment, `launch.sh` starts one machine's share of the run."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from backends.emission import shell_line
from backends.launchers.base import PORT, Job, render
from schemas.artifact import Step
from schemas.plan import Plan

SETUP: Final = "setup.sh"
LAUNCH: Final = "launch.sh"
PREPARE: Final = "prepare.py"
PATIENCE: Final = 240
"""Seconds for the step that is being taken and its checkpoint, before processes that were told to stop are killed."""


def start_files(job: Job) -> dict[str, str]:
    """Both scripts."""
    *before, last = _lines(job)
    launch = render(
        "launch.sh.jinja",
        name=job.name,
        nodes=job.needs.nodes,
        port=PORT,
        program=_program(job),
        local=job.local,
        meets=any("--rdzv" in line for line in (*before, last)),
        patience=PATIENCE,
        before=before,
        last=last,
    )
    return {SETUP: render("setup.sh.jinja", name=job.name, prepares=job.prepares), LAUNCH: launch}


def _lines(job: Job) -> list[str]:
    """The commands of one machine, as a shell reads them."""
    trains = [step for step in job.steps if PREPARE not in step.words]
    return [shell_line(_met(step)) for step in trains] if trains else [native(job.plan)]


def _program(job: Job) -> str:
    """What must be there for the run to start."""
    trains = [step.words[0] for step in job.steps if PREPARE not in step.words]
    return trains[0] if trains else "python"


def _met(step: Step) -> Step:
    """Without a port of its own: launch.sh says where machines meet."""
    return replace(step, environment={name: value for name, value in step.environment.items() if name != "MASTER_PORT"})


QUIETLY: Final = "env PYTHONSAFEPATH=1 python launch.py"
"""torchrun, as the artifact has it: without a traceback where it was told to stop, and with the exit code of that. The
names of the files beside it hide no package."""


def native(plan: Plan) -> str:
    """The native target's command, ranks in the order of the machines: the first one is the one that reports."""
    hardware = plan.hardware
    if plan.devices == 1 and hardware.strategy == "single":
        return 'python train.py "$@"'
    if hardware.nodes == 1:
        return f'{QUIETLY} --standalone --nproc-per-node {hardware.count} train.py "$@"'
    return (
        f'{QUIETLY} --nnodes {hardware.nodes} --nproc-per-node {hardware.count} --node-rank "$NODE_RANK" \\\n'
        '    --master-addr "$MASTER_ADDR" --master-port "$MASTER_PORT" train.py "$@"'
    )
