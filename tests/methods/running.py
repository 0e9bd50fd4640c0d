"""One run of the table: the quickstart's recipe with some of it changed, compiled, trained here, and looked into."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
import yaml
from methods.cases import RECIPE, ROOT, Method

from backends.native import result, train
from compiler.build import Options, compile_recipe

IDS = torch.arange(5, 60)[None]


class RefusedError(Exception):
    """By these codes."""


class Ran(NamedTuple):
    """`losses` of each step; `logits` of the model as it was when it was saved. `place`: the artifact's folder, `out`
    that of the results."""

    losses: list[float]
    logits: torch.Tensor | None
    place: Path
    out: Path


def recipe(method: Method, folder: Path, changes: dict[str, dict[str, Any]]) -> str:
    """The quickstart's, with another method and what else is to be changed. A method that is asked for decides its own
    learning rate."""
    whole = yaml.safe_load(RECIPE.read_text("utf-8"))
    place = RECIPE.parent
    whole["name"] = "methods"
    whole["model"]["base"] = str(place / "base")
    for part in ("train", "validation"):
        whole["data"][part] = [{"path": str(place / "data" / f"{part}.jsonl"), "format": "messages", "limit": 2000}]
    whole["data"]["validation"] = None
    whole["training"].pop("epochs")
    whole["method"] = method.said
    whole["training"] |= {"learning_rate": method.rate, "scheduler": "constant", "warmup": 0}
    whole["training"] |= {"global_batch_size": 8, "micro_batch_size": 8, "gradient_checkpointing": False}
    whole |= {"evaluation": {"every": None}, "checkpoint": {"every": 10_000}, "logging": {"every": 1}}
    whole["output"] = {"dir": str(folder / "out")}
    for section, said in changes.items():
        whole[section] = {**whole.get(section, {}), **said}
    return yaml.safe_dump(whole)


def built(method: Method, folder: Path, changes: dict[str, dict[str, Any]]) -> Path:
    """The artifact's folder. `RefusedError` with the codes where there is none."""
    folder.mkdir(parents=True)
    made = compile_recipe("methods.ftc.yaml", recipe(method, folder, changes), folder, Options("native", emit=True))
    if made.artifact is None:
        codes = sorted({item.code for item in made.diagnostics if item.level == "error"})
        raise RefusedError(", ".join(codes) or "memory")
    for name, text in made.artifact.files.items():
        (folder / name).write_text(text, "utf-8")
    return folder


def ran(method: Method, folder: Path, steps: int, **changes: dict[str, Any]) -> Ran:
    """Trained in this process."""
    training = {"max_steps": steps, **changes.pop("training", {})}
    place = built(method, folder, {**changes, "training": training})
    with (
        _watched() as seen,
        contextlib.redirect_stderr(io.StringIO()) as said,
        contextlib.redirect_stdout(io.StringIO()),
    ):
        code = train.main(["--plan", str(place / "plan.json")])
    if code:
        raise RuntimeError(f"{method.name}: {said.getvalue()}")
    return Ran(_losses(place), next(iter(seen), None), place, _out(place))


def ran_by_two(method: Method, folder: Path, steps: int) -> list[float]:
    """The losses of two processes that share each step. A plan for a CPU is one for a single process (FTC278), so it is
    told afterwards that there are two."""
    changes = {"training": {"max_steps": steps, "micro_batch_size": 4}, "data": {"shuffle": False}}
    place = built(method, folder, changes)
    plan = json.loads((place / "plan.json").read_text("utf-8"))
    plan["hardware"] |= {"count": 2, "strategy": "ddp"}
    (place / "plan.json").write_text(json.dumps(plan), "utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(place / "train.py")], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{method.name}, two processes: {done.stderr[-2000:]}")
    return _losses(place)


def logits(model: Any) -> torch.Tensor:
    """Of some tokens, without the virtual ones before them."""
    model.eval()
    with torch.no_grad():
        return model(input_ids=IDS).logits[0, -IDS.shape[1] :].float()


@contextlib.contextmanager
def _watched() -> Iterator[list[torch.Tensor]]:
    """What the model says when it is saved."""
    seen: list[torch.Tensor] = []
    save = result.save

    def saving(plan: Any, model: Any, *further: Any, **named: Any) -> None:
        seen.append(logits(model))
        save(plan, model, *further, **named)

    with patch.object(result, "save", saving):
        yield seen


def _out(place: Path) -> Path:
    return Path(json.loads((place / "plan.json").read_text("utf-8"))["output"]["dir"])


def _losses(place: Path) -> list[float]:
    lines = map(json.loads, (_out(place) / "metrics.jsonl").read_text("utf-8").splitlines())
    return [line["loss"] for line in lines if "loss" in line]
