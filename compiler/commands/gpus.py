"""`ftc gpus`: the cards that a recipe may name."""

from __future__ import annotations

import click

from compiler.hardware import all_gpus
from compiler.report.machine import FORMAT_VERSION, as_data, as_json
from compiler.report.table import table
from schemas.facts import GIB, Gpu


@click.command()
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def command(form: str) -> None:
    """List the known GPUs."""
    gpus = all_gpus()
    if form == "json":
        click.echo(as_json({"format_version": FORMAT_VERSION, "gpus": as_data(gpus)}), nl=False)
    else:
        head = ["name", "usable GiB", "bf16 TFLOP/s", "fp16 TFLOP/s", "GB/s", "USD/h", "as of", "card"]
        click.echo(table([head, *(_row(gpu) for gpu in gpus)]), nl=False)


def _row(gpu: Gpu) -> list[str]:
    memory = f"{gpu.memory / GIB:.1f}" if gpu.memory else "-"
    rates = [_figure(gpu.bf16_tflops, 0), _figure(gpu.fp16_tflops, 0), _figure(gpu.bandwidth, 0)]
    return [gpu.name, memory, *rates, _figure(gpu.usd_per_hour, 2), gpu.price_date or "", gpu.title]


def _figure(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"
