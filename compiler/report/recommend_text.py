"""`ftc recommend --model` for a person: the methods that fit, best first, with the reasons; then those that do not."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import Final

from compiler.recommending.elsewhere import Elsewhere
from compiler.recommending.guidance import Guidance, Rate, guidance
from compiler.recommending.methods import Candidate, Recommendation
from compiler.recommending.ranks import Ranks
from compiler.report.memory_text import LETTERS, VERDICTS, bar, size
from compiler.report.paint import Paint, printable
from compiler.starting.choosing import LENGTH
from schemas.facts import GIB
from schemas.footprint import Footprint

CELLS: Final = 48
DETAILED: Final = 3
"""Levels of quality whose methods are shown at length; the rest in a line each."""
TOPICS: Final = ("epochs", "batch size")
"""What is said of every run, beside the learning rate and the rank of each method."""
TOLERATED: Final = 2.0
"""How many times another learning rate ours may be and still be called the same."""
WIDTH: Final = 110


def recommendation_text(found: Recommendation, paint: Paint) -> str:
    """The whole report."""
    parts = [
        _head(found, paint),
        *(_choice(number, item, found, paint) for number, item in enumerate(found.choices, 1) if _detailed(item)),
        _also(found, paint),
        _others(found, paint),
        *((_known(paint), _next(found, paint)) if found.choices else ()),
    ]
    return "\n".join(part for part in parts if part)


def _detailed(item: Candidate) -> bool:
    return item.guide.level <= DETAILED


def hardware_words(gpu: str, count: int) -> str:
    """`a100-40gb`, `4 x h100`."""
    return gpu if count == 1 else f"{count} x {gpu}"


def _head(found: Recommendation, paint: Paint) -> str:
    wish = found.wish
    parameters = f"{count_words(wish.facts.params)} parameters"
    rows = f"rows of {wish.max_length:,} tokens, {wish.batch} a step"
    stack = wish.stack or wish.target or "native"
    said = f"{printable(wish.facts.name)} on {hardware_words(wish.gpu.name, wish.count)}"
    order = order_words(found)
    legend = " ".join(f"{letter} {name}" for name, (letter, _) in LETTERS.items())
    tail = "" if paint.on else f"bars: {legend}\n"
    return (
        f"{paint(said, bold=True)}: {parameters}, {wish.objective}, {rows}, {stack} stack\n"
        f"best first, by quality, then by cost: {order} (docs/choosing.md has the evidence)\n{tail}"
    )


def order_words(found: Recommendation) -> str:
    """Which kind of method comes first, and why."""
    if not found.many:
        return "adapters first"
    why = "the rows hold" if found.lacks else "rows to pretrain on are expected to hold"
    return f"full training first where it fits: {why} more than adapters can"


def _choice(number: int, item: Candidate, found: Recommendation, paint: Paint) -> str:
    weighed = item.footprint
    if weighed is None:
        return ""
    word, shade = VERDICTS[weighed.verdict]
    room = f"about {size(weighed.device)}, up to {weighed.high / GIB:.1f}"
    room += f" of {size(weighed.capacity)}" if weighed.capacity is not None else ""
    head = f"{paint(f'{number} {named(item)}', bold=True)}  {paint(word, shade)}: {room}; {speed_words(item)}\n"
    lines = [f"{item.guide.because} ({guidance().named(item.guide.sources)})"]
    if item.ranks:
        lines.append(rank_words(item.ranks))
    lines.append(rate_words(item, found.rates[item.kind]))
    lines.append(solved_words(item))
    body = "".join(f"    {part}\n" for line in lines if line for part in _wrapped(line))
    return f"{head}    {bar(weighed, paint, CELLS)}\n{body}"


def named(item: Candidate) -> str:
    """`lora, rank 16`."""
    return f"{item.kind}, rank {item.ranks.chosen}" if item.ranks else item.kind


def speed_words(item: Candidate) -> str:
    """How fast it is thought to be."""
    found = item.speed
    return f"about {_two_digits(found.middle):,} tokens/s (model)" if found else "speed unknown"


def _two_digits(value: float) -> int:
    """An estimate has no more digits than it is good for."""
    return int(float(f"{value:.2g}"))


def count_words(count: int, digits: int = 2) -> str:
    """`8.03 billion`, `84 million`, `12,345`."""
    for name, unit in (("billion", 10**9), ("million", 10**6)):
        if count >= unit:
            return f"{count / unit:,.{digits}f} {name}"
    return f"{count:,}"


def rank_words(ranks: Ranks) -> str:
    """What fits, what is usual, what the chosen one holds."""
    low, high = ranks.usual
    fitting = f"up to {ranks.largest} fits with one row at once" if ranks.largest else "none fits with one row at once"
    holds = f"{ranks.chosen} ({ranks.because}) can hold about {count_words(ranks.holds, 0)} trained tokens"
    return f"rank: {low} to {high} is usual, {fitting}; {holds}"


def rate_words(item: Candidate, others: Sequence[Rate]) -> str:
    """What the recipe's auto comes to, beside what others took."""
    if item.plan is None:
        return ""
    ours = item.plan.training.learning_rate
    if not others:
        return f"learning rate: auto is {_rate(ours)}; no source for this method and size"
    known = guidance()
    said = ", ".join(f"{_rate(other.value)} ({known.sources[other.source].short})" for other in others)
    agree = all(1 / TOLERATED <= ours / other.value <= TOLERATED for other in others)
    return f"learning rate: auto is {_rate(ours)}; others took {said}" + ("" if agree else ": worth a try of both")


def _rate(value: float) -> str:
    return f"{value:.1e}".replace("e-0", "e-")


def solved_words(item: Candidate) -> str:
    """What the compiler decided for it."""
    plan = item.plan
    if plan is None:
        return ""
    training, again = plan.training, plan.training.gradient_checkpointing
    kept = "activations recomputed" if again else "activations kept"
    shared = f", {plan.hardware.strategy}" if plan.devices > 1 else ""
    rows = "1 row" if training.micro_batch_size == 1 else f"{training.micro_batch_size} rows"
    return f"solved: {rows} at once, {kept}{shared}"


def _also(found: Recommendation, paint: Paint) -> str:
    said = [
        f"{number} {named(item)}: up to {size(item.footprint.high)}, {speed_words(item)}; {item.guide.because}"
        f" ({guidance().named(item.guide.sources)})"
        for number, item in enumerate(found.choices, 1)
        if not _detailed(item) and item.footprint
    ]
    lines = [f"  {part}\n" for line in said for part in _wrapped(line)]
    return f"{paint('also fit, and learn less', bold=True)}\n{''.join(lines)}" if lines else ""


def _others(found: Recommendation, paint: Paint) -> str:
    weighed = [item for item in found.others if not item.errors and item.footprint]
    refused = [item for item in found.others if item.errors]
    title = "do not fit" if found.choices else "nothing fits"
    lines = [f"  {named(item)} {need_words(item)}\n" for item in weighed]
    parts = [f"{paint(title, bold=True)}\n{''.join(lines)}" if lines else ""]
    if refused:
        parts.append(f"{paint('refused', bold=True)}\n{''.join(_refused(refused))}")
    return "\n".join(filter(None, parts))


def need_words(item: Candidate) -> str:
    """What it needs, and where it would have that."""
    weighed = item.footprint
    if weighed is None:
        return ""
    verb = "may not fit, as it needs up to" if weighed.verdict == "tight" else "needs up to"
    where = " or ".join(_place_words(place, weighed) for place in item.elsewhere)
    return f"{verb} {size(weighed.high)}: " + (f"fits {where}" if where else "no card of the catalog, nor 8 of one, do")


def _place_words(place: Elsewhere, here: Footprint) -> str:
    """With what it needs there, where that card would not hold what it needs here: another type of numbers, or more
    that is computed again."""
    there, capacity = place.footprint, place.footprint.capacity
    said = elsewhere_words(place.gpu, place.count, place.strategy)
    less = place.count == 1 and capacity is not None and capacity < here.high
    return f"{said}, where it needs up to {size(there.high)}" if less else said


def elsewhere_words(gpu: str, count: int, strategy: str) -> str:
    """`l4`, `4 x t4 (fsdp)`."""
    return hardware_words(gpu, count) + (f" ({strategy})" if count > 1 else "")


def _refused(items: Sequence[Candidate]) -> Iterator[str]:
    """Each reason once."""
    reasons: dict[str, list[str]] = {}
    for item in items:
        first = item.errors[0]
        reason = f"{first.message} ({first.code})" + (f"; {first.hint}" if first.hint else "")
        reasons.setdefault(reason.replace(item.kind, "METHOD"), []).append(item.kind)
    for reason, kinds in reasons.items():
        said = reason.replace("METHOD", kinds[0] if len(kinds) == 1 else "this method")
        yield from (f"  {part}\n" for part in _wrapped(f"{', '.join(kinds)}: {printable(said)}"))


def _known(paint: Paint) -> str:
    known: Guidance = guidance()
    rules = [rule for rule in known.rules if rule.topic in TOPICS]
    lines = "".join(
        f"  {part}\n"
        for rule in rules
        for part in _wrapped(f"{rule.topic}: {rule.says} ({known.named(rule.sources)}). Here {rule.ours}")
    )
    return f"{paint('what is known', bold=True)}\n{lines}"


def _next(found: Recommendation, paint: Paint) -> str:
    wish = found.wish
    asked = f"--model {shlex.quote(printable(wish.base))} --gpu {wish.gpu.name}"
    asked += f" --count {wish.count}" if wish.count > 1 else ""
    asked += f" --max-length {wish.max_length}" if wish.max_length != min(LENGTH, wish.facts.context) else ""
    plain = wish.objective == "sft" and not (wish.tokens or wish.target or wish.stack)
    take = f"ftc init --from-recommendation {asked} --data ROWS"
    if not plain:
        take = "(the same, with --format json) | ftc init --from-recommendation - --data ROWS"
    return f"{paint('next', bold=True)}\n  {take}   # the first; --choice 2: the second\n"


def _wrapped(line: str) -> list[str]:
    from textwrap import wrap

    return wrap(line, WIDTH, subsequent_indent="  ")
