"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Final, get_args

import click

from backends import TARGETS
from compiler.hardware import GpuProblem, find_gpu
from schemas.footprint import Stack

TARGET_OR_ALL: Final = click.Choice([*TARGETS, "all"])
STACK_OR_ALL: Final = click.Choice([*get_args(Stack), "all"])

recipe = click.argument("recipe")
recipes = click.argument("recipes", metavar="RECIPE...", nargs=-1, required=True)


def known_gpu(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """A card of the catalog, as it was written."""
    del ctx
    if value is None:
        return value
    found = find_gpu(value)
    if isinstance(found, GpuProblem):
        raise click.BadParameter(f"{found.message}; {found.hint}" if found.hint else found.message, param=param)
    return value


gpu = click.option(
    "--gpu", metavar="GPU", callback=known_gpu, help="Weigh for this card instead of the recipe's; see `ftc gpus`."
)
sets = click.option(
    "--set",
    "sets",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a leaf: training.epochs=3; ~data.validation drops one.",
)
allow_lossy = click.option(
    "--allow-lossy", is_flag=True, help="Go on without what the target cannot do; the artifact says what is lost."
)
calibration = click.option(
    "--calibration",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Weigh by what was measured: calibration.json, from `ftc run --measure`.",
)
exact = click.option(
    "--exact", is_flag=True, help="Weigh by a trace of the real training step: needs torch, not a GPU; slow once."
)
ignore_memory = click.option("--ignore-memory", is_flag=True, help="Go on although it does not fit.")
