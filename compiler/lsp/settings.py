"""What an editor may set: the target whose refusals are said, another card, and whether the server stands alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import click
from msgspec import Struct

from compiler.build import Options
from compiler.commands.options import target_or_all
from compiler.errors import FtcError
from compiler.hardware import GpuProblem, find_gpu
from schemas.artifact import Target

SECTION: Final = "ftc"
"""The section of the editor's settings."""
NAMES: Final = ("target", "gpu", "schemaDiagnostics", "path", "trace")
"""`path` and `trace` are the extension's own."""


class Settings(Struct, frozen=True):
    """`asked`: how the recipe is compiled, once for each target. `alone`: no schema is beside us, so that shapes are
    ours to check, complete and explain."""

    asked: tuple[Options, ...] = (Options(online=False),)
    alone: bool = False


def read_settings(given: object) -> tuple[Settings, tuple[str, ...]]:
    """Settings as an editor sends them, and what is wrong with them; what is wrong is left out."""
    if not isinstance(given, Mapping):
        return Settings(), ()
    said = cast("Mapping[str, object]", given)
    said = cast("Mapping[str, object]", said[SECTION]) if isinstance(said.get(SECTION), Mapping) else said
    wrong = [f"ftc.{name}: there is no such setting" for name in said if name not in NAMES]
    gpu, targets = _gpu(said.get("gpu"), wrong), _targets(said.get("target"), wrong)
    alone = said.get("schemaDiagnostics")
    if alone is not None and not isinstance(alone, bool):
        wrong.append("ftc.schemaDiagnostics: true or false")
    base = Options(gpu=gpu, online=False)
    each = tuple(Options(target=item[0], version=item[1], gpu=gpu, online=False) for item in targets)
    return Settings(each or (base,), alone is True), tuple(wrong)


def _gpu(value: object, wrong: list[str]) -> str | None:
    if value is None or value == "":
        return None
    found = find_gpu(value) if isinstance(value, str) else None
    if isinstance(found, GpuProblem) or not isinstance(value, str):
        said = f"{found.message}; {found.hint or 'see `ftc gpus`'}" if isinstance(found, GpuProblem) else "a name"
        wrong.append(f"ftc.gpu: {said}")
        return None
    return value


def _targets(value: object, wrong: list[str]) -> list[tuple[Target | None, str | None]]:
    if value is None or value == "":
        return []
    try:
        asked = target_or_all(_CONTEXT, _PARAMETER, str(value))
    except (click.BadParameter, FtcError) as error:
        wrong.append(f"ftc.target: {error.message}")
        return []
    return [(item.target, item.version) for item in asked or ()]


_PARAMETER: Final = click.Option(["--target"])
_CONTEXT: Final = click.Context(click.Command("lsp"))
