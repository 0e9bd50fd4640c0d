"""Ray: a program over Ray Train, whose workers each start one machine's share of the run."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from shlex import join
from typing import Final

from backends.launchers.base import Job, plain, render
from backends.launchers.start import LAUNCH, SETUP
from schemas.diagnostic import Finding
from schemas.plan import Plan

TITLE: Final = "Ray Train"
STORE: Final = "/mnt/cluster_storage"
CARRIES: Final = 500 << 20
"""Ray's limit for a folder that is uploaded (ray/_private/runtime_env/packaging.py, GCS_STORAGE_MAX_SIZE)."""
BODY: Final = "ray_train.py"
COMMAND: Final = ("ray", "job", "submit", "--working-dir", ".", "--", "python", BODY)
FAILURES: Final = 3
"""Starts after a failure of the run itself. Machines that are taken away are replaced as often as it takes."""

CARDS: Final[Mapping[str, str]] = {
    "t4": "T4",
    "p100-16gb": "P100",
    "v100-16gb": "V100",
    "v100-32gb": "V100",
    "a10g": "A10G",
    "l4": "L4",
    "l40s": "L40S",
    "rtx-pro-6000": "RTX-PRO-6000",
    "a100-40gb": "A100",
    "a100-80gb": "A100",
    "h100": "H100",
    "h100-pcie": "H100",
    "h200": "H200",
    "b200": "B200",
    "mi300x": "AMD-Instinct-MI300X-OAM",
}
"""The catalog's cards by the names that Ray gives to nodes (ray 2.60.0, ray/util/accelerators/accelerators.py). It does
not tell an A100 of 40 GB from one of 80 GB."""


def losses(plan: Plan) -> tuple[Finding, ...]:  # noqa: ARG001 - the signature is that of every launcher
    """None: it starts whatever the target starts."""
    return ()


def files(job: Job) -> dict[str, str]:
    """The program. It must parse; one that does not is a `SyntaxError`."""
    needs = job.needs
    program = render(
        "ray_train.py.jinja",
        name=job.name,
        title=plain(job.title),
        command=join(COMMAND),
        nodes=needs.nodes,
        resources={"CPU": needs.cores, "GPU": needs.count, "memory": needs.memory_gib << 30},
        card=CARDS.get(needs.gpu.name),
        storage=job.root,
        failures=FAILURES,
        setup=SETUP,
        launch=LAUNCH,
    )
    ast.parse(program)
    return {BODY: program}


def words(job: Job) -> tuple[str, ...]:
    """What the cluster must have, and where results are."""
    named = CARDS.get(job.needs.gpu.name)
    card = f"machines that Ray calls {named}" if named else f"any GPU: Ray has no name for {job.needs.gpu.title}"
    return (
        f"The cluster needs `ray[train]` and torch on its machines, {card}, and a disk at `{job.root}` that all of "
        "them see: set `output.dir` to where yours is. `RAY_ADDRESS` says where the cluster is. Each machine makes the "
        "run's own environment beside its copy of this folder.",
        f"Results are in `{job.out}`. Where machines are lost, Ray starts the run again and it goes on from the newest "
        f"checkpoint; so it does where the job is handed in again. After {FAILURES} failures of its own the job "
        "fails.",
    )
