"""What a launcher is, and how its scripts are written: by templates, every value through one filter."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct

from schemas.artifact import Step
from schemas.diagnostic import Finding
from schemas.launch import Needs
from schemas.plan import Plan

if TYPE_CHECKING:
    from jinja2 import Environment

PORT: Final = 29500
"""Where processes of several machines meet, on the first of them."""
TEMPLATES: Final = Path(__file__).parent.parent / "templates" / "launchers"


class Job(Struct, frozen=True):
    """A run that is to be started elsewhere. `steps`: what a machine runs; none for the native target, whose command
    follows from the plan. `prepares`: whether rows are fetched and written before. `out`: the folder of the results.
    `local`: folders and files of this machine that the run reads where they lie."""

    plan: Plan
    title: str
    needs: Needs
    steps: tuple[Step, ...]
    prepares: bool
    out: str
    local: tuple[str, ...]

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.plan.name

    @property
    def root(self) -> str:
        """The folder that the results of several runs lie in."""
        return self.plan.output.dir.rpartition("/")[0]


class Starter(Protocol):
    """A launcher's module."""

    TITLE: str
    """Its name as its authors write it."""
    STORE: str | None
    """Where results go on storage that outlives the machines, unless the recipe says; None: its machines see the
    folders of this one, and nothing is moved."""
    CARRIES: int | None
    """The most bytes that it takes along; None: any number."""
    BODY: str
    """The file that is handed in."""
    COMMAND: tuple[str, ...]
    """What hands it in, from the artifact's folder."""

    def losses(self, plan: Plan) -> tuple[Finding, ...]:
        """What it cannot do for this plan."""
        ...

    def files(self, job: Job) -> dict[str, str]:
        """Its files, beside those that start a machine's share."""
        ...

    def words(self, job: Job) -> tuple[str, ...]:
        """Paragraphs of the README: what to do before, what happens when a machine is taken away."""
        ...


def render(template: str, **values: object) -> str:
    """A template of this launcher; an unknown name in it is an error."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 (shell, and Python: each value goes through a filter below)
    )
    made.filters |= {"quoted": quoted, "literal": repr, "plain": plain}
    return made


def quoted(value: object) -> str:
    """A value as one word of a shell."""
    return shlex.quote(str(value))


def plain(value: object) -> str:
    """A text inside of a comment: no line of its own, nothing that a terminal obeys."""
    return "".join(letter if letter.isprintable() else " " for letter in str(value))


def label(name: str, ending: str = "") -> str:
    """A recipe's name as Kubernetes takes one (RFC 1035): letters, digits and hyphens, a letter first."""
    words = re.sub(r"[^a-z0-9]+", "-", name).strip("-")
    begun = words if words[:1].isalpha() else f"run-{words}"
    return begun[: 63 - len(ending)].rstrip("-") + ending
