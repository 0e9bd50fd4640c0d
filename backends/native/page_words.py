"""What the page of a run says: whether it learnt, what it cost, and whether the plan was right.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

from backends.native.amounts import counted, duration, many, short, size, whole

PHASES = {
    "load": ("load", "fifth"),
    "step": ("forward and backward", "first"),
    "optimizer": ("optimizer's step", "third"),
    "eval": ("evaluation", "second"),
    "save": ("saving", "fourth"),
    "samples": ("answering", "fifth"),
}
"""Phases in order: their names, and how their lines are drawn."""
LARGEST = "step"
"""The phase that takes most. A process keeps what it has freed, so main memory tells only of this one what it takes."""
NOTHING = 0.01
"""A loss that falls by less than this share of it has not fallen."""
PAST = 0.02
"""The share of its lowest by which the last validation loss is above it from which on it is past its best."""


@dataclass(frozen=True, slots=True)
class Banner:
    """What it all comes to. `kind`: how it is coloured; `more`: what to do, or where the result is."""

    kind: str
    sign: str
    title: str
    more: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that is looked at first."""

    name: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Compared:
    """A phase, or a whole, as planned and as measured, GiB. `width`: percent of the largest, of both. `alike`: whether
    the two are of the same."""

    name: str
    planned: float | None
    measured: float | None
    width: tuple[float, float]
    whole: bool
    alike: bool

    @property
    def ratio(self) -> str:
        """Measured by planned."""
        return f"× {self.measured / self.planned:.2f}" if self.planned and self.measured and self.alike else "–"


COUNTS = {
    "read": "read",
    "kept": "trained on, or pieces of them",
    "bad": "left out: cannot be trained on",
    "dropped": "left out: too long",
    "truncated": "cut",
    "split": "split",
    "untrained": "left out: nothing to learn",
    "tokens": "tokens",
    "trained_tokens": "of them learnt",
    "longest": "tokens of the longest",
}
"""What became of the rows, by its key."""
ALWAYS = ("read", "kept", "tokens", "trained_tokens", "longest")


def summary(plan: dict[str, Any], trained: int) -> str:
    """Method, base, length of the run, and size of a step. `trained`: parameters."""
    training, hardware = plan["training"], plan["hardware"]
    epochs = training["epochs"] or 0
    length = many(training["max_steps"], "step") if training["max_steps"] else f"{epochs:g} epoch{'s' * (epochs != 1)}"
    devices = f", on {hardware['count']} devices ({hardware['strategy']})" if hardware["count"] > 1 else ""
    packed = "packed" if plan["data"]["packing"] else "not packed"
    return (
        f"{plan['method']['kind']} of {plan['model']['base']}, {trained:,} parameters trained, "
        f"{training['objective']}, {length}, "
        f"{many(training['global_batch_size'], 'row')} a step of at most {plan['data']['max_length']:,} tokens, "
        f"{packed}{devices}"
    )


def counted_anywhere(parts: dict[str, dict[str, int]], key: str) -> bool:
    """Whether there is anything to say of this."""
    return key in ALWAYS or any(counts[key] for counts in parts.values())


@dataclass(frozen=True, slots=True)
class Found:
    """What was odd about rows."""

    code: str
    part: str
    rows: int
    first: list[str]


def findings(met: dict[str, dict[str, Any]]) -> list[Found]:
    """Of both parts."""
    return [
        Found(code, part, told["rows"], told["first"]) for part, codes in met.items() for code, told in codes.items()
    ]


def same(row: dict[str, Any], when: str) -> bool:
    """Whether an answer is what the row has."""
    said = row.get(when)
    return bool(said) and said["ended"] and row["wanted"] is not None and said["text"].strip() == row["wanted"].strip()


# --- did it learn


def banner(told: Any) -> Banner:
    """The verdict of the page."""
    at = f"step {told.step:,} of {told.steps:,}" if told.steps else f"step {told.step:,}"
    if told.how == "failed":
        return Banner("does_not_fit", "✕", f"ended by an error at {at}", told.why)
    if told.how == "stopped":
        return Banner("unknown", "Ⅱ", f"stopped at {at}", "Started again, it goes on from its newest checkpoint.")
    if told.how == "running":
        more = f"As of {told.written.replace('T', ' ').partition('+')[0]} UTC. If nothing runs any more, it was ended "
        return Banner("unknown", "▸", at, more + "from outside: started again, it goes on from its newest checkpoint.")
    return _learnt(told)


def _learnt(told: Any) -> Banner:
    what, found = course(told.history)
    if found and not isfinite(found[-1]):
        more = f"It was {short(found[-1])} at the end: what was saved is not to be trusted. Look at the learning rate."
        return Banner("does_not_fit", "✕", f"finished, and its {what} loss is no number", more)
    found = [loss for loss in found if isfinite(loss)]
    if len(found) < 2:
        return Banner("fits", "✓", "finished", "Of too few losses to say how much it learnt.")
    first, last, best = found[0], found[-1], min(found)
    fell = f"{what} loss {short(first)} → {short(last)}"
    if first - last <= NOTHING * abs(first):
        return Banner("does_not_fit", "✕", "finished, and learnt nothing", f"{fell}. Look at the learning rate first.")
    if what == "validation" and last - best > PAST * abs(best) and not told.plan["checkpoint"]["best"]:
        step = next(line["step"] for line in told.history if line.get("eval_loss") == best)
        more = f"{fell}, but it was {short(best)} after step {step:,}: since then it has learnt its rows by heart. "
        return Banner(
            "tight", "!", "finished, past its best", more + "checkpoint.best: true keeps the best, or stop earlier."
        )
    share = 100 * (first - last) / abs(first)
    percent = f", {share:.{0 if share < 99 else 1}f} % less" if first > 0 else ""
    return Banner("fits", "✓", "finished, and learnt", f"{fell}{percent}.")


def course(history: list[dict[str, Any]]) -> tuple[str, list[float]]:
    """The loss that tells best what was learnt: of validation where there are two, else the means of the first and of
    the last tenth of training."""
    watched = [line["eval_loss"] for line in history if "eval_loss" in line]
    if len(watched) > 1:
        return "validation", watched
    losses = [line["loss"] for line in history if "loss" in line]
    tenth = max(len(losses) // 10, 1)
    if len(losses) < 2:
        return "training", losses
    return "training", [sum(losses[:tenth]) / tenth, sum(losses[-tenth:]) / tenth]


# --- the first figures


def figures(told: Any) -> list[Figure]:
    """Losses, time, speed, memory and money, as far as they are known."""
    return [*_losses(told), *_work(told), *_memory_figure(told)]


def _losses(told: Any) -> list[Figure]:
    found: list[Figure] = []
    for key, name in (("eval_loss", "validation loss"), ("loss", "training loss")):
        values = [line[key] for line in told.history if key in line]
        if values:
            lowest = f"first {short(values[0])}, lowest {short(min(filter(isfinite, values), default=values[0]))}"
            found.append(Figure(name, short(values[-1]), lowest if len(values) > 1 else "the only one"))
    for key in ("eval_rewards/margins", "rewards/margins"):
        values = [line[key] for line in told.history if key in line]
        if values:
            return [*found, Figure("reward margin", short(values[-1]), f"first {short(values[0])}")]
    return found


def _work(told: Any) -> list[Figure]:
    tokens = max((line.get("tokens", 0) for line in told.history), default=0)
    name = "time since continued" if told.about["resumed_at"] else "time"
    found = [Figure(name, duration(told.seconds), _cost(told))]
    if told.speed:
        busy, share = told.summary.get("tflops"), told.summary.get("of_peak")
        note = f", {busy:,.0f} TFLOP/s a card, {share:.0%} of its peak" if busy and share else ""
        found.append(Figure("speed", whole(told.speed), f"tokens a second{note}"))
    if tokens:
        read = told.about["rows"]["train"]["kept"]
        found.append(Figure("tokens seen", counted(tokens), f"of {many(read, 'row')}, in {many(told.step, 'step')}"))
    return found


def _cost(told: Any) -> str:
    price, hardware = told.plan["derived"]["card"].get("usd_per_hour"), told.plan["hardware"]
    if not price or told.device == "cpu":
        return "training, validating, saving"
    hours = hardware["count"] * hardware["nodes"] * told.seconds / 3600
    return f"about {price * hours:.2f} USD at {price:g} an hour and card"


def _memory_figure(told: Any) -> list[Figure]:
    taken, planned, name = card_memory(told)
    if taken is None:
        return []
    return [Figure(name, size(taken), f"planned {size(planned)}" if planned else "not planned")]


def planned_memory(told: Any) -> dict[str, Any]:
    """Of the plan; nothing where it was for a card, and main memory was taken in its place."""
    derived: dict[str, Any] = told.plan["derived"]
    return derived["memory"] if derived["cpu"] == (told.device == "cpu") else {}


def card_memory(told: Any) -> tuple[float | None, float | None, str]:
    """What was taken at most, what was planned, and of what."""
    planned = planned_memory(told).get("device_gib")
    if "device_gib" in told.measured:
        return told.measured["device_gib"], planned, "memory of the card"
    return told.measured.get("resident_gib"), planned, "main memory"


# --- was the plan right


def memory(told: Any) -> dict[str, Any]:
    """Planned against measured: phases, wholes, and a sentence."""
    planned = planned_memory(told)
    phases = planned.get("phases", {})
    rows = [(name, phases.get(phase) or None, told.memory.get(phase), False) for phase, (name, _) in PHASES.items()]
    wholes = [(name, planned.get(key), told.measured.get(key), True) for key, name in _wholes(told.measured).items()]
    host = "device_gib" not in told.measured
    kept = [row for row in (*rows, *wholes) if row[1] is not None or row[2] is not None]
    largest = PHASES[LARGEST][0]
    most = max((value for row in kept for value in row[1:3] if value), default=1.0)
    made = [
        Compared(
            name, plan, found, (100 * (plan or 0) / most, 100 * (found or 0) / most), whole, not host or name == largest
        )
        for name, plan, found, whole in kept
    ]
    return {"rows": made, "verdict": _verdict(told), "host": host}


def _wholes(measured: dict[str, float]) -> dict[str, str]:
    if "device_gib" not in measured:
        return {}
    return {
        "allocated_gib": "live tensors at most",
        "reserved_gib": "reserved by torch",
        "device_gib": "on the card",
    }


def _verdict(told: Any) -> Banner | None:
    """Whether what was taken lies in the plan's interval."""
    planned = planned_memory(told)
    taken, about, _ = card_memory(told)
    low, high = planned.get("low_gib"), planned.get("high_gib")
    if taken is None or about is None or low is None or high is None:
        return None
    said = f"{size(taken)} taken, {size(about)} planned, between {size(low)} and {size(high)}"
    if taken > high:
        return Banner("does_not_fit", "↑", "above the plan's interval", said)
    if taken < low:
        return Banner("unknown", "↓", "below the plan's interval", said)
    return Banner("fits", "✓", "within the plan's interval", said)
