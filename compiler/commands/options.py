"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Final, get_args

import click

from backends import TARGETS
from schemas.footprint import Stack

TARGET_OR_ALL: Final = click.Choice([*TARGETS, "all"])
STACK_OR_ALL: Final = click.Choice([*get_args(Stack), "all"])

recipe = click.argument("recipe")
recipes = click.argument("recipes", metavar="RECIPE...", nargs=-1, required=True)
gpu = click.option("--gpu", metavar="GPU", help="Weigh for this card instead of the recipe's; see `ftc gpus`.")
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
ignore_memory = click.option("--ignore-memory", is_flag=True, help="Go on although it does not fit.")
