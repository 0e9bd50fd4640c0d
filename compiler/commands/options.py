"""Arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, get_args

import click
from msgspec import Struct

from backends import TARGETS, pinned
from compiler.build import Options
from compiler.completion.offering import offers
from compiler.errors import FtcError
from compiler.exit import MISSING
from compiler.hardware import GpuProblem, find_gpu
from schemas.artifact import Target
from schemas.footprint import Stack

STACK_OR_ALL: Final = click.Choice([*get_args(Stack), "all"])

recipe = click.argument("recipe", shell_complete=offers("recipes"))
recipes = click.argument("recipes", metavar="RECIPE...", nargs=-1, required=True, shell_complete=offers("recipes"))
run = click.argument("run", shell_complete=offers("runs"))


class Asked(Struct, frozen=True):
    """A target, and the version of its tool where it is another one than the tested."""

    target: Target
    version: str | None = None

    @property
    def words(self) -> str:
        """As it is asked for."""
        return f"{self.target}@{self.version}" if self.version else self.target


def to_emit(asked: Asked, sets: tuple[str, ...], *, allow_lossy: bool, drop_raw: bool, ignore_memory: bool) -> Options:
    """What an artifact is asked for with."""
    return Options(
        target=asked.target,
        version=asked.version,
        sets=sets,
        allow_lossy=allow_lossy,
        drop_raw=drop_raw,
        ignore_memory=ignore_memory,
        emit=True,
    )


BY_NAME: Final[dict[str, Target]] = {target: target for target in TARGETS}
TARGET: Final = f"[{'|'.join(TARGETS)}][@VERSION]"
"""How a target is written."""


def known_target(
    ctx: click.Context, param: click.Parameter, value: str | None, known: Sequence[str] = TARGETS
) -> Asked | None:
    """The target that is named, in its tested version or another one that ftc knows. `known`: what may be named."""
    del ctx
    if value is None:
        return None
    name, at, wanted = value.partition("@")
    target = BY_NAME.get(name)
    if target is None:
        from compiler.hosted.elsewhere import refuse_provider

        if at and name in known:
            raise click.BadParameter(f"{name} has no versions: write {name} alone.", param=param)
        refuse_provider(name)
        raise click.BadParameter(f"{name!r} is not one of {', '.join(map(repr, known))}.", param=param)
    return _in_version(target, wanted) if at else Asked(target)


def _in_version(target: Target, wanted: str) -> Asked:
    """The newest version that begins so; a version that ftc does not know is missing, not wrong."""
    from backends.release import matching, others

    ours = pinned(target)
    listed = (*others(target), ours)
    found = matching(wanted, listed)
    if found is None:
        message = f"ftc does not know {target} {wanted or 'without a version after @'}"
        hint = f"it knows {', '.join(listed)}; {target} alone means {ours}, which it is tested with"
        raise FtcError(message, hint, MISSING)
    return Asked(target, None if found == ours else found)


def target_or_all(
    ctx: click.Context, param: click.Parameter, value: str | None, known: Sequence[str] = TARGETS
) -> tuple[Asked, ...] | None:
    """One target, or all of them in their tested versions."""
    if value == "all":
        return tuple(map(Asked, TARGETS))
    asked = known_target(ctx, param, value, known)
    return (asked,) if asked else None


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
    "--gpu",
    metavar="GPU",
    callback=known_gpu,
    shell_complete=offers("gpus"),
    help="Weigh for this card instead of the recipe's; see `ftc gpus`.",
)
sets = click.option(
    "--set",
    "sets",
    metavar="KEY=VALUE",
    multiple=True,
    shell_complete=offers("settings"),
    help="Change a leaf: training.epochs=3; ~data.validation drops one.",
)
allow_lossy = click.option(
    "--allow-lossy", is_flag=True, help="Go on without what the target cannot do; the artifact says what is lost."
)
drop_raw = click.option(
    "--drop-raw", is_flag=True, help="Go on without raw keys that are for another target; the artifact says so."
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
Device = Literal["auto", "cpu", "cuda"]
device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the model computes; auto: on the card where there is one.",
)
ignore_memory = click.option("--ignore-memory", is_flag=True, help="Go on although it does not fit.")
