"""Kubeflow Trainer: a TrainJob, and the volume that its machines share.

The volume, and the pod through which files reach it, are a file of their own: who replaces the job keeps them.
"""

from __future__ import annotations

from typing import Final

from backends.launchers.base import Job, label, quoted, render
from backends.launchers.start import LAUNCH, SETUP
from backends.yaml_text import yaml_entry
from schemas.diagnostic import Finding
from schemas.facts import Gpu
from schemas.plan import Plan

TITLE: Final = "Kubeflow Trainer"
STORE: Final = "/runs"
CARRIES: Final = None
BODY: Final = "trainjob.yaml"
STORAGE: Final = "storage.yaml"
SUBMIT: Final = "submit.sh"
COMMAND: Final = ("sh", SUBMIT)

OURS: Final = "ftc/build"
"""By which name the changes to a runtime are told from others'."""
MEETS: Final = (
    'export NODE_RANK="${PET_NODE_RANK:-0}" MASTER_ADDR="${PET_MASTER_ADDR:-localhost}" '
    'MASTER_PORT="${PET_MASTER_PORT:-29500}"'
)
"""What the runtime says in words of torchrun's own."""


STORAGE_HEAD: Final = """\
# The volume that the run's machines share, and a pod through which files come and go. Who deletes the claim deletes the
# results.
"""


def losses(plan: Plan) -> tuple[Finding, ...]:  # noqa: ARG001 - the signature is that of every launcher
    """None: it starts whatever the target starts."""
    return ()


def files(job: Job) -> dict[str, str]:
    """The job, the storage, and the script that puts the files there and hands the job in."""
    named = label(job.name)
    submit = render(
        "submit.sh.jinja",
        name=job.name,
        pod=files_pod(job),
        storage=STORAGE,
        body=BODY,
        place=place(job),
    )
    head = f"# {job.name}: a TrainJob of Kubeflow Trainer 2.2 and newer. {' '.join(COMMAND)} hands it in.\n"
    text = head + "".join(yaml_entry(name, value) for name, value in train_job(job, named).items())
    return {BODY: text, STORAGE: storage_text(job), SUBMIT: submit}


def place(job: Job) -> str:
    """Where on the volume this folder lies."""
    return f"{job.root}/artifacts/{job.name}"


def claim(job: Job) -> str:
    """The name of the volume's claim."""
    return label(job.name, "-runs")


def files_pod(job: Job) -> str:
    """The name of the pod through which files come and go."""
    return label(job.name, "-files")


def train_job(job: Job, named: str) -> dict[str, object]:
    """The TrainJob, key by key."""
    needs = job.needs
    runtime = "torch-rocm-distributed" if _is_amd(needs.gpu) else "torch-distributed"
    asked: dict[str, object] = {"memory": f"{needs.memory_gib}Gi", _resource(needs.gpu): str(needs.count)}
    requests = {"cpu": str(needs.cores), "ephemeral-storage": f"{needs.packages_gib}Gi", **asked}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": named},
        "spec": {
            "runtimeRef": {"apiGroup": "trainer.kubeflow.org", "kind": "ClusterTrainingRuntime", "name": runtime},
            "trainer": {
                "numNodes": needs.nodes,
                "numProcPerNode": needs.count,
                "resourcesPerNode": {"requests": requests, "limits": asked},
                "env": [
                    {"name": "HF_HOME", "value": f"{job.root}/huggingface"},
                    {
                        "name": "HF_TOKEN",
                        "valueFrom": {"secretKeyRef": {"name": "hf-token", "key": "token", "optional": True}},
                    },
                ],
                "command": ["/bin/sh", "-c", script(job)],
            },
            "runtimePatches": [{"manager": OURS, "trainingRuntimeSpec": {"template": {"spec": _patch(job)}}}],
        },
    }


def script(job: Job) -> str:
    """What each machine runs: its own copy of the files, as an environment is made in it."""
    lines = (
        "set -eu",
        f"rm -rf /tmp/run && cp -r {quoted(place(job))} /tmp/run && cd /tmp/run",
        MEETS,
        f"sh {SETUP}",
        f"exec sh {LAUNCH}",
    )
    return "\n".join(lines) + "\n"


def _patch(job: Job) -> dict[str, object]:
    """The volume and the card, put into the runtime's pods."""
    volumes = [
        {"name": "runs", "persistentVolumeClaim": {"claimName": claim(job)}},
        {"name": "shared-memory", "emptyDir": {"medium": "Memory"}},
    ]
    mounts = [{"name": "runs", "mountPath": job.root}, {"name": "shared-memory", "mountPath": "/dev/shm"}]  # noqa: S108
    pod: dict[str, object] = {"containers": [{"name": "node", "volumeMounts": mounts}], "volumes": volumes}
    if wanted := _card(job.needs.gpu):
        terms = [{"matchExpressions": wanted}]
        pod["affinity"] = {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        }
    return {"replicatedJobs": [{"name": "node", "template": {"spec": {"template": {"spec": pod}}}}]}


def _card(gpu: Gpu) -> list[dict[str, object]]:
    """The card by what NVIDIA's feature discovery says of it, in words that do not differ between its makes: its
    architecture, and that it has the memory that was planned for."""
    if _is_amd(gpu) or gpu.compute_capability is None:
        return []
    major, _, minor = str(gpu.compute_capability).partition(".")
    return [
        {"key": "nvidia.com/gpu.compute.major", "operator": "In", "values": [major]},
        {"key": "nvidia.com/gpu.compute.minor", "operator": "In", "values": [minor]},
        {"key": "nvidia.com/gpu.memory", "operator": "Gt", "values": [str(gpu.memory // (1 << 20) - 1)]},
    ]


def _is_amd(gpu: Gpu) -> bool:
    return gpu.title.startswith("AMD")


def _resource(gpu: Gpu) -> str:
    return "amd.com/gpu" if _is_amd(gpu) else "nvidia.com/gpu"


def storage_text(job: Job) -> str:
    """The claim of the volume, and a pod that does nothing but hold it."""
    wanted = "ReadWriteMany" if job.needs.nodes > 1 else "ReadWriteOnce"
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim(job)},
        "spec": {
            "accessModes": [wanted],
            "resources": {"requests": {"storage": f"{job.needs.disk_gib}Gi"}},
        },
    }
    holder = {"name": "files", "image": "busybox:1.37", "command": ["sleep", "infinity"]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": files_pod(job)},
        "spec": {
            "containers": [{**holder, "volumeMounts": [{"name": "runs", "mountPath": job.root}]}],
            "volumes": [{"name": "runs", "persistentVolumeClaim": {"claimName": claim(job)}}],
            "terminationGracePeriodSeconds": 1,
        },
    }
    parts = ("".join(yaml_entry(name, value) for name, value in item.items()) for item in (volume, pod))
    return STORAGE_HEAD + "---\n".join(parts)


def words(job: Job) -> tuple[str, ...]:
    """What the cluster must have, and where results are."""
    many = " of a storage class that many pods may write to" if job.needs.nodes > 1 else ""
    pod = files_pod(job)
    return (
        f"The cluster needs Kubeflow Trainer 2.2 or newer with its runtime `torch-distributed`, a volume{many}, and "
        "NVIDIA's GPU feature discovery, by whose labels the card is chosen: without it, take `affinity` out of "
        f"`{BODY}`. A token for bases that ask for an account is read from the secret `hf-token`, key `token`.",
        "The script puts this folder on the volume, and hands the job in, in the place of an earlier one: the run goes "
        "on from its newest checkpoint. Pods that are evicted are made again as often as the runtime's `backoffLimit` "
        "says, six times if it says nothing; after that, run the script again.",
        f"Results are on the volume, under `{job.out}`: `kubectl apply -f {STORAGE}`, then `kubectl cp {pod}:{job.out} "
        "results`.",
    )
