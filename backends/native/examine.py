"""Looking at rows: what each is, what is wrong with it, which tokens it has, and what of it is trained.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from backends.native.data import Counts, Encoder, Rules, Tokens, fit
from backends.native.files import local_files
from backends.native.findings import Note, RowError, of_error
from backends.native.formats import Row
from backends.native.notes import notes, special_tokens
from backends.native.parallel import processes
from backends.native.rows import Sources, Stretch, chooser, rows_of

LEFT_OUT = {"tools": "the tools", "reasoning_content": "what is thought"}
SMALL = 1 << 20
"""Bytes of rows for which one process is enough."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is made of which rows. `validation`: a share or a number of the training rows, sources of its own, or None.
    `templated`: whether prompts and completions are rendered as conversations. `drop_bad`: whether rows that cannot be
    trained on are left out."""

    train: Sources
    validation: float | int | Sources | None
    system: str | None
    templated: bool
    rules: Rules
    drop_bad: bool
    seed: int

    @classmethod
    def of(cls, plan: Mapping[str, Any]) -> Job:
        """The job of a plan, as `plan.json` has it."""
        data = plan["data"]
        return cls(
            train=data["train"],
            validation=data["validation"],
            system=data["system"],
            templated=plan["model"]["chat_template"] is not None,
            rules=Rules(data["loss_on"], data["max_length"], data["overlong"]),
            drop_bad=data["bad_rows"] == "drop",
            seed=plan["training"]["seed"],
        )


def total_bytes(job: Job) -> int:
    """About how much will be reported to `advance`."""
    sources = [*job.train, *(job.validation if isinstance(job.validation, list | tuple) else ())]
    return sum(file.stat().st_size for source in sources if source["local"] for file in local_files(source["path"]))


def workers(job: Job) -> int:
    """How many processes prepare: one alone where that takes no longer than starting more."""
    own = job.validation if isinstance(job.validation, list | tuple) else ()
    known = all(source["local"] for source in (*job.train, *own))
    return 1 if known and total_bytes(job) < SMALL else processes()


@dataclass(slots=True)
class Examined:
    """A row, its number among all, and what there is to say of it. `row` is None for one that cannot be read, `tokens`
    are those of each rendering of it; none where there is no tokenizer."""

    number: int
    row: Row | None
    met: list[Note]
    tokens: tuple[Tokens, ...] = ()

    @property
    def bad(self) -> bool:
        """Whether it cannot be trained on."""
        return any(note.bad for note in self.met)


class Examiner:
    """Looks at every row of a stretch. Without a tokenizer nothing is rendered."""

    def __init__(self, job: Job, sources: Sources, tokenizer: Any) -> None:
        self.job, self.sources = job, sources
        self._encoder = Encoder(tokenizer, job.rules.loss_on) if tokenizer else None
        self._specials = special_tokens(tokenizer) if tokenizer else None

    def examine(self, stretch: Stretch) -> list[Examined]:
        """The rows in order."""
        read = rows_of(stretch, self.sources, self.job.system, self.job.templated)
        found = [self._look(number, row) for number, row in enumerate(read, stretch.first)]
        if self._encoder:
            _encode(found, self._encoder)
        return found

    def _look(self, number: int, row: Row | RowError) -> Examined:
        if isinstance(row, RowError):
            return Examined(number, None, [of_error(row)])
        return Examined(number, row, [*notes(row, self._specials), *self._left_out(row)])

    def _left_out(self, row: Row) -> list[Note]:
        """What the chat template never writes, though it is there."""
        said = {
            "tools": bool(row.tools),
            "reasoning_content": any(turn.get("reasoning_content") for turn in row.messages),
        }
        if not self._encoder or not row.messages or not any(said.values()):
            return []
        lost = [LEFT_OUT[name] for name, there in said.items() if there and name in self._encoder.ignored]
        return [Note("FTC543", row.place, f"the chat template leaves out {what}") for what in lost]


def _encode(found: list[Examined], encoder: Encoder) -> None:
    pairs = [(item, item.row.each()) for item in found if item.row]
    coded = encoder.encode(each for _, renderings in pairs for each in renderings)
    for item, renderings in pairs:
        tokens = [next(coded)[1] for _ in renderings]
        errors = [of_error(each) for each in tokens if isinstance(each, RowError)]
        item.met += errors[:1]
        item.tokens = () if errors else tuple(each for each in tokens if isinstance(each, Tokens))


def kept_for_validation(job: Job) -> Callable[[int], bool]:
    """Whether a training row is kept for validation, by its number."""
    share = job.validation
    if not isinstance(share, float | int):
        return lambda _: False
    return chooser(job.train, share, job.seed)


def judged(item: Examined, rules: Rules, counts: Counts) -> list[Tokens]:
    """What is trained of a row; nothing of one that is bad. Adds to `counts`, and to what was met of the row."""
    if item.row is None or item.bad:
        counts.bad += 1
        return []
    dropped, untrained, truncated = counts.dropped, counts.untrained, counts.truncated
    try:
        kept = _fitted(item.tokens, item.row, rules, counts)
    except RowError as error:
        counts.bad += 1
        item.met.append(of_error(error))
        return []
    if counts.dropped > dropped:
        item.met.append(Note("FTC533", item.row.place, _long(item, rules, "left out")))
    if counts.truncated > truncated:
        item.met.append(Note("FTC534", item.row.place, _long(item, rules, "its end is cut off")))
    if counts.untrained > untrained and not kept:
        beyond = f"what is trained lies beyond data.max_length = {rules.max_length}"
        lacking = f"nothing that data.loss_on = {rules.loss_on} trains"
        item.met.append(Note("FTC532", item.row.place, beyond if counts.truncated > truncated else lacking))
    return kept


def _fitted(renderings: tuple[Tokens, ...], row: Row, rules: Rules, counts: Counts) -> list[Tokens]:
    """What is trained of a row. Two answers that are compared are one row: both are left out where one is too long."""
    if len(renderings) == 1:
        return fit(renderings[0], row, rules, counts)
    both = Counts()
    kept = [piece for tokens in renderings for piece in fit(tokens, row, rules, both)]
    # Without something to learn in each there is nothing to compare.
    kept = [] if both.dropped or len(kept) < len(renderings) else kept
    counts.longest = max(counts.longest, both.longest)
    counts.dropped += both.dropped > 0
    counts.truncated += both.truncated > 0
    counts.untrained += not kept and not both.dropped
    if kept:
        counts.kept += 1
        counts.tokens += both.tokens
        counts.trained_tokens += both.trained_tokens
    return kept


def _long(item: Examined, rules: Rules, fate: str) -> str:
    length = max(len(tokens.ids) for tokens in item.tokens)
    return f"{length} tokens, more than data.max_length = {rules.max_length}: {fate}"
