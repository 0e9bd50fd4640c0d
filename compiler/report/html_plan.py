"""`ftc plan` as one page: no network, no scripts, the same bytes every time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from compiler.build import Compiled
from compiler.duration.estimate import estimate
from compiler.memory.fixes import fixes
from compiler.memory.saved import trained
from compiler.memory.stacks import profile
from compiler.report.alternatives import Option, headline, reason, sides
from compiler.report.html_bars import PHASES, phase_chart, stack_chart
from compiler.report.html_fitting import fitting
from compiler.report.html_page import environment
from compiler.report.html_ranking import elsewhere
from compiler.report.machine import gib
from compiler.report.memory_text import VERDICTS, card, size
from compiler.report.plan_text import file_size, percent, plan_summary, setting, solved_words
from compiler.report.time_words import hours_words, millions
from schemas.artifact import Target
from schemas.facts import GIB
from schemas.footprint import Footprint, Verdict
from schemas.plan import Plan, leaves
from schemas.version import VERSION

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

SYMBOLS: Final[Mapping[Verdict, str]] = {"fits": "✓", "tight": "!", "does_not_fit": "✕", "unknown": "?"}
"""So that no verdict is told by colour alone."""
WORDS: Final[dict[str, object]] = {
    "SYMBOLS": SYMBOLS,
    "VERDICTS": VERDICTS,
    "VERSION": VERSION,
    "profile": profile,
    "summary": plan_summary,
    "setting": setting,
    "file_size": file_size,
    "reason": reason,
    "solved": solved_words,
    "hours_words": hours_words,
    "millions": millions,
}
"""What the template says things with."""


def plan_html(compiled: Compiled, target: Target, others: Sequence[Option], tokens: int | None = None) -> str:
    """Everything that `ftc plan` says, as a page. Nothing where the recipe has errors."""
    plan, footprint = compiled.plan, compiled.footprint
    if plan is None or footprint is None:
        return ""
    found = sides(compiled, others)
    return (
        plan_environment(small=footprint.high < GIB)
        .get_template("plan.html.jinja")
        .render(
            plan=plan,
            target=target,
            footprint=footprint,
            card=card(plan),
            chart=phase_chart(footprint),
            phases=_phases(footprint),
            trained=trained(plan, footprint.stack),
            estimate=estimate(plan, footprint, tokens),
            fitting=fitting(plan, footprint.stack),
            fixes=fixes(plan, footprint.stack),
            settings=_settings(plan),
            sides=found,
            stacks=stack_chart(found) if found else None,
            headline=headline(found) if found else "",
            others=elsewhere(plan, others, tokens) if len({item.gpu for item in others}) > 1 else None,
            diagnostics=compiled.diagnostics,
            **WORDS,
        )
    )


def _settings(plan: Plan) -> dict[str, dict[str, object]]:
    """Section → leaf → value, as they stand in the plan."""
    found: dict[str, dict[str, object]] = {}
    for path, value in leaves(plan).items():
        section, _, rest = path.partition(".")
        found.setdefault(section if rest else "", {})[path] = value
    return found


def _phases(footprint: Footprint) -> dict[str, str]:
    """The phases that the run has, and their names."""
    return {name: words for name, words in PHASES.items() if getattr(footprint.phases, name)}


def plan_environment(*, small: bool) -> Environment:
    """Templates that know sizes. `small`: what is under a GiB is counted in MiB."""
    made = environment()
    made.filters.update(size=_small_size if small else _size, figure=_figure, percent=percent)
    return made


def _size(amount: int) -> Markup:
    """A size in words; its `value` is the figure of the JSON, in GiB."""
    from markupsafe import Markup

    return Markup('<data value="{}">{}</data>').format(gib(amount), size(amount))


def _small_size(amount: int) -> Markup:
    """The same for small models."""
    from markupsafe import Markup

    return Markup('<data value="{}">{}</data>').format(gib(amount), size(amount, small=amount < GIB))


def _figure(amount: int) -> Markup:
    """The same where the unit stands elsewhere: GiB, with more places for what is small."""
    from markupsafe import Markup

    places = 1 if amount >= GIB else 2
    return Markup('<data value="{}">{}</data>').format(gib(amount), f"{amount / GIB:,.{places}f}")
