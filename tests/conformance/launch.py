"""What the commands of an artifact say beside the tool's config: processes, machines, what comes after."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from schemas.artifact import Artifact

Values = dict[str, Any]


class Command(Struct, frozen=True):
    """A line of `run.sh`: its words, and what stands in the environment before it."""

    words: list[str]
    environment: dict[str, str]


def commands(artifact: Artifact) -> list[Command]:
    """The lines that the artifact runs once its environment is there."""
    _, _, lines = artifact.files["run.sh"].partition("export PATH\n")
    return [command(shlex.split(line)) for line in lines.splitlines()]


def command(words: list[str]) -> Command:
    if words[0] != "env":
        return Command(words, {})
    named = [word for word in words[1:] if "=" in word.partition(" ")[0] and not word.startswith("-")]
    count = next(index for index, word in enumerate(words[1:]) if word not in named)
    return Command(words[1 + count :], dict(word.split("=", 1) for word in words[1 : 1 + count]))


def training(made: list[Command]) -> Command:
    """The one that trains."""
    return next(item for item in made if item.words[:2] != ["python", "prepare.py"])


def launched(made: list[Command], folder: Path) -> Values:
    """Processes, machines and merging, whichever of its ways a tool is told them."""
    train = training(made)
    merges = any(item.words[:2] in (["axolotl", "merge-lora"], ["llamafactory-cli", "export"]) for item in made)
    told = {**_options(train.words), **train.environment}
    file = told.get("config_file")
    file_says: Mapping[str, Any] = yaml.safe_load((folder / file).read_text("utf-8")) if file else {}
    machines = int(told.get("nnodes") or told.get("NNODES") or file_says.get("num_machines") or 1)
    processes = file_says.get("num_processes", machines) / machines
    each = told.get("nproc_per_node") or told.get("nproc-per-node") or told.get("NPROC_PER_NODE") or processes
    return {"hardware.nodes": machines, "hardware.count": int(each), "output.merge": merges}


def _options(words: list[str]) -> dict[str, str]:
    """`--name=value` and `--name value`."""
    found: dict[str, str] = {}
    for word, after in zip(words, [*words[1:], ""], strict=True):
        name, given, value = word.removeprefix("--").partition("=")
        if word.startswith("--"):
            found[name] = value if given else after
    return found
