"""`ftc models`: the base models whose sizes ftc knows by heart."""

from __future__ import annotations

import click

from compiler.models import all_models
from compiler.report.machine import FORMAT_VERSION, as_data, as_json
from compiler.report.table import table
from schemas.facts import ModelFacts


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def command(form: str) -> None:
    """List the known base models.

    Any other model works too, from its config.json.
    """
    models = all_models()
    if form == "json":
        click.echo(as_json({"format_version": FORMAT_VERSION, "models": as_data(models)}), nl=False)
    else:
        head = ["name", "parameters", "active", "layers", "hidden", "context", "hub id"]
        click.echo(table([head, *(_row(model) for model in models)]), nl=False)


def _row(model: ModelFacts) -> list[str]:
    active = _billions(model.active_params) if model.active_params != model.params else ""
    sizes = [str(model.layers), str(model.hidden), str(model.context)]
    return [model.name, _billions(model.params), active, *sizes, model.hub_id or ""]


def _billions(count: int) -> str:
    return f"{count / 1e9:.2f} B"
