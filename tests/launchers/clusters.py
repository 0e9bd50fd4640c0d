"""What the launchers' own code makes of what is written for them: SkyPilot's loader, Kubeflow Trainer's models, and Ray
on a cluster of machines that this one plays. `make launchers`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from launched import ROOT, build, here, small
from test_launchers import WIDE, artifact

from backends import TARGETS
from backends.launchers.skypilot import CARDS, SYSTEM
from schemas.artifact import Launcher, Target

TOOLS = Path(os.environ.get("FTC_LAUNCHERS", ROOT / "build" / "launchers"))
"""Where `make launchers` installs them: SkyPilot and Kubeflow's models as an environment, Ray beside our packages."""
CHECKS = Path(__file__).parent
ONLY_IN_THE_CATALOG = {"RTX3060"}
"""Cards that the package names nowhere, and the catalog that it fetches does (Vast)."""


def asked(check: str, *words: object, home: Path) -> list[Any]:
    """What a program says that runs by the tools' Python, a line each. Its home is a folder of the test."""
    environment = {**os.environ, "HOME": str(home), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
    environment.pop("PYTHONPATH", None)
    command = [str(TOOLS / "bin" / "python"), str(CHECKS / check), *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def written(folder: Path, launcher: Launcher, name: str) -> dict[str, Path]:
    """That file of every target, for one machine and for two, and for every card."""
    cases: list[tuple[Target, tuple[str, ...]]] = [
        (target, sets) for target in TARGETS for sets in ((), ("hardware.count=1", "hardware.nodes=1"))
    ]
    cases += [("native", (f"hardware.gpu={card}", "model.dtype=float16")) for card in CARDS]
    found: dict[str, Path] = {}
    for number, (target, sets) in enumerate(cases):
        file = folder / f"{number}.yaml"
        file.write_text(artifact(launcher, target=target, sets=sets, ignore_memory=True).files[name], "utf-8")
        found[f"{target} {sets}"] = file
    return found


def test_skypilot_takes_every_task(tmp_path: Path) -> None:
    files = written(tmp_path, "skypilot", "skypilot.yaml")
    for case, made in zip(files, asked("check_skypilot.py", *files.values(), home=tmp_path), strict=True):
        assert "error" not in made, (case, made)
        told = yaml.safe_load(files[case].read_text("utf-8"))
        wanted = told["resources"]
        assert made["nodes"] == told["num_nodes"]
        assert made["mounts"] == {"/checkpoints": ["my-bucket", "MOUNT_CACHED"]}
        read = {name: count for each in made["resources"] for name, count in each["accelerators"].items()}
        assert read == wanted["accelerators"]
        for each in made["resources"]:
            assert (each["cpus"], each["memory"], each["disk_size"], each["spot"]) == (
                wanted["cpus"], wanted["memory"], wanted["disk_size"], True,
            )  # fmt: skip
            assert each["job_recovery"]["max_restarts_on_errors"] == 3
            assert each["disk_size"] > SYSTEM


def test_skypilot_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    """Or it would take anything."""
    text = artifact("skypilot").files["skypilot.yaml"]
    for number, (right, wrong) in enumerate((("num_nodes", "num_nodez"), ("cpus: ", "cpus: many #"), ("MOUNT_", "M"))):
        assert right in text
        (tmp_path / f"{number}.yaml").write_text(text.replace(right, wrong), "utf-8")
    made = asked("check_skypilot.py", *sorted(tmp_path.glob("?.yaml")), home=tmp_path)
    assert ["error" in each for each in made] == [True] * 3, made


def test_cards_are_called_as_skypilot_calls_them(tmp_path: Path) -> None:
    (known,) = asked("check_skypilot.py", "--names", home=tmp_path)
    assert {name for names in CARDS.values() for name in names} - set(known) == ONLY_IN_THE_CATALOG


def test_kubeflow_s_models_hold_every_key_of_a_train_job(tmp_path: Path) -> None:
    files = written(tmp_path, "kubeflow", "trainjob.yaml")
    for case, made in zip(files, asked("check_kubeflow.py", *files.values(), home=tmp_path), strict=True):
        assert made == yaml.safe_load(files[case].read_text("utf-8")), case


def test_kubeflow_s_models_know_what_is_wrong(tmp_path: Path) -> None:
    text = artifact("kubeflow").files["trainjob.yaml"]
    for number, (right, wrong) in enumerate((("numNodes: 2", "numNodes: two"), ("numProcPerNode", "procs"))):
        assert right in text
        (tmp_path / f"{number}.yaml").write_text(text.replace(right, wrong), "utf-8")
    files = sorted(tmp_path.glob("?.yaml"))
    wrong = asked("check_kubeflow.py", *files, home=tmp_path)
    assert "valid integer" in wrong[0]["error"]
    assert wrong[1] != yaml.safe_load(files[1].read_text("utf-8"))


def on_ray(folder: Path, *words: object) -> None:
    """The program, on machines that this one plays."""
    environment = here(PYTHONPATH=str(TOOLS / "ray"))
    command = [sys.executable, str(CHECKS / "ray_cluster.py"), *map(str, words)]
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:]


@pytest.mark.parametrize("target", TARGETS)
def test_ray_takes_the_configuration(target: Target, tmp_path: Path) -> None:
    (tmp_path / "ray_train.py").write_text(artifact("ray", WIDE, target).files["ray_train.py"], "utf-8")
    program = (
        "import ray_train as made; it = made.trainer(); print(it.scaling_config.num_workers, "
        "it.scaling_config.accelerator_type, it.run_config.failure_config.max_failures, it.run_config.storage_path)"
    )
    environment = here(PYTHONPATH=os.pathsep.join((str(tmp_path), str(TOOLS / "ray"))))
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["2", "A100", "3", "/mnt/cluster_storage/ray"], done.stderr


def test_two_machines_of_ray_train_and_one_that_is_lost_is_replaced(tmp_path: Path) -> None:
    store = tmp_path / "store"
    folder = build(small(tmp_path, steps=400, out=str(store)), "ray")
    on_ray(folder, store / "small", 10)
    summary = json.loads((store / "small" / "summary.json").read_text("utf-8"))
    assert summary["resumed_at"] >= 10
    steps = [json.loads(line)["step"] for line in (store / "small/metrics.jsonl").read_text("utf-8").splitlines()]
    assert sorted(set(steps)) == list(range(1, 401))
