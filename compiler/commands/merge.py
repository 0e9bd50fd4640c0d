"""`ftc merge`: the adapter of a run merged into its base, and looked at."""

from __future__ import annotations

from pathlib import Path

import click

from backends.native.serving import unmergeable
from compiler.after.finished import find_run, require_packages
from compiler.commands import options
from compiler.errors import FtcError
from compiler.exit import USAGE


@click.command()
@options.run
@click.option(
    "--out", type=click.Path(path_type=Path), help="Where the merged model is written.  [default: RUN/merged]"
)
def command(*, run: str, out: Path | None) -> int:
    """Merge the adapter of a finished run into its base.

    The base is loaded anew in main memory, in the type of model.dtype and never quantised. The merged model is read
    back and compared with base and adapter before it gets its place; nothing is overwritten.
    """
    found, target = find_run(run), out or Path(run) / "merged"
    if why := unmergeable(found.plan):
        raise FtcError(f"{found.name} cannot be merged: {why}")
    require_packages()
    from backends.native.card import model_card
    from backends.native.merging import merge, told
    from compiler.after.loading import explained, size_of

    if target.exists() or target.is_symlink():
        hint = "name another folder with --out, or remove it"
        raise FtcError(f'"{target}" is there already{_of_whom(target, found.result)}', hint, USAGE)
    with explained():
        measured = merge(found.plan, found.result, target, model_card(found.plan, found.summary, "merged"))
    click.echo(f"{found.name}: merged into its base, {measured['dtype']}, {size_of(target)}: {target}")
    click.echo(f"  {told(measured)}")
    return 0


def _of_whom(target: Path, adapter: Path) -> str:
    """What is known of a merged model that is there."""
    import json

    from backends.native.merging import PROOF, weights_digest

    try:
        same = json.loads((target / PROOF).read_text("utf-8"))["adapter_sha256"] == weights_digest(adapter)
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return ", merged from this very adapter" if same else ", merged from another adapter than the run has now"
