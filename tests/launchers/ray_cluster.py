"""Runs `ray_train.py` of the current folder on a cluster of two machines that this one plays, each with a card that it
has not. Where it is asked to, it takes one of them away after a checkpoint, and gives another one.

    python ray_cluster.py OUT [STEP]
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
from pathlib import Path
from typing import Any

import ray
from ray._private.state import available_resources_per_node
from ray.cluster_utils import Cluster

MACHINE = {"num_cpus": 5, "num_gpus": 1, "memory": 200 << 30, "object_store_memory": 80 << 20}


def used(cluster: Cluster) -> Any:
    """A machine whose card is taken."""
    free = available_resources_per_node()
    return next(node for node in cluster.list_all_nodes()[1:] if not free[node.node_id].get("GPU"))


def main() -> None:
    """Ends by an exception where the run does."""
    out, step = Path(sys.argv[1]), sys.argv[2:]
    cluster = Cluster(initialize_head=True, head_node_args={**MACHINE, "num_gpus": 0, "include_dashboard": False})
    for _ in range(3 if step else 2):  # one to spare
        cluster.add_node(**MACHINE)
    told = {name: os.environ[name] for name in ("VENV", "OMP_NUM_THREADS", "HF_HUB_OFFLINE")}
    ray.init(address=cluster.address, runtime_env={"working_dir": ".", "env_vars": told})
    done = threading.Event()

    def take_away() -> None:
        while not (out / "checkpoints" / f"checkpoint-{step[0]}").is_dir():
            if done.wait(0.1):
                return
        cluster.remove_node(used(cluster), allow_graceful=False)

    if step:
        threading.Thread(target=take_away, daemon=True).start()
    try:
        runpy.run_path("ray_train.py", run_name="__main__")  # as `python ray_train.py` does
    finally:
        done.set()
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
