"""`ftc plan` for a person: what will happen, why, what it needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, cast

from compiler.build import Compiled
from compiler.duration.estimate import estimate
from compiler.memory.fixes import fixes
from compiler.memory.saved import Trained, trained
from compiler.report.alternatives import Option, Side, headline, reason, sides
from compiler.report.machine import as_data
from compiler.report.memory_text import VERDICTS, between, card, fixes_text, memory_text, size
from compiler.report.paint import Paint, printable
from compiler.report.table import table
from compiler.report.time_words import time_lines
from schemas.facts import GIB
from schemas.footprint import Footprint
from schemas.plan import Plan, leaves

SIZES: Final = ("hardware.memory", "hardware.reserve")
"""Leaves that count bytes."""


def plan_text(compiled: Compiled, others: Sequence[Option], paint: Paint, tokens: int | None = None) -> str:
    """The settings section by section, the reasons of what was decided, the memory by part and by phase. `tokens`: of
    an epoch, where they are stated."""
    plan, footprint = compiled.plan, compiled.footprint
    if plan is None or footprint is None:
        return ""
    parts = [
        "\n".join(_settings(plan, paint)),
        memory_text(footprint, card(plan), paint) + _phases(footprint),
        _trained(plan, footprint, paint),
        fixes_text(fixes(plan, footprint.stack), paint),
        _time(plan, footprint, paint, tokens),
        *_assumptions(footprint, paint),
        *_sides(sides(compiled, others), paint),
        *_alternatives(plan, others, paint, tokens),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)


def _settings(plan: Plan, paint: Paint) -> Iterator[str]:
    """Every leaf that is on, under its section; what was decided, with the reason."""
    yield paint(f"{plan.name}", bold=True) + f": {plan_summary(plan)}"
    because = {decision.path: decision.because for decision in plan.decisions}
    section = ""
    for path, value in leaves(plan).items():
        if value is None or value in ((), {}) or "." not in path:
            continue
        first, rest = path.split(".", 1)
        if first != section:
            section = first
            yield paint(section, bold=True)
        # A recipe's single source has no number.
        reason = because.get(path) or because.get(path.replace("[0]", ""))
        yield f"  {rest} = {setting(path, value)}" + (paint(f"  # {printable(reason)}", "cyan") if reason else "")


def setting(path: str, value: object) -> str:
    """The value of a leaf in words, bytes with their unit."""
    return size(value) if path in SIZES and isinstance(value, int) else _value(value)


def plan_summary(plan: Plan) -> str:
    """Method, model, length of the run and size of a step."""
    training = plan.training
    length = (
        f"{training.max_steps} steps"
        if training.max_steps
        else f"{training.epochs:g} epoch" + "s" * (training.epochs != 1)
    )
    batch = f"{training.micro_batch_size} x {plan.accumulation} x {plan.devices} = {training.global_batch_size} rows"
    return f"{plan.method.kind} of {plan.facts.name}, {length}, {batch} (at most {plan.tokens_per_step} tokens) a step"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_value(item) for item in cast(tuple[object, ...], value))}]"
    return printable(f"{value:g}" if isinstance(value, float) else str(as_data(value)))


def _time(plan: Plan, footprint: Footprint, paint: Paint, tokens: int | None) -> str:
    """How long it takes and what it costs, and what that rests on."""
    head, *rest = time_lines(estimate(plan, footprint, tokens)) or [""]
    return f"{paint('time', bold=True)}: {head}\n" + "".join(f"  {line}\n" for line in rest) if head else ""


def _phases(footprint: Footprint) -> str:
    peaks = {name: getattr(footprint.phases, name) for name in footprint.phases.__struct_fields__}
    live = ", ".join(f"{name} {file_size(amount)}" for name, amount in peaks.items() if amount)
    return f"  live tensors at most: {live}; host memory {size(footprint.host_ram)}\n"


def _trained(plan: Plan, footprint: Footprint, paint: Paint) -> str:
    found = trained(plan, footprint.stack)
    return f"{paint('trained', bold=True)}: {trained_words(found)}\n"


def trained_words(found: Trained) -> str:
    """How much is trained, and how large the files are that this leaves."""
    saved = "the adapter that is saved" if found.saved == "adapter" else "the model that is saved"
    return f"{found.parameters:,} parameters, {percent(found.share)} of all; {saved} is {file_size(found.saved_bytes)}"


def file_size(amount: int) -> str:
    """A size of which little ones are counted in MiB: of files, of a phase."""
    return size(amount, small=amount < GIB)


def percent(share: float) -> str:
    """Two figures: shares of adapters are small."""
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"


def _assumptions(footprint: Footprint, paint: Paint) -> Iterator[str]:
    if footprint.because:
        yield "\n".join([paint("assumed", bold=True), *(f"  {because}" for because in footprint.because)])


def _sides(found: Sequence[Side], paint: Paint) -> Iterator[str]:
    """The stacks with the settings above: what each needs, and why one needs more than another."""
    if not found:
        return
    rows = [["stack", "about", "between", "confidence", "verdict", "with its own auto"], *map(_side_row, found)]
    lines = [paint("stacks", bold=True) + f", with these settings: {headline(found)}"]
    lines += [f"  {line}" for line in table(rows).splitlines()]
    for side in found:
        if side.difference:
            source = f" ({side.difference.source})" if side.difference.source else ""
            lines.append(f"  {side.stack}: {reason(side.difference)}{source}")
        if side.untraced:
            lines.append(f"  {side.stack}: weighed by the formula, as it {side.untraced}")
    yield "\n".join(lines)


def _side_row(side: Side) -> list[str]:
    footprint = side.footprint
    verdict = VERDICTS[footprint.verdict][0]
    return [
        side.stack,
        size(footprint.device),
        between_words(footprint),
        footprint.confidence,
        verdict,
        solved_words(side),
    ]


def between_words(footprint: Footprint) -> str:
    """The interval with its unit."""
    return f"{between(footprint)} {'MiB' if footprint.high < GIB else 'GiB'}"


def solved_words(side: Side) -> str:
    """What the open leaves would be for this stack alone, and what it needs then; "-" where they are the same."""
    if side.then is None:
        return "-"
    changed = ", ".join(f"{path}={setting(path, value)}" for path, value in side.solved.items())
    return f"{changed}: {size(side.then.device)}, {VERDICTS[side.then.verdict][0]}"


def _alternatives(plan: Plan, others: Sequence[Option], paint: Paint, tokens: int | None) -> Iterator[str]:
    """Cards, each with what was left to the compiler solved for it; stacks alone stand in a table of their own."""
    if len({item.gpu for item in others}) > 1:
        from compiler.report.ranking_text import ranking_text  # only where cards are compared

        yield ranking_text(plan, others, paint, tokens)
