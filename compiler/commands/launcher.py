"""The option of `ftc build` that names who starts the artifact on other machines."""

from __future__ import annotations

from typing import get_args

import click

from schemas.artifact import Launcher

option = click.option(
    "--launcher",
    "by",
    type=click.Choice(get_args(Launcher)),
    help="Add what starts it on other machines: a cluster, a cloud, or several by hand.",
)
