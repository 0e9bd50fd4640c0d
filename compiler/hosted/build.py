"""The pipeline of recipes for models that only their provider trains, in its order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec.structs import replace

from backends.base import ELSEWHERE
from backends.hosted import PROVIDERS, load
from backends.hosted.base import HostedBackend, apply
from compiler.build import Compiled, Options
from compiler.check import Checked
from compiler.hosted.catalog import Hosted, look_up, names, nearest, providers
from compiler.hosted.planning import hosted_plan, recipe_leaves
from compiler.locate import locate
from compiler.refusals import LOSSY, as_written
from compiler.rules import Context, run_rules
from compiler.source import Source
from schemas.diagnostic import Finding
from schemas.hosted import HostedPlan, Provider
from schemas.method import HostedMethod
from schemas.recipe import Recipe

NEVER_LOST = ("method.kind", "training.objective", "data.overlong", "data.train[0].path", "data.train[0].format")
"""Without these something else would be trained, or nothing."""


def compile_hosted(source: Source, checked: Checked, recipe: Recipe, folder: Path, options: Options) -> Compiled:
    """Take such a recipe, or one that is asked for a provider, as far as it goes."""
    context = Context(recipe, checked.written, None, None, folder, checked.broken)
    found = look_up(recipe.model.base)
    findings = [*run_rules(context), *_whose(recipe, found, options)]
    method, plan = recipe.method, None
    if isinstance(method, HostedMethod) and found and options.provider in (None, found.provider):
        plan = hosted_plan(recipe, method, found, folder)
        findings += _refused(plan, load(found.provider), checked, options)
    elif options.provider:
        findings += _leaves_alone(recipe, options.provider, checked, options)
    # A leaf that could not be read has its default here: that is said of it, and nothing of the default.
    placed = [*checked.findings, *(item for item in findings if not checked.touches(item.path))]
    located = [*source.diagnostics, *(locate(item, source) for item in placed)]
    ordered = sorted(located, key=lambda item: (item.file, item.span.line, item.span.column, item.code))
    return Compiled(source.file, recipe, None, None, None, tuple(ordered), hosted=plan)


def _whose(recipe: Recipe, found: Hosted | None, options: Options) -> Iterator[Finding]:
    """Whether method, model and target go together."""
    hosted = isinstance(recipe.method, HostedMethod)
    if options.target and hosted:
        title = providers()[found.provider].title if found else "a provider"
        remedy = f"build for {found.provider}" if found else f"name a model of {' or '.join(PROVIDERS)}"
        message = f"kind cannot be hosted: {options.target} trains weights that are there, and {title} keeps its own"
        yield Finding("FTC431", "method.kind", message, f"{remedy}, or write another kind and base")
    if options.provider and not hosted:
        title = providers()[options.provider].title
        message = f"kind cannot be {recipe.method.kind}: {title} decides what is trained of its models"
        yield Finding("FTC432", "method.kind", message, "write `method: {kind: hosted}`, and none of its other leaves")
    if found is None and (hosted or options.provider):
        yield _unknown(recipe.model.base, options.provider)
    elif found and options.provider and found.provider != options.provider:
        title = providers()[options.provider].title
        message = f"{title} does not train {found.about.title}, which is a model of {providers()[found.provider].title}"
        listed = ", ".join(names(options.provider))
        yield Finding("FTC430", "model.base", message, f"--target {found.provider}, or one of {listed}")


def _unknown(base: str, provider: Provider | None) -> Finding:
    titles = [providers()[name].title for name in ((provider,) if provider else PROVIDERS)]
    alike = nearest(base)
    hint = f'did you mean "{alike}"?' if alike else f"known are {', '.join(names(provider))}"
    return Finding("FTC430", "model.base", f'"{base}" is no model that {" or ".join(titles)} trains', hint)


def _refused(plan: HostedPlan, backend: HostedBackend, checked: Checked, options: Options) -> Iterator[Finding]:
    """What the provider cannot be told of this plan, and what is known of its model."""
    found = [
        *apply(backend.TABLE, {**plan.leaves, **dict(_formats(plan))}).findings,
        *backend.losses(plan),
        *_rows_elsewhere(plan),
    ]
    objective = plan.recipe.training.objective
    refused = {item.path for item in found}
    if objective not in plan.about.objectives and "training.objective" not in refused:
        able = ", ".join(
            name for name, model in providers()[plan.provider].models.items() if objective in model.objectives
        )
        message = f"{plan.about.title} is not trained by {objective}, as far as {plan.title} says"
        found.append(Finding("FTC433", "training.objective", message, f"{objective} is for {able}" if able else None))
    yield from _told(found, plan.title, checked, options)
    if plan.about.ends:
        yield Finding("FTC437", "model.base", plan.about.ends, f"says {plan.about.sources[0]}", level="warning")


def _formats(plan: HostedPlan) -> Iterator[tuple[str, object]]:
    """Of rows whose recipe leaves their format to be seen in them."""
    own = plan.validation if isinstance(plan.validation, tuple) else ()
    for part, sources in (("train", plan.train), ("validation", own)):
        yield from ((f"data.{part}[{index}].format", one.format) for index, one in enumerate(sources))


def _leaves_alone(recipe: Recipe, provider: Provider, checked: Checked, options: Options) -> Iterator[Finding]:
    """The same of a recipe that is none for a provider: all but the leaves of its method and its base."""
    leaves = {path: value for path, value in recipe_leaves(recipe).items() if not path.startswith("method.")}
    return _told(apply(load(provider).TABLE, leaves).findings, providers()[provider].title, checked, options)


def _told(found: Iterable[Finding], title: str, checked: Checked, options: Options) -> Iterator[Finding]:
    dropped = (*(LOSSY if options.allow_lossy else ()), *((ELSEWHERE,) if options.drop_raw else ()))
    for item in found:
        named = (
            item if item.code in ("FTC434", "FTC433", "FTC435") else replace(item, message=f"{title}: {item.message}")
        )
        path, lossy = as_written(item.path, checked.written), item.code in dropped
        if lossy and item.path in NEVER_LOST:
            yield replace(named, path=path, hint="--allow-lossy leaves out settings, not what is trained")
        else:
            yield replace(named, path=path, level="warning" if lossy else item.level)


def _rows_elsewhere(plan: HostedPlan) -> Iterator[Finding]:
    """Rows on the hub: nobody here has looked at them, and the provider is paid for each of them."""
    own = plan.validation if isinstance(plan.validation, tuple) else ()
    for part, sources in (("train", plan.train), ("validation", own)):
        for index, one in enumerate(sources):
            if not one.local:
                message = (
                    f'"{one.path}" is a dataset on the hub, and rows for {plan.title} are checked before they are sent'
                )
                yield Finding("FTC435", f"data.{part}[{index}].path", message, "download it as a file, and name that")
