"""`ftc models`: the base models whose sizes ftc knows by heart."""

from __future__ import annotations

import click

from compiler.model_releases import release_of
from compiler.models import all_models
from compiler.report.machine import FORMAT_VERSION, as_json
from compiler.report.release_words import licence_words, listed_data
from compiler.report.table import table
from schemas.facts import ModelFacts


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def command(form: str) -> None:
    """List the known base models.

    Any other model works too, from its config.json. Licences and dates are what their makers say; -: not found.
    """
    models = all_models()
    if form == "json":
        listed = [listed_data(model, release_of(model.name)) for model in models]
        click.echo(as_json({"format_version": FORMAT_VERSION, "models": listed}), nl=False)
    else:
        head = ["name", "parameters", "active", "layers", "hidden", "context", "released", "licence", "hub id"]
        click.echo(table([head, *(_row(model) for model in models)]), nl=False)


def _row(model: ModelFacts) -> list[str]:
    active = _billions(model.active_params) if model.active_params != model.params else ""
    sizes = [str(model.layers), str(model.hidden), str(model.context)]
    release = release_of(model.name)
    said = [(release.released if release else None) or "-", licence_words(release)]
    return [model.name, _billions(model.params), active, *sizes, *said, model.hub_id or ""]


def _billions(count: int) -> str:
    return f"{count / 1e9:.2f} B"
