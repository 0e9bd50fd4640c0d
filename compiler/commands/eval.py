"""`ftc eval`: a finished run against its base."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any, Literal, TextIO, cast

import click

from compiler.after.finished import Finished, find_run, require_packages
from compiler.commands import options

FILE = click.Path(path_type=Path)


@click.command(short_help="Evaluate a finished run beside its base.")
@options.run
@click.option("--data", type=FILE, metavar="FILE", help="Rows in any format that `ftc data` reads.")
@click.option("--forgetting", type=FILE, metavar="TEXT", help="A text file of something else: what was forgotten?")
@click.option("--tasks", metavar="NAME,…", help="Tasks of lm-eval (pip install 'ftc[eval]').")
@click.option("--task-path", type=FILE, metavar="FOLDER", help="Of lm-eval tasks that are your own.")
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="Only the first N rows, stretches of text, documents."
)
@options.device
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def command(
    *,
    run: str,
    data: Path | None,
    forgetting: Path | None,
    tasks: str | None,
    task_path: Path | None,
    limit: int | None,
    device: options.Device,
    form: Literal["text", "json"],
) -> int:
    """Evaluate a finished run beside its base, on rows that it was not trained on.

    Loss over the tokens that training would count, and how many answers are exactly the expected ones; with 95 %
    intervals. Everything is written to a new file eval-….json in the run's folder.
    """
    if not (data or forgetting or tasks):
        raise click.UsageError("say what to evaluate on: --data, --forgetting or --tasks")
    if task_path and not tasks:
        raise click.UsageError("--task-path is for --tasks")
    found = find_run(run)
    require_packages()
    if tasks:
        from compiler.after.harness import require_harness

        require_harness()
    from compiler.after.evaluation import Asked, evaluate, shown
    from compiler.after.loading import device_of, explained

    names = tuple(name.strip() for name in (tasks or "").split(",") if name.strip())
    with explained():
        told = evaluate(found, Asked(data, forgetting, names, task_path, limit), device_of(device), _progress)
    # The name of a file need not be UTF-8.
    text = json.dumps(_valid(told), indent=1, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")
    # First it is said: it took long, and there may be no room for the file.
    if form == "json":
        click.echo(text)
    else:
        from compiler.report.eval_text import eval_text
        from compiler.report.paint import painter

        paint = painter()
        click.echo(eval_text(told, shown(told), paint), nl=False, color=paint.on)
    written = _write(found, text + "\n", data or forgetting)
    if form == "text":
        click.echo(f"\nwritten to {written}")
    return 0


def _valid(told: Any) -> Any:
    """What JSON can say: null for a figure that is no number."""
    if isinstance(told, dict):
        return {name: _valid(value) for name, value in cast("dict[str, Any]", told).items()}
    if isinstance(told, list):
        return [_valid(value) for value in cast("list[Any]", told)]
    return None if isinstance(told, float) and not isfinite(told) else told


def _write(run: Finished, text: str, about: Path | None) -> Path:
    """Into the first free name: what was found earlier stays. Whole, or not at all."""
    stem, number = f"eval-{about.name.split('.')[0] if about else 'tasks'}", 1
    while True:
        path = run.folder / (f"{stem}.json" if number == 1 else f"{stem}-{number}.json")
        try:
            with path.open("x", encoding="utf-8") as file:
                _fill(file, path, text)
            return path
        except FileExistsError:
            number += 1


def _fill(file: TextIO, path: Path, text: str) -> None:
    try:
        file.write(text)
        file.flush()
    except OSError:
        path.unlink()
        raise


@contextmanager
def _progress(what: str, count: int) -> Generator[Callable[[int], object]]:
    """A bar, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=count, label=what, file=sys.stderr) as bar:
        yield bar.update
