"""A run that is started, killed and looked at: forked from a process that has imported everything, or by `ftc run`."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from chaos.cases import ROOT
from safetensors.torch import load_file

from backends.native import train
from backends.native.checkpoints import UNFINISHED, checkpoints, whole

TIMED = ("tokens_per_second", "memory_gib", "memory_phases_gib", "eval_seconds")
"""What a log line tells that no two runs have alike."""
PATIENCE = 300
GLANCE = 0.0005
RESULTS = ("adapter", "model")


class BrokenError(Exception):
    """What a kill broke."""


class Death(NamedTuple):
    """`where`: what was being done. `code`: of a run that ended before it was killed; None where it was killed."""

    where: str
    code: int | None
    said: str


class Run:
    """A run in a folder of its own: `plan.json`'s of an artifact, and where its results go."""

    def __init__(self, plan: Path) -> None:
        self.plan = plan
        self.out = Path(json.loads(plan.read_text("utf-8"))["output"]["dir"])
        self.log = plan.with_name("said.txt")
        self.newest = 0

    @property
    def aside(self) -> Path:
        return self.out / "checkpoints" / UNFINISHED

    def fork(self) -> int:
        """The process id of a run that was started."""
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            os.setsid()
            handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            code = train.main(["--plan", str(self.plan)])
            sys.stdout.flush()
        finally:
            os._exit(code)

    def to_its_end(self) -> Death:
        return _ended(self, os.waitpid(self.fork(), 0)[1])

    def killed(self, chance: random.Random, span: float, when: str) -> Death:
        """Kill it at "any" moment within so many seconds, or shortly after some "checkpoint" or the "result" was begun
        to be written."""
        lines, pid, begun = len(self.metrics()), self.fork(), time.monotonic()
        moment, wanted, delay = chance.uniform(0, span), chance.randrange(1, 8), chance.uniform(0, 0.06)
        drafts = set[str]()
        while True:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                return _ended(self, status)
            drafts |= {path.name for path in self._drafts()}
            due = {
                "any": time.monotonic() - begun > moment,
                "checkpoint": len(drafts) >= wanted,
                "result": any((self.out / f".{name}.part").exists() for name in RESULTS),
            }
            if due[when]:
                break
            time.sleep(GLANCE)
        time.sleep(0 if when == "any" else delay)
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        return Death(self._where(lines), None, "") if os.WIFSIGNALED(status) else _ended(self, status)

    def _drafts(self) -> Iterator[Path]:
        try:
            yield from self.aside.glob("checkpoint-*")
        except FileNotFoundError:  # it goes while it is looked at
            return

    def _where(self, lines: int) -> str:
        """What it left tells what it did."""
        drafts = list(self._drafts())
        if any(path.suffix == ".removed" for path in drafts):
            return "removing a checkpoint"
        if drafts:
            return "writing a checkpoint"
        if any((self.out / name).exists() for result in RESULTS for name in (result, f".{result}.part")):
            return "writing the result"
        return "training" if len(self.metrics()) > lines else "starting"

    def metrics(self) -> list[dict[str, Any]]:
        path = self.out / "metrics.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        return [{name: value for name, value in json.loads(line).items() if name not in TIMED} for line in lines]

    def result(self) -> dict[str, bytes]:
        """The weights that were saved."""
        return {path.name: path.read_bytes() for path in sorted(self.out.glob("[am]*/*.safetensors"))}

    def look(self) -> None:
        """`BrokenError` where a checkpoint is not whole or cannot be loaded, or one that was there is gone."""
        found = checkpoints(self.out / "checkpoints")
        for _, path in found:
            if whole(path) is None:
                raise BrokenError(f"{path} is not whole")
            _load(path)
        newest = max((step for step, _ in found), default=0)
        if newest < self.newest:
            raise BrokenError(f"the newest checkpoint was {self.newest}, and is {newest}")
        self.newest = newest


def _load(checkpoint: Path) -> None:
    try:
        for path in checkpoint.glob("*.safetensors"):
            load_file(path)
        for path in (*checkpoint.glob("*.pt"), *checkpoint.glob("*.pth")):
            torch.load(path, weights_only=False)
        for path in checkpoint.glob("*.json"):
            json.loads(path.read_text("utf-8"))
    except Exception as error:
        raise BrokenError(f"{checkpoint} cannot be loaded: {error}") from error


def _ended(run: Run, status: int) -> Death:
    return Death("at its end", os.waitstatus_to_exitcode(status), run.log.read_text("utf-8"))


# --- by the command


class Command:
    """`ftc run`, as a person starts it."""

    def __init__(self, recipe: Path, run: Run) -> None:
        self.arguments = [sys.executable, "-m", "compiler.cli", "run", str(recipe)]
        self.folder, self.run = recipe.parent, run

    def _start(self) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.arguments, cwd=self.folder, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True
        )

    def to_its_end(self) -> Death:
        process = self._start()
        said, _ = process.communicate(timeout=PATIENCE)
        return Death("at its end", process.returncode, said)

    def killed(self, chance: random.Random, who: str) -> Death:
        """Kill the command, its trainer, or both, some time after a step was taken."""
        lines, process, delay = len(self.run.metrics()), self._start(), chance.uniform(0, 1)
        while process.poll() is None and len(self.run.metrics()) <= lines:
            time.sleep(GLANCE)
        time.sleep(delay)
        children = _children(process.pid) if process.poll() is None else []
        for pid in {"command": [process.pid], "trainer": children, "both": [process.pid, *children]}[who]:
            os.kill(pid, signal.SIGKILL)
        said, _ = process.communicate(timeout=PATIENCE)
        dead = process.returncode in (-signal.SIGKILL, 1) and bool(children)
        return Death(self.run._where(lines), None if dead else process.returncode, said)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()]
