"""Runs shared by several processes on a CPU. What has imported everything forks them: a start would take seconds.

As a program it reads a run a line, as JSON, and answers with how each of its processes ended.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
PATIENCE = 300
"""Seconds after which processes that wait for each other are given up."""


class Ended(NamedTuple):
    """How each process ended, and what it said on standard error."""

    codes: list[int]
    said: list[str]


class Together:
    """Starts runs, one after the other."""

    def __init__(self) -> None:
        paths = (str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", ""))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
        self._process = subprocess.Popen(
            [sys.executable, __file__], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self, plan: Path, *, world: int = 2, here: int | None = None, cards: bool = True, plans: list[str] | None = None
    ) -> Ended:
        """`here`: processes of one machine, where not all are. `cards`: whether accelerate is to take them for cards.
        `plans`: a file for each process, where they do not read the same."""
        asked = {"plan": str(plan), "world": world, "here": here or world, "cards": cards, "plans": plans}
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        codes = json.loads(self._process.stdout.readline())
        return Ended(codes, [_file(plan, rank).read_text("utf-8") for rank in range(world)])

    def close(self) -> None:
        self._process.communicate(timeout=PATIENCE)


def _file(plan: Path, rank: int) -> Path:
    return plan.with_name(f"said-{rank}.txt")


def _serve() -> None:
    from backends.native import train

    for line in sys.stdin:
        asked = json.loads(line)
        port = _free_port()
        children = [_fork(train, asked, rank, port) for rank in range(asked["world"])]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(codes), flush=True)


def _fork(train: Any, asked: dict[str, Any], rank: int, port: int) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        where = {"RANK": rank, "WORLD_SIZE": asked["world"], "LOCAL_RANK": rank % asked["here"]}
        where |= {"LOCAL_WORLD_SIZE": asked["here"], "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ |= {name: str(value) for name, value in where.items()}
        told = os.open(_file(Path(asked["plan"]), rank), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(told, 1)
        os.dup2(told, 2)
        if asked["cards"]:
            _stand_in_for_cards(asked["plan"])
        code = train.main(["--plan", asked["plans"][rank] if asked["plans"] else asked["plan"]])
    finally:
        sys.stdout.flush()
        os._exit(code)


def _stand_in_for_cards(plan: str) -> None:
    """accelerate shards on cards alone, by what torch can do on a CPU as well: it is told that these are cards."""
    strategy = json.loads(Path(plan).read_text("utf-8"))["hardware"]["strategy"]
    if strategy in ("single", "ddp"):
        return
    from accelerate import DistributedType, PartialState

    meet = PartialState.__init__

    def meet_as_cards(self: Any, *told: Any, **further: Any) -> None:
        meet(self, *told, **further)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self._shared_state["distributed_type"] = DistributedType.MULTI_GPU

    PartialState.__init__ = meet_as_cards


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


if __name__ == "__main__":
    _serve()
