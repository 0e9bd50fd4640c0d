"""`ftc import`: a recipe from another tool's config."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Literal

import click

from compiler.errors import FtcError
from compiler.exit import INVALID, USAGE
from compiler.importing.importing import Asked, Imported, import_config
from compiler.importing.tools import TOOLS, Tool
from compiler.report.import_text import import_json, import_text, unreadable_json
from compiler.report.paint import painter
from compiler.report.text import diagnostics_text
from compiler.source import read


@click.command("import")
@click.argument("file")
@click.option("--from", "tool", type=click.Choice(TOOLS), help="The tool that it is for, where its keys do not tell.")
@click.option("--out", metavar="RECIPE", help="Write the recipe here, where nothing is yet; else it is printed.")
@click.option("--name", help="The recipe's name; else it is made of the file's.")
@click.option(
    "--count", type=click.IntRange(1), metavar="N", help="The cards that it is trained on, which the file does not say."
)
@click.option(
    "--dataset-info", type=click.Path(path_type=Path), metavar="FILE", help="LLaMA-Factory's dataset_info.json."
)
@click.option("--data", metavar="PATH", help="PEFT: rows to train on, of which its config says nothing.")
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    *,
    file: str,
    tool: Tool | None,
    out: str | None,
    name: str | None,
    count: int | None,
    dataset_info: Path | None,
    data: str | None,
    style: Literal["text", "json"],
) -> int:
    """Make a recipe of another tool's config.

    Of Axolotl, LLaMA-Factory, Unsloth or PEFT. What could not be carried is named at its line. The recipe says what
    the config leaves to the tool's own defaults.
    """
    if name is not None and not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", name):
        raise FtcError(f'"{name}" is no name of a recipe', "small letters, digits, dots and dashes", USAGE)
    text = read(Path(file))
    folder = Path(out).absolute().parent if out else Path.cwd()
    made = import_config(file, text, Asked(folder, tool, name, count, dataset_info, data))
    lines = re.split(r"\r\n|[\n\r\x85\u2028\u2029]", text)
    if not isinstance(made, Imported):
        if style == "json":
            click.echo(unreadable_json(made, file), nl=False)
            return INVALID
        paint = painter(sys.stderr)
        click.echo(diagnostics_text(made, {file: lines}, paint), nl=False, err=True, color=paint.on)
        return INVALID
    if out and made.text is not None:
        _write(Path(out), made)
    _say(made, file, lines, out, style)
    return INVALID if made.text is None else 0


def _say(made: Imported, file: str, lines: list[str], out: str | None, style: Literal["text", "json"]) -> None:
    """The recipe goes to stdout where it is not written, and what is said about it beside that."""
    if style == "json":
        click.echo(import_json(made, file, out), nl=False)
        return
    beside = made.text is not None and out is None
    paint = painter(sys.stderr if beside else sys.stdout)
    if beside:
        click.echo(made.text, nl=False)
    click.echo(import_text(made, file, lines, paint), nl=False, err=beside, color=paint.on)
    if out and made.text is not None:
        click.echo(f"wrote {out}")
    for name in made.files if beside else ():
        click.echo(f"{name} must stand beside it: --out writes both", err=True)


def _write(out: Path, made: Imported) -> None:
    """The recipe and what stands beside it, each whole or not at all, and never over anything."""
    files = {out.parent / name: text for name, text in made.files.items()} | {out: made.text or ""}
    for path in files:
        if path.exists() or path.is_symlink():
            raise FtcError(f"{path} is there already", "nothing is overwritten: name another file with --out", USAGE)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            _whole(path, text)
    except OSError as error:
        raise FtcError(f"cannot write {out}: {error}", exit_code=USAGE) from None


def _whole(path: Path, text: str) -> None:
    with NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8") as aside:
        aside.write(text)
    try:
        Path(aside.name).chmod(0o644)
        # A link fails where something is there by now, as a rename would not.
        os.link(aside.name, path)
    finally:
        Path(aside.name).unlink()
