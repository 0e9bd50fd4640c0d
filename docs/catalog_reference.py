"""The catalogs as pages: base models and cards, each with where its facts come from."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from compiler.hardware import all_gpus
from compiler.model_releases import release_of
from compiler.models import all_models
from compiler.report.matrix import markdown
from compiler.report.release_words import licence_words
from schemas.facts import GIB, Gpu, ModelFacts

MODELS = """\
# Models

Base models whose sizes `ftc` knows without asking anyone. Any other one of a known architecture works as well: from its
`config.json`, in a folder or on the hub. A recipe names a model by its hub id or by its name here; `ftc models --format
json` has all shapes. Parameters are those that transformers loads for text. Dates, licences and how many languages a
model is for are what its maker says; nothing stands where that was not found. `ftc recommend --gpu` chooses among them.
"""
GPUS = """\
# GPUs

Cards that `hardware.gpu` and `--gpu` may name. **Usable** memory is what a process can get, as the driver reports it:
less than the box says. For another card, or a part of one, say `hardware.memory`. Rates are of dense products that add
up in float32; prices are of one card on demand, and only there to compare by. `cpu` stands for processors.
"""


def models_page() -> str:
    """docs/reference/models.md."""
    head = ["name", "hub id", "parameters", "active", "layers", "context", "chat template", "quantised", "released"]
    head += ["licence", "languages"]
    models = sorted(all_models(), key=lambda model: model.family)
    parts = [MODELS]
    for family, found in groupby(models, key=lambda model: model.family):
        inside = list(found)
        sources = dict.fromkeys(model.source.removeprefix("catalog: ") for model in inside)
        sources |= dict.fromkeys(line for model in inside for line in _of_release(model))
        listed = "".join(f"- {_plain(source)}\n" for source in sources)
        parts.append(
            f'\n## {family}\n\n{markdown(head, map(_model, inside))}\n??? note "Sources"\n\n{_indented(listed)}'
        )
    return "".join(parts)


def _model(model: ModelFacts) -> list[str]:
    active = _billions(model.active_params) if model.active_params != model.params else ""
    facts = [_billions(model.params), active, str(model.layers), f"{model.context:,}"]
    release = release_of(model.name)
    said = [release.released or "", licence_words(release), str(release.languages or "")] if release else ["", "", ""]
    return [f"`{model.name}`", model.hub_id or "", *facts, model.chat_format or "", model.prequantized or "", *said]


def _of_release(model: ModelFacts) -> Iterator[str]:
    """Where what its maker says was read, and the conditions of its licence."""
    release = release_of(model.name)
    if release:
        yield from (f"{release.group}, {fact}: {where}" for fact, where in release.sources.items() if where)
        if release.terms:
            yield f"{release.licence}: {release.terms}"


def _billions(count: int) -> str:
    return f"{count / 1e9:.2f} B"


def gpus_page() -> str:
    """docs/reference/gpus.md."""
    gpus = [gpu for gpu in all_gpus() if gpu.memory]
    head = ["name", "card", "usable GiB", "bf16 TFLOP/s", "fp16 TFLOP/s", "GB/s", "capability", "USD/h", "as of"]
    sources = "".join(f"- **{gpu.name}**: {_plain(gpu.source)}\n" for gpu in gpus)
    return f"{GPUS}\n{markdown(head, map(_gpu, gpus))}\n## Sources\n\n{sources}"


def _gpu(gpu: Gpu) -> list[str]:
    rates = [_figure(rate) for rate in (gpu.bf16_tflops, gpu.fp16_tflops, gpu.bandwidth)]
    price = [f"{gpu.usd_per_hour:.2f}" if gpu.usd_per_hour else "", gpu.price_date or ""]
    usable = f"{gpu.memory / GIB:.1f}" if gpu.memory else ""
    return [f"`{gpu.name}`", gpu.title, usable, *rates, str(gpu.compute_capability or ""), *price]


def _figure(value: float | None) -> str:
    return f"{value:.0f}" if value else ""


def _plain(text: str) -> str:
    """Text in which nothing is markup."""
    return text.replace("<", "&lt;").replace("_", "\\_").replace("*", "\\*")


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
