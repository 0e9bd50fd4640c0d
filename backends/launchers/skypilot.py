"""SkyPilot: a task for `sky jobs launch`, on spot machines of whichever cloud has them, results in a bucket.

The bucket is mounted as MOUNT_CACHED: MOUNT takes neither a file that is appended to nor one that is written anywhere
but at its end, which logs and checkpoints are (SkyPilot's documentation of storage modes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from backends.launchers.base import Job
from backends.launchers.start import LAUNCH, SETUP
from backends.yaml_text import yaml_entry
from schemas.diagnostic import Finding
from schemas.plan import Plan

TITLE: Final = "SkyPilot"
STORE: Final = "/checkpoints"
CARRIES: Final = None
BODY: Final = "skypilot.yaml"
COMMAND: Final = ("sky", "jobs", "launch", "--env", "BUCKET=MY-BUCKET", BODY)

SYSTEM: Final = 30
"""GiB of the disk that the system takes; SkyPilot's `disk_size` is that of the whole."""
RESTARTS: Final = 3
"""Starts after a failure of the run itself. Machines that are taken away are replaced as often as it takes."""

CARDS: Final[Mapping[str, tuple[str, ...]]] = {
    "t4": ("T4",),
    "p100-16gb": ("P100",),
    "v100-16gb": ("V100",),
    "v100-32gb": ("V100-32GB",),
    "a10g": ("A10G",),
    "l4": ("L4",),
    "a40": ("A40",),
    "l40": ("L40",),
    "l40s": ("L40S",),
    "rtx-3060": ("RTX3060",),
    "rtx-3070": ("RTX3070",),
    "rtx-3080": ("RTX3080",),
    "rtx-3090": ("RTX3090",),
    "rtx-4090": ("RTX4090",),
    "rtx-5090": ("RTX5090",),
    "rtx-a5000": ("RTXA5000",),
    "rtx-a6000": ("RTXA6000", "A6000"),
    "rtx-6000-ada": ("RTX6000-Ada",),
    "rtx-pro-6000": ("RTXPRO6000",),
    "a100-40gb": ("A100",),
    "a100-80gb": ("A100-80GB", "A100-80GB-SXM"),
    "h100": ("H100", "H100-SXM"),
    "h100-pcie": ("H100",),
    "h200": ("H200", "H200-SXM"),
    "b200": ("B200",),
    "mi300x": ("MI300X",),
}
"""The catalog's cards by SkyPilot's names: catalogs/v8/common/accelerators.csv of skypilot-org/skypilot-catalog, and
sky/catalog/data_fetchers of skypilot 0.14.1 for cards that came later. Several names: whichever there is."""

UNNAMED: Final = "FTC451"


def losses(plan: Plan) -> tuple[Finding, ...]:
    """A card that no cloud of its catalog has."""
    card = plan.gpu
    if card is None or card.is_cpu or card.name in CARDS:
        return ()
    hint = f"SkyPilot has {', '.join(CARDS)}; or build for slurm, kubeflow or ray"
    return (Finding(UNNAMED, "hardware.gpu", f"SkyPilot has no name for {card.title}", hint),)


def files(job: Job) -> dict[str, str]:
    """The task."""
    return {BODY: "".join(head(job)) + "".join(yaml_entry(name, value) for name, value in task(job).items())}


def head(job: Job) -> list[str]:
    """What a reader of the task must know first."""
    return [
        f"# {job.name}: a task of SkyPilot. In this folder, and with your bucket's name; it is made if need be:\n",
        f"#   {' '.join(COMMAND)}\n",
        "# use_spot: false takes machines that are not taken away.\n",
    ]


def task(job: Job) -> dict[str, object]:
    """The task, key by key."""
    needs = job.needs
    several = 'MASTER_ADDR=$(echo "$SKYPILOT_NODE_IPS" | head -n 1)\nexport NODE_RANK=$SKYPILOT_NODE_RANK MASTER_ADDR\n'
    return {
        "name": job.name,
        "resources": {
            "accelerators": dict.fromkeys(CARDS[needs.gpu.name], needs.count),
            "cpus": f"{needs.cores}+",
            "memory": f"{needs.memory_gib}+",
            "disk_size": needs.disk_gib + SYSTEM,
            "use_spot": True,
            "job_recovery": {"max_restarts_on_errors": RESTARTS},
        },
        "num_nodes": needs.nodes,
        "envs": {"BUCKET": None},
        "workdir": ".",
        "file_mounts": {job.root: {"name": "${BUCKET}", "mode": "MOUNT_CACHED"}},
        "setup": f"sh {SETUP}\n",
        "run": f"{several if needs.nodes > 1 else ''}exec sh {LAUNCH}\n",
    }


def words(job: Job) -> tuple[str, ...]:
    """Its bucket, its secrets, and what happens where a machine is taken away."""
    late = (
        "what is not there yet when a machine goes is lost, and the checkpoint before it is taken."
        if not job.steps
        else f"where the newest one is not there whole, {job.title} does not go on; remove its folder from the bucket."
    )
    alone = (
        "Each machine sees the bucket by a cache of its own, so checkpoints hold the random state of the first one "
        "alone: with dropout, an interrupted run goes on with other draws than one that was not.",
    )
    return (
        "It takes spot machines, the cheapest that are to be had; where one is taken away, SkyPilot starts the run on "
        "others, and it goes on from the newest checkpoint in the bucket. A checkpoint is uploaded after it is "
        f"written: {late}",
        *(alone if job.needs.nodes > 1 else ()),
        f"Results are in the bucket, which the machines see as `{job.root}`. A base that asks for an account wants "
        "`--secret HF_TOKEN` as well.",
    )
