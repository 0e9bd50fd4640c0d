"""What a target hands back: files to write, and the command that trains."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from schemas.plan import SourcePlan, is_sources
from schemas.recipe import BadRows

Target = Literal["native", "axolotl", "llamafactory", "unsloth"]
Launcher = Literal["torchrun", "slurm", "skypilot", "kubeflow", "ray"]


class Step(Struct, frozen=True):
    """A command of a run, and what its environment needs beside the machine's own."""

    words: tuple[str, ...]
    environment: dict[str, str] = {}


class Preparation(Struct, frozen=True):
    """Rows that ftc writes for the tool, all in one shape: system text in front, weights applied, validation rows
    chosen by hash.

    `validation`: a share or a number of the training rows, sources of its own, or None. `templated`: whether prompts
    and completions become conversations. `train_file`, `validation_file`: where the rows go. `marked`: every turn says
    whether it is trained, which is the last answer alone. `answers`: answers that are compared stand as lists of turns
    beside their `prompt`, as TRL reads them, or each as one turn beside `messages`, as LLaMA-Factory does. `bad_rows`:
    what happens where rows cannot be trained on. `paired`: turns must come in pairs of a question and an answer.
    """

    train: tuple[SourcePlan, ...]
    validation: float | int | tuple[SourcePlan, ...] | None
    seed: int
    system: str | None
    templated: bool
    train_file: str
    validation_file: str
    marked: bool = False
    answers: Literal["turns", "turn"] = "turns"
    bad_rows: BadRows = "error"
    paired: bool = False

    @property
    def local(self) -> bool:
        """Whether every row is in a file of this machine, so that it can be written when the artifact is."""
        return all(source.local for source in (*self.train, *(self.validation if is_sources(self.validation) else ())))

    @property
    def files(self) -> tuple[str, ...]:
        """What is written."""
        return (self.train_file,) if self.validation is None else (self.train_file, self.validation_file)


RECIPE: Final = "recipe.ftc.yaml"
"""The recipe as it was written, beside what was made of it."""


class Artifact(Struct, frozen=True):
    """`files`: path inside the artifact's folder → text; `body` names the one that holds the config or script.

    `command` is run in the artifact's folder. `preparation`: rows that are written beside the files; None where there
    are none, or where they are on the hub and the artifact fetches them itself. `version`: the tool's, where it is
    another one than the tested. `paired`: the tool leaves out conversations whose turns are not pairs. `steps`: what
    `command` runs in turn, where it is a script of several commands. `launcher`: who starts it on other machines.
    `moved`: leaves that are otherwise there than in the recipe's plan. `copies`: path inside the folder → the file of
    this machine that is copied there.
    """

    target: Target
    body: str
    files: dict[str, str]
    command: tuple[str, ...]
    preparation: Preparation | None = None
    version: str | None = None
    paired: bool = False
    steps: tuple[Step, ...] = ()
    launcher: Launcher | None = None
    moved: dict[str, str] = {}
    copies: dict[str, str] = {}
