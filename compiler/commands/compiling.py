"""A recipe file taken through the pipeline, and what most commands then do with its findings."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from msgspec import Struct

from compiler.build import Compiled, Options, compile_recipe
from compiler.exit import OK, of_recipe
from compiler.locate import locate
from compiler.overrides import override
from compiler.report.paint import painter
from compiler.report.text import diagnostics_text, summary
from compiler.source import parse, read
from schemas.diagnostic import Diagnostic, Finding
from schemas.plan import Plan


class File(Struct, frozen=True):
    """A recipe file: its name as the user wrote it, and its text."""

    name: str
    text: str

    def sources(self, sets: Sequence[str]) -> dict[str, Sequence[str]]:
        """The lines that findings point at: the file's, broken where YAML breaks them, and the options."""
        return {self.name: re.split(r"\r\n|[\n\r\x85\u2028\u2029]", self.text), "--set": sets}

    def locate(self, found: Iterable[Finding], sets: Sequence[str]) -> tuple[Diagnostic, ...]:
        """Findings of later steps at their places in the recipe."""
        source = override(parse(self.text, self.name), tuple(sets))
        return tuple(locate(item, source) for item in found)

    def compile(self, options: Options) -> Compiled:
        """Take it through the pipeline."""
        return compile_recipe(self.name, self.text, Path(self.name).absolute().parent, options)


def open_file(name: str) -> File:
    """Read a recipe; `FtcError` (usage) where there is none."""
    return File(name, read(Path(name)))


def require_valid(file: File, compiled: Compiled, sets: Sequence[str], *, err: bool = False) -> Plan:
    """Print the findings; the plan, or the end of the command where one of them is an error."""
    paint = painter(sys.stderr if err else sys.stdout)
    click.echo(diagnostics_text(compiled.diagnostics, file.sources(sets), paint), nl=False, err=err, color=paint.on)
    if compiled.plan and compiled.valid:
        return compiled.plan
    if compiled.hosted and compiled.valid:
        from compiler.hosted.elsewhere import refuse_hosted

        refuse_hosted(compiled.hosted, file.name)
    errors = sum(item.level == "error" for item in compiled.diagnostics)
    click.echo(summary(errors, len(compiled.diagnostics) - errors, paint), nl=False, err=err, color=paint.on)
    raise click.exceptions.Exit(of_recipe(compiled.diagnostics, ()) or OK)
