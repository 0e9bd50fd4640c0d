"""What `--exact` puts in the place of the formula's figures."""

from __future__ import annotations

import sys

import click
from msgspec.structs import replace

from compiler.build import Compiled
from compiler.memory import weigh
from compiler.report.alternatives import Option
from compiler.solve.space import KERNELS
from compiler.trace.exact import weigh_exact
from compiler.trace.untraceable import UntraceableError
from schemas.footprint import Footprint
from schemas.plan import Plan


def traced(compiled: Compiled, *, required: bool) -> Compiled:
    """A recipe with its memory by a trace. Where that cannot be had and is not `required`, the formula's stays, with
    the reason."""
    if compiled.plan is None or compiled.footprint is None:
        return compiled
    footprint, why = _weigh(compiled.plan, compiled.footprint)
    if why is None:
        return replace(compiled, footprint=_without_kernels(footprint, compiled.plan))
    if required:
        raise why
    return replace(compiled, footprint=_with_reason(footprint, why))


def traced_option(option: Option, own: Compiled) -> Option:
    """Another stack or card with its memory by a trace, and there the recipe's own plan too."""
    found = traced(option.compiled, required=False)
    if own.plan is None or option.gpu != own.plan.hardware.gpu:
        return replace(option, compiled=found)
    as_planned, why = _weigh(own.plan, weigh(own.plan, option.stack))
    return replace(option, compiled=found, as_planned=as_planned, untraced=why.message if why else None)


def _weigh(plan: Plan, formula: Footprint) -> tuple[Footprint, UntraceableError | None]:
    """The trace's footprint, or the formula's and why there is no trace."""
    try:
        return weigh_exact(plan, formula.stack, _tell), None
    except UntraceableError as error:
        return formula, error


def _without_kernels(footprint: Footprint, plan: Plan) -> Footprint:
    """With a word about kernels that a run would be given, and a trace cannot follow."""
    if not any(item.path == KERNELS for item in plan.decisions):
        return footprint
    said = (
        "kernels were left to the compiler: Liger's have no trace, and are not chosen here; a run with them needs less"
    )
    return replace(footprint, because=(*footprint.because, said))


def _with_reason(footprint: Footprint, why: UntraceableError) -> Footprint:
    return replace(footprint, because=(f"weighed by the formula, as it {why.message}", *footprint.because))


def _tell(what: str) -> None:
    """Progress is for a person who waits."""
    if sys.stderr.isatty():
        click.echo(f"{what} ...", err=True)
