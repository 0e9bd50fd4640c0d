"""A job for a provider, for a person and for programs: what is told, the rows, the tokens, the price."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, cast

from backends.hosted import load
from compiler.build import Compiled
from compiler.hosted.artifact import HostedArtifact, survey_data
from compiler.hosted.cost import cost, money, steps, token_words
from compiler.hosted.rows import Survey
from compiler.report.machine import FORMAT_VERSION, as_data, diagnostic_data
from compiler.report.paint import Paint, printable
from schemas.diagnostic import Diagnostic
from schemas.hosted import HostedPlan

MEMORY: Final = "unknown: it trains on the provider's machines, and none of yours is weighed"
TIME: Final = "unknown: the provider says none before the job runs"


def plan_text(plan: HostedPlan, found: Survey, paint: Paint) -> str:
    """The request section by section, the rows, and what they cost."""
    return "".join(f"{line}\n" for line in _lines(plan, found, paint))


def _lines(plan: HostedPlan, found: Survey, paint: Paint) -> Iterator[str]:
    training = plan.recipe.training
    epochs = f"{training.epochs:g} epoch" + "s" * (training.epochs != 1)
    yield (
        paint(plan.recipe.name, bold=True)
        + f": {plan.about.title} trained by {plan.title}, {epochs}, {training.global_batch_size} rows a step"
    )
    yield paint("request", bold=True)
    body = load(plan.provider).job(plan, "…", validated=found.validation is not None).body
    yield from (f"  {path} = {printable(value)}" for path, value in _flat("", body) if "…" not in value)
    for one in plan.decisions:
        yield f"  {one.path} = {printable(str(one.value))}" + paint(f"  # {printable(one.because)}", "cyan")
    yield from rows_lines(plan, found, paint)


def rows_lines(plan: HostedPlan, found: Survey, paint: Paint) -> Iterator[str]:
    """Rows, tokens, price; and what is not known."""
    held = f", {len(found.validation.lines):,} to validate with" if found.validation else ", none to validate with"
    count = f"{len(found.train.lines):,} to train on{held}; about {steps(plan, found):,} steps"
    yield f"{paint('rows', bold=True)}: {count}"
    yield from (f"  {printable(line)}" for line in found.met.left_out().splitlines())
    long = found.met.met.get("FTC533")
    if long:
        yield f"  {long.count:,} left out for their length, the first at {printable(str(long.first[0].place))}"
    paid = cost(plan, found)
    yield f"{paint('tokens', bold=True)}: {token_words(found.train.tokens)}, in an epoch; {found.basis}"
    yield f"  longest row: {token_words(found.train.longest)}, of data.max_length = {plan.recipe.data.max_length:,}"
    yield f"{paint('cost', bold=True)}: {money(paid)}"
    yield f"  {paid.basis}"
    yield f"{paint('time', bold=True)}: {TIME}"
    yield f"{paint('memory', bold=True)}: {MEMORY}"


def _flat(path: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in cast("dict[str, object]", value).items():
            yield from _flat(f"{path}.{key}" if path else key, item)
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[object]", value)):
            yield from _flat(f"{path}[{index}]", item)
    else:
        yield path, str(value)


def built_text(name: str, plan: HostedPlan, found: Survey, made: HostedArtifact, folder: Path) -> str:
    """What was written, what it costs, and how it is started."""
    left = f"{found.met.left_out()}\n" if found.met.bad else ""
    long = found.met.met.get("FTC533")
    over = f"{long.count:,} rows left out for their length, the first at {long.first[0].place}\n" if long else ""
    paid = cost(plan, found)
    start = f"pip install -r requirements.txt && {shlex.join(made.command)}"
    return (
        f"{left}{over}built {name} for {plan.provider}: {folder}\n"
        f"  {', '.join(sorted(made.files))}\n"
        f"{len(found.train.lines):,} rows; starting it costs money: {money(paid)}\n  {paid.basis}\n"
        f"start with:\n  cd {shlex.quote(str(folder))} && {start}\n"
    )


def plan_report(
    compiled: Compiled, plan: HostedPlan | None, found: Survey | None, counted: Sequence[Diagnostic]
) -> dict[str, object]:
    """The same shape as of a plan for this machine, with what a provider leaves unknown."""
    hosted = plan or compiled.hosted
    said = survey_data(plan, found) if plan and found else {}
    return {
        "format_version": FORMAT_VERSION,
        "recipe": compiled.recipe.name if compiled.recipe else None,
        "target": hosted.provider if hosted else None,
        "stack": None,
        "plan": {path: as_data(value) for path, value in hosted.leaves.items()} if hosted else None,
        "request": load(plan.provider).job(plan, "", validated=bool(found and found.validation)).body if plan else None,
        "decisions": [as_data(item) for item in hosted.decisions] if hosted else [],
        "memory": {"verdict": "unknown", "because": [MEMORY]} if plan else None,
        "fixes": [],
        "time": {"tokens_per_second": None, "hours": None, "basis": TIME},
        "cost": None,
        **said,
        "diagnostics": [diagnostic_data(item) for item in (*compiled.diagnostics, *counted)],
    }
