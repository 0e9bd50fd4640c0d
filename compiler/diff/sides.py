"""A side of a comparison: a recipe, or another tool's config as a recipe, compiled for a target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from backends import TARGETS, load
from compiler.build import Compiled, Options
from compiler.commands.compiling import File, open_file
from compiler.errors import FtcError
from compiler.exit import INVALID, USAGE
from compiler.importing.importing import Asked, Imported, import_config
from compiler.importing.tools import TITLES, is_recipe, recognise
from compiler.lock import tool
from compiler.source import parse
from schemas.artifact import Target
from schemas.diagnostic import Diagnostic
from schemas.plan import Plan

CANNOT: Final = ("FTC401", "FTC402", "FTC403", "FTC404", "FTC406")
DIFFERS: Final = "FTC405"


class Side(Struct, frozen=True):
    """`label`: what its column is called. `target`: and the tool's version, where it is another than the tested.
    `origin`: whose config it was. `said`: what the target cannot do of it, or does otherwise."""

    label: str
    file: File
    target: Target
    version: str | None
    compiled: Compiled
    origin: str | None = None

    @property
    def plan(self) -> Plan:
        """The plan: sides are compared only where each has one."""
        if self.compiled.plan is None:
            raise FtcError(f"{self.file.name} has no plan", exit_code=INVALID)
        return self.compiled.plan

    @property
    def tool(self) -> str:
        """What carries it out, with its version."""
        return tool(self.target, self.version)

    @property
    def title(self) -> str:
        """The tool's name."""
        return load(self.target).TITLE

    @property
    def said(self) -> tuple[Diagnostic, ...]:
        """What the target cannot do of it, or does otherwise."""
        return tuple(item for item in self.compiled.diagnostics if item.code in (*CANNOT, DIFFERS))


class Named(Struct, frozen=True):
    """A file, and the target behind an @ of its name."""

    file: str
    target: str | None = None


def named(text: str) -> Named:
    """`recipe.yaml@axolotl@0.17` is a recipe for a target; a file that is called so is a file."""
    file, at, target = text.partition("@")
    while at and not Path(text).exists():
        if target.partition("@")[0] in TARGETS:
            return Named(file, target)
        more, at, target = target.partition("@")
        file = f"{file}@{more}"
    return Named(text)


def read(file: str) -> tuple[File, str | None]:
    """A recipe; of another tool's config, what it becomes, and that tool."""
    found = open_file(file)
    config = parse(found.text, file).data
    if config is None or is_recipe(config) or recognise(config) is None or "version" in config:
        return found, None
    made = import_config(file, found.text, Asked(Path(file).absolute().parent))
    if isinstance(made, Imported) and made.text is not None:
        return File(file, made.text), TITLES[made.tool]
    wrong = made.remarks if isinstance(made, Imported) else ()
    why = next((item for item in wrong if item.level == "error"), None)
    place = f"{file}:{why.span.line}: {why.message}" if why else file
    raise FtcError(f"it cannot be imported: {place}", f"ftc import {file} says more", INVALID)


def side(file: File, origin: str | None, label: str, asked: tuple[Target, str | None], options: Options) -> Side:
    """Compiled for the target, what it cannot do left out, so that it can be compared."""
    target, version = asked
    chosen = Options(
        target=target,
        version=version,
        gpu=options.gpu,
        sets=options.sets,
        allow_lossy=True,
        drop_raw=True,
    )
    return Side(label, file, target, version, file.compile(chosen), origin)


def labels(files: Sequence[str], targets: Sequence[str]) -> list[str]:
    """Short names that tell the sides apart: of the files, of the targets, or of both."""
    names = _short(files) if len(set(files)) > 1 else [""] * len(files)
    several = len(set(targets)) > 1
    joined = [
        f"{name}@{target}" if several and name else target if several else name
        for name, target in zip(names, targets, strict=True)
    ]
    if len(set(joined)) < len(joined):
        raise FtcError("two sides are the same recipe for the same target", "name another file, or --targets", USAGE)
    return joined


def _plain(name: str) -> str:
    return next((name.removesuffix(end) for end in (".ftc.yaml", ".ftc.yml") if name.endswith(end)), name)


def _short(files: Sequence[str]) -> list[str]:
    """File names, with as many of their folders as it takes."""
    different = len(set(files))
    for depth in range(1, max(len(Path(file).parts) for file in files) + 1):
        short = [_plain("/".join(Path(file).parts[-depth:])) for file in files]
        if len(set(short)) == different:
            return short
    return list(files)
