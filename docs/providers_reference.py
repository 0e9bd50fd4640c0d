"""docs/reference/hosted.md: what is known of providers and of the models that they alone train."""

from __future__ import annotations

from compiler.report.matrix import markdown
from compiler.report.provider_matrix import Side, markdown_leaves, sides
from schemas.hosted import HostedModel

HEAD = """\
# Providers

Models that only their provider trains, and what its API takes, from `schemas/catalog/hosted.json`. How to use them:
[OpenAI and Amazon Bedrock](../hosted.md). A fact that is marked *unverified* was found in no text that could be read:
look it up before you rely on it.
"""


def hosted_page() -> str:
    """The page."""
    found = sides()
    return (
        HEAD
        + "".join(map(_provider, found))
        + "\n## Every leaf of the recipe\n\nWhat it becomes there. A value that is the language's default asks for "
        "nothing.\n\n" + markdown_leaves(found)
    )


def _provider(side: Side) -> str:
    limits = side.about.limits
    ranges = [(name, getattr(limits, name)) for name in limits.__struct_fields__]
    rows = [[name.replace("_", " "), limit.words, limit.source] for name, limit in ranges if limit is not None]
    return (
        f"\n## {side.about.title}\n\n`--target {side.name}`, with `{side.client}`.\n\n"
        + markdown(["", "takes", "says"], rows)
        + "".join(_model(name, model) for name, model in side.about.models.items())
    )


def _model(name: str, model: HostedModel) -> str:
    price = "not known" if model.price.usd is None else f"{model.price.usd:.2f} USD a million tokens, {model.price.day}"
    rows = [
        ["also called", ", ".join(f"`{one}`" for one in model.aliases), ""],
        *([["objective", objective, source] for objective, source in model.objectives.items()]),
        ["tokens a row", model.example.words, model.example.source],
        ["price of training", price, model.price.source],
        ["tokenizer", f"tiktoken's `{model.encoding}`" if model.encoding else "not public", ""],
        *([["region", f"`{model.region}`", ""]] if model.region else []),
        *([["its end", model.ends, "; ".join(model.sources)]] if model.ends else []),
    ]
    return f"\n### {model.title}\n\n`model.base: {name}`\n\n" + markdown(["", "", "says"], rows)
