"""`--tokens`: how many tokens an epoch has, where the user knows it and ftc cannot."""

from __future__ import annotations

import re
from typing import Final

import click

UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
WRITTEN: Final = re.compile(r"(\d[\d_,]*(?:\.\d+)?) ?([kmb]?)", re.IGNORECASE)
MOST: Final = 10**15
"""More than was ever trained on is a slip of the keyboard."""


def _count(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """A number of tokens: 12M, 800k, 1.5B, 12_000_000."""
    del ctx
    if value is None:
        return None
    found = WRITTEN.fullmatch(value.strip())
    if not found:
        raise click.BadParameter(f"{value!r} is no number of tokens; write 12000000, 12M or 1.5B", param=param)
    count = round(float(found[1].replace(",", "").replace("_", "")) * UNITS[found[2].lower()])
    if not 0 < count <= MOST:
        raise click.BadParameter(f"{value!r} is no number of tokens that a run could have", param=param)
    return count


tokens = click.option(
    "--tokens",
    metavar="COUNT",
    callback=_count,
    help="Tokens of an epoch, for time and cost: 12M; counted if not given.",
)
