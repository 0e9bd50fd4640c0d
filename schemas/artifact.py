"""What a target hands back: files to write, and the command that trains."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from schemas.plan import SourcePlan

Target = Literal["native", "axolotl", "llamafactory", "unsloth"]


class Split(Struct, frozen=True):
    """Training rows parted by a hash of (seed, row number) into two files of the artifact, one row a line."""

    sources: tuple[SourcePlan, ...]
    share: float | int
    seed: int
    train: str
    validation: str


class Artifact(Struct, frozen=True):
    """`files`: path inside the artifact's folder → text; `body` names the one that holds the config or script.

    `command` is run in the artifact's folder.
    """

    target: Target
    body: str
    files: dict[str, str]
    command: tuple[str, ...]
    splits: tuple[Split, ...] = ()
