"""`--notebook`: the run as a notebook, beside the script that it is made of."""

from __future__ import annotations

import click
from msgspec.structs import replace

from compiler.build import Compiled, Options
from schemas.artifact import Artifact

notebook = click.option("--notebook", is_flag=True, help="With unsloth: a Jupyter notebook too, for Colab for one.")


def require_unsloth(asked: Options, *, notebook: bool) -> None:
    """The other targets are started by a command, and have no script for a person to read."""
    if notebook and asked.target != "unsloth":
        raise click.UsageError(f"--notebook is for --target unsloth; {asked.target} has none")


def added(artifact: Artifact, compiled: Compiled, asked: Options, *, alone: bool) -> Artifact:
    """The artifact with its notebook. `alone`: that is what is printed of it."""
    from compiler.notebook import NAME, with_notebook  # only where one is asked for

    made = with_notebook(artifact, compiled, asked)
    return replace(made, body=NAME) if alone else made
