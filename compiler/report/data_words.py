"""What `ftc data` says in words, alike on a terminal and on a page."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from compiler.data.showing import Shown
from compiler.data.survey import Part
from compiler.data.tokenizer import Tokenizer
from compiler.data.verdict import Epoch, Figures, RowFinding, Verdict
from schemas.plan import Plan, SourcePlan, is_sources


def percent(share: float) -> str:
    """A share, to a place where it is small."""
    return f"{share:.0%}" if share >= 0.1 or share == 0 else f"{share:.1%}"


def rows(count: int) -> str:
    """So many rows."""
    return f"{count:,} row{'' if count == 1 else 's'}"


def summary(plan: Plan) -> str:
    """What the rows are for, and what decides which of their tokens are trained."""
    data = plan.data
    packed = "packed" if data.packing else "not packed"
    return (
        f"{plan.training.objective} of {plan.facts.name}, loss_on {data.loss_on}, rows of at most "
        f"{data.max_length:,} tokens (longer: {data.overlong}), {packed}"
    )


class Listed(Struct, frozen=True):
    """A source. `because`: where its format was recognised, by what; None where the recipe says it."""

    part: Part
    path: str
    format: str
    because: str | None
    rows: int


def listed(plan: Plan, verdict: Verdict) -> tuple[Listed, ...]:
    """The sources of both parts."""
    own = plan.data.validation if is_sources(plan.data.validation) else ()
    parts: tuple[tuple[Part, tuple[SourcePlan, ...]], ...] = (("train", plan.data.train), ("validation", own))
    because = {item.path: item.because for item in plan.decisions}
    return tuple(
        Listed(
            part,
            _path(source),
            source.format,
            because.get(f"data.{part}[{index}].format"),
            counts[index] if index < len(counts) else 0,
        )
        for (part, found), counts in zip(parts, verdict.rows, strict=True)
        for index, source in enumerate(found)
    )


def sources(plan: Plan, verdict: Verdict) -> list[tuple[Part, str, str, str]]:
    """Of each source its part, its path, what its rows are, and how many there are."""
    return [
        (item.part, item.path, f"{item.format} ({item.because or 'as the recipe says'})", rows(item.rows))
        for item in listed(plan, verdict)
    ]


def parted(plan: Plan, verdict: Verdict) -> str:
    """How validation rows are chosen; nothing where they have sources of their own, or there are none."""
    share = plan.data.validation
    if share is None or is_sources(share):
        return ""
    said = percent(share) if isinstance(share, float) else f"{share:,}"
    return f"{rows(verdict.figures['validation'].counts.read)} ({said} of the training rows, chosen by hash)"


def _path(source: SourcePlan) -> str:
    return source.path.removeprefix(f"{Path.cwd()}/") if source.local else source.path


def place(item: RowFinding) -> str:
    """Where it was met first."""
    if not item.line:
        return item.file
    return f"{item.file}, row {item.line}" if item.counted else f"{item.file}:{item.line}"


def others(item: RowFinding) -> str:
    """How many rows have it beside the first, and where the next ones are."""
    if item.rows == 1:
        return ""
    near = [where.removeprefix(f"{item.file}") for where in item.more]
    listed = ", ".join(where.removeprefix(":").removeprefix(", ") for where in near)
    return f"{rows(item.rows)}: also {listed}{', …' if item.rows > len(item.more) + 1 else ''}"


def counted(row: Shown) -> str:
    """How many tokens a row has, and are learnt; nothing where it was not rendered."""
    return "" if row.tokens is None else f"{row.tokens:,} tokens, {row.trained:,} trained"


def tokens(figures: Figures) -> str:
    """How many there are, and are learnt."""
    counts = figures.counts
    return f"{counts.tokens:,} in {rows(counts.kept)}, {percent(figures.trained_share)} of them trained"


def fate(figures: Figures, plan: Plan) -> str:
    """What became of rows that are not trained on as they stand; nothing where there are none."""
    counts = figures.counts
    said = (
        (counts.bad, "cannot be trained on"),
        (counts.dropped, f"left out, longer than max_length = {plan.data.max_length}"),
        (counts.truncated, f"cut at max_length = {plan.data.max_length}"),
        (counts.split, f"split at max_length = {plan.data.max_length}"),
        (counts.untrained, "with nothing to learn"),
    )
    return "; ".join(f"{count:,} {what}" for count, what in said if count)


def lengths(figures: Figures, plan: Plan) -> str:
    """Of rows as they are rendered."""
    found = figures.lengths
    if found is None:
        return ""
    total = sum(bar.rows for bar in figures.bars)
    beyond = f"{percent(figures.over / total)} of the rows are longer" if figures.over else "no row is longer"
    spread = f"median {found.median:,}, 90% up to {found.p90:,}, 99% up to {found.p99:,}, longest {found.longest:,}"
    return f"{spread}; max_length is {plan.data.max_length:,}, {beyond}"


def ends(figures: Figures) -> str:
    """What answers end with."""
    total = sum(count for _, count in figures.ends)
    said = (
        f"{end.token or 'words'} in {percent(count / total)}"
        + ("" if end.stops else ", where generation does not stop")
        for end, count in figures.ends[:3]
    )
    return "; ".join(said)


def epoch(found: Epoch, plan: Plan) -> str:
    """What an epoch comes to. Rows of a weight that is no whole number are drawn by hash, about so many."""
    data, training = plan.data, plan.training
    about = "about " if _drawn(plan) else ""
    if data.packing:
        how = f"about {rows(found.rows)} of {data.max_length:,} tokens, {found.filled:.1%} full"
    else:
        many = training.micro_batch_size
        how = f"{about}{rows(found.rows)}, padded {many} at a time: {percent(found.filled)} of the positions are tokens"
    return f"{about}{found.tokens:,} tokens in {how}"


def _drawn(plan: Plan) -> bool:
    return any(source.weight % 1 for source in plan.data.train)


def steps(found: Epoch, plan: Plan) -> str:
    """How many optimizer steps the run has."""
    training = plan.training
    told = "max_steps" if training.max_steps else f"{training.epochs:g} epoch{'' if training.epochs == 1 else 's'}"
    about = "about " if _drawn(plan) and not training.max_steps else ""
    return f"{about}{found.steps:,} of {rows(training.global_batch_size)} ({told})"


def alike(verdict: Verdict) -> str:
    """Rows that are nearly the same."""
    if verdict.alike is None:
        return "not estimated: it needs numpy"
    count, looked_at, _ = verdict.alike
    if not looked_at:
        return ""
    if not count:
        return f"none among {rows(looked_at)}"
    return f"{percent(count / looked_at)} of {rows(looked_at)} are nearly the same as an earlier one (an estimate)"


def no_tokens(tokenizer: Tokenizer) -> str:
    """Why no tokens are counted."""
    return f"no tokenizer: {tokenizer.why}. Rows were checked, but not rendered: nothing is known of their tokens"
