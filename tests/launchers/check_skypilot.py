"""Reads tasks by SkyPilot's own loader, without a network, and says as JSON what it made of each. Run by its
Python."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import sky
from sky.utils.gpu_names import CANONICAL_GPU_NAMES


def made(file: str) -> dict[str, Any]:
    """The task of this file, with a bucket's name in the place of the variable."""
    text = Path(file).read_text("utf-8").replace("BUCKET: null", "BUCKET: my-bucket")
    filled = Path(file).with_suffix(".filled.yaml")
    filled.write_text(text, "utf-8")
    task = sky.Task.from_yaml(str(filled))
    return {
        "name": task.name,
        "nodes": task.num_nodes,
        "resources": [
            {
                "accelerators": each.accelerators,
                "cpus": each.cpus,
                "memory": each.memory,
                "disk_size": each.disk_size,
                "spot": each.use_spot,
                "job_recovery": each.job_recovery,
            }
            for each in task.resources
        ],
        "mounts": {place: [store.name, store.mode.value] for place, store in task.storage_mounts.items()},
        "run": task.run,
        "setup": task.setup,
    }


def names() -> list[str]:
    """Cards that the package itself names, in the programs that fill its catalog too. The catalog it would fetch."""
    sources = (Path(sky.__file__).parent / "catalog" / "data_fetchers").glob("*.py")
    quoted = re.findall(r"""['"]([A-Za-z0-9-]+)['"]""", "".join(path.read_text("utf-8") for path in sources))
    return sorted({*CANONICAL_GPU_NAMES, *quoted})


def main() -> None:
    """A line for each file: what was made of it, or why nothing was."""
    for file in sys.argv[1:]:
        try:
            told: dict[str, Any] = made(file)
        except Exception as error:  # whatever it raises, the caller compares
            told = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["--names"]:
        sys.stdout.write(json.dumps(names()) + "\n")
    else:
        main()
