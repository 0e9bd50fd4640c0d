"""The rows of a recipe in its provider's format: each one that it would refuse named by file and line, all counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from backends.alike import told
from backends.hosted import load
from backends.native.files import Advance, unseen
from backends.native.findings import DataError, Note, RowError, Tally
from backends.native.formats import Row
from backends.native.prepare import line
from backends.native.rows import chooser, parted, read_rows, sound, weighted
from compiler.hosted.tokens import Counter, counter
from compiler.prepare import as_ftc_errors
from schemas.diagnostic import Finding
from schemas.hosted import HostedPlan, Limit, Tokens
from schemas.plan import SourcePlan

LONG = "FTC445"
COUNT = "FTC446"
UNSURE = "FTC448"
DROPPED = "FTC533"

NOTHING = Tokens(0, 0, 0)


class Part(Struct, frozen=True):
    """A file of rows. `longest`: of its rows."""

    lines: tuple[str, ...]
    tokens: Tokens
    longest: Tokens

    @property
    def text(self) -> str:
        """The file."""
        return "".join(self.lines)

    @property
    def size(self) -> int:
        """Its bytes."""
        return sum(len(item.encode()) for item in self.lines)


class Survey(Struct, frozen=True):
    """All rows. `met`: those left out, and why; `unsure`: how many may be too long; `basis`: of the tokens."""

    train: Part
    validation: Part | None
    met: Tally
    unsure: int
    basis: str
    exact: bool


def survey(plan: HostedPlan, advance: Advance = unseen) -> Survey:
    """Read every row. `FtcError` where rows cannot be trained on and are not to be left out."""
    return as_ftc_errors(lambda: _Reader(plan, advance).read())


class _Reader:
    """Reads the rows once, and keeps count of what it meets."""

    def __init__(self, plan: HostedPlan, advance: Advance) -> None:
        self.plan, self.advance = plan, advance
        self.backend = load(plan.provider)
        self.counter: Counter = counter(plan.about.encoding)
        self.limit = plan.recipe.data.max_length
        self.met = Tally()
        self.unsure = 0

    def read(self) -> Survey:
        train, validation = self._parts()
        return Survey(train, validation, self.met, self.unsure, self.counter.basis, self.counter.exact)

    def _parts(self) -> tuple[Part, Part | None]:
        validation, seed, drop = self.plan.validation, self.plan.recipe.training.seed, self._drops
        rows = self._rows(self.plan.train)
        if validation is None or isinstance(validation, tuple):
            train = self._written(weighted(sound(rows, self.met, drop_bad=drop), seed))
            if validation is None:
                return train, None
            return train, self._written(sound(self._rows(validation), self.met, drop_bad=drop))
        held = chooser([told(source) for source in self.plan.train], validation, seed)
        pairs = list(parted(rows, held, self.met, drop_bad=drop))
        train = self._written(weighted([row for chosen, row in pairs if not chosen], seed))
        kept = self._written(row for chosen, row in pairs if chosen)
        if not train.lines or not kept.lines:
            raise DataError(
                f"data.validation = {validation} parts {len(pairs)} rows into {len(train.lines)} to train on and "
                f"{len(kept.lines)} to validate with; write a number of rows, or null for no validation"
                + (f"\n{left}" if (left := gone(self.met)) else "")
            )
        return train, kept

    @property
    def _drops(self) -> bool:
        return self.plan.recipe.data.bad_rows == "drop"

    def _rows(self, sources: tuple[SourcePlan, ...]) -> Iterator[Row | RowError]:
        told_sources = [told(source) for source in sources]
        return map(self._looked_at, read_rows(told_sources, self.plan.recipe.data.system, True, self.advance))

    def _looked_at(self, row: Row | RowError) -> Row | RowError:
        """The row, or why the provider refuses it."""
        record = row if isinstance(row, RowError) else self.backend.record(row, self.plan)
        if isinstance(row, RowError) or isinstance(record, RowError):
            return cast(RowError, record)
        long = self.plan.recipe.data.overlong == "error" and self._length(record)[0].low > self.limit
        return RowError(LONG, row.place, self._too_long(self._length(record)[0])) if long else row

    def _written(self, rows: Iterable[Row]) -> Part:
        lines, tokens, longest = list[str](), NOTHING, NOTHING
        for row in rows:
            record = cast("dict[str, Any]", self.backend.record(row, self.plan))
            length, paid = self._length(record)
            if length.low > self.limit:
                self.met.add(Note(DROPPED, row.place, f"{self._too_long(length)}: left out"))
                continue
            self.unsure += length.high > self.limit
            lines.append(line(record))
            tokens, longest = tokens + paid, max(longest, length, key=lambda each: each.about)
        return Part(tuple(lines), tokens, longest)

    def _too_long(self, length: Tokens) -> str:
        count = f"{length.about:,}" if self.counter.exact else f"{length.low:,} or more"
        return f"{count} tokens, more than data.max_length = {self.limit}"

    def _length(self, record: dict[str, Any]) -> tuple[Tokens, Tokens]:
        """The longest sequence that a row makes, and all that is trained on."""
        if "input" not in record:
            system = [{"content": record["system"]}] if "system" in record else []
            whole = self.counter.turns([*system, *record["messages"]], record.get("tools"))
            return whole, whole
        asked, tools = record["input"]["messages"], record["input"].get("tools")
        answers = ("preferred_output", "non_preferred_output")
        both = [self.counter.turns([*asked, *record[name]], tools) for name in answers]
        return max(both, key=lambda each: each.about), both[0] + both[1]


def gone(met: Tally) -> str:
    """Rows that are left out, and why; nothing where there are none."""
    long = met.met.get(DROPPED)
    said = f"{long.count:,} rows left out for their length, the first at {long.first[0].place}" if long else ""
    return "\n".join(part for part in (met.left_out(), said) if part)


def miscounted(plan: HostedPlan, found: Survey) -> tuple[Finding, ...]:
    """Files that the provider refuses for how much is in them, and rows that may be too long for it."""
    train, held, limits = found.train, found.validation, plan.limits
    kept = len(held.lines) if held else 0
    asked = [
        ("data.train", len(train.lines), limits.rows, "rows to train on"),
        ("data.train", len(train.lines) + kept, limits.both_rows, "rows in all"),
        ("data.train", train.size, limits.file_bytes, "bytes to train on"),
    ]
    if held:
        asked += [
            ("data.validation", kept, limits.validation_rows, "rows to validate with"),
            ("data.validation", held.size, limits.file_bytes, "bytes to validate with"),
        ]
    wrong = tuple(item for item in (_counted(*one, plan.title) for one in asked) if item)
    if left := gone(found.met):  # which may be why there are too few
        wrong = tuple(replace(item, message=f"{item.message}; {' '.join(left.split())}") for item in wrong)
    if not found.unsure:
        return wrong
    message = f"{found.unsure:,} rows may be longer than {plan.recipe.data.max_length:,} tokens ({found.basis})"
    hint = f"{plan.about.title} takes {plan.about.example.words} tokens a row; longer ones it cuts or refuses"
    return (*wrong, Finding(UNSURE, "data.max_length", message, hint, level="warning"))


def _counted(path: str, count: int, limit: Limit, what: str, title: str) -> Finding | None:
    if limit.takes(count):
        return None
    return Finding(COUNT, path, f"{count:,} {what}, and {title} takes {limit.words}", f"says {limit.source}")
