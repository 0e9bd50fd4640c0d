"""Everything there is to say of a recipe's rows: each is read, rendered and masked as training does it, and counted.

Memory does not grow with the number of rows. Without a tokenizer rows are read and checked, and no token is counted.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from importlib.util import find_spec
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct, field

from backends.native.data import Counts, Tokens
from backends.native.examine import Examined, Examiner, Job, judged, kept_for_validation
from backends.native.files import Advance
from backends.native.findings import AbsentError, DamagedError, Note, Place, Tally, of_file
from backends.native.parallel import in_order
from backends.native.rows import Failed, Sources, Stretch, stretches
from compiler.data.duplicates import Fingerprints, FirstPairs, Seen, fingerprint
from compiler.data.showing import Shown, show
from compiler.data.similar import Alike, Sketch, Sketches, sketch

Part = Literal["train", "validation"]
PARTS: Final[tuple[Part, ...]] = ("train", "validation")
LINES: Final = 42
"""Bits of an order that say where in its file a row is; the others say in which file."""
SHARING: Final = 10
"""The last of them: which of the rows that begin in one line."""
PAIRS: Final = 5
"""Pairs of rows that are nearly the same, of which so many are named."""


class End(NamedTuple):
    """The last trained token of an answer: its text if it is a special one, else ""; and whether generation stops."""

    token: str
    stops: bool


class Measured(Struct):
    """Rows of one part. `lengths`: tokens of a row as it is rendered → how many rows; `pieces`: the same of what is
    trained of them, after long rows were cut or left out. `ends`: what answers end with → how often."""

    counts: Counts = field(default_factory=Counts)
    met: Tally = field(default_factory=Tally)
    lengths: Counter[int] = field(default_factory=Counter[int])
    pieces: Counter[int] = field(default_factory=Counter[int])
    ends: Counter[End] = field(default_factory=Counter[End])

    def merge(self, later: Measured) -> None:
        """Add later rows."""
        self.counts.merge(later.counts)
        self.met.merge(later.met)
        self.lengths.update(later.lengths)
        self.pieces.update(later.pieces)
        self.ends.update(later.ends)


class Read(Struct):
    """What became of a stretch of rows: both parts, and of each row in order its place, its fingerprint, its part, and
    its sketch where it has one."""

    parts: dict[Part, Measured]
    path: str
    counted: bool
    source: int
    numbers: array[int]
    marks: array[int]
    held: bytearray
    sketches: list[tuple[int, Sketch]]
    shown: list[list[Shown]]


class Survey(Struct):
    """`rows`: how many each source of training has, and each source of validation; `training`: how many of the first
    are not kept for validation. `pieces`: of each of them, tokens of what is trained → how often. `alike` is None where
    it cannot be estimated here."""

    parts: dict[Part, Measured]
    rows: tuple[list[int], list[int]]
    training: list[int]
    pieces: list[Counter[int]]
    shown: list[Shown]
    alike: Alike | None
    pairs: list[tuple[str, str]]


class Asked(Struct, frozen=True):
    """`tokenizer`: None where there is none. `stops`: ids of tokens at which generation stops. `shown`: of each source
    so many rows."""

    job: Job
    tokenizer: Any
    stops: frozenset[int]
    shown: int
    workers: int


def survey(asked: Asked, advance: Advance) -> Survey:
    """Read every row there is to be had, of damaged files those before the damage. `FileError` for a file that is not
    there."""
    folding = _Folding()
    own = asked.job.validation
    with closing(_reads(asked, asked.job.train, _held(asked.job), advance, folding.failed("train"))) as reads:
        for read in reads:
            folding.add(read, 0)
    if isinstance(own, Sequence):
        with closing(_reads(asked, own, lambda _: True, advance, folding.failed("validation"))) as reads:
            for read in reads:
                folding.add(read, 1)
    return folding.survey()


def _held(job: Job) -> Callable[[int], bool]:
    """Which rows are kept for validation, where all of them can be counted."""
    try:
        return kept_for_validation(job)
    except (DamagedError, AbsentError):
        return lambda _: False


def _reads(
    asked: Asked, sources: Sources, held: Callable[[int], bool], advance: Advance, failed: Failed
) -> Generator[Read]:
    examiner = Examiner(asked.job, sources, asked.tokenizer)
    sketched = find_spec("numpy") is not None
    wanted = [asked.shown] * len(sources)

    def work(stretch: Stretch) -> Read:
        return _read(stretch, examiner, asked, held, sketched=sketched)

    for read in in_order(work, stretches(sources, advance, failed), asked.workers):
        read.shown = read.shown[: wanted[read.source]]
        wanted[read.source] -= len(read.shown)
        yield read


def _read(stretch: Stretch, examiner: Examiner, asked: Asked, held: Callable[[int], bool], *, sketched: bool) -> Read:
    found = examiner.examine(stretch)
    parts: dict[Part, Measured] = {part: Measured() for part in PARTS}
    read = Read(parts, stretch.block.path, False, stretch.source, array("Q"), array("Q"), bytearray(), [], [])
    if stretch.block.marked and found:
        place = Place(stretch.block.path, 1)
        parts[PARTS[held(stretch.first)]].met.add(Note("FTC540", place, "the file begins with a byte order mark"))
    for item in found:
        part = PARTS[held(item.number)]
        _measure(item, read.parts[part], asked)
        _remember(item, read, held=part == "validation", sketched=sketched)
        if item.row and len(read.shown) < asked.shown:
            read.shown.append(show(item, part, asked.tokenizer, asked.job.rules))
    return read


def _measure(item: Examined, into: Measured, asked: Asked) -> None:
    into.counts.read += 1
    kept = judged(item, asked.job.rules, into.counts) if asked.tokenizer else _unrendered(item, into.counts)
    into.pieces.update(len(piece.ids) for piece in kept)
    # Of a text that is split only the last piece has the end.
    ending = kept[-1:] if item.row and item.row.cuttable else kept
    into.ends.update(_end(piece, span, asked) for piece in ending for span in piece.spans)
    # With them but bad is a row that is too long, where that is an error: how long it is must be seen.
    if item.tokens:
        into.lengths[max(len(tokens.ids) for tokens in item.tokens)] += 1
    for note in item.met:
        into.met.add(note)


def _unrendered(item: Examined, counts: Counts) -> list[Tokens]:
    """Nothing is known of a row's tokens, but whether it can be read."""
    counts.bad += item.bad
    return []


def _end(piece: Tokens, span: tuple[int, int], asked: Asked) -> End:
    """What the last token of an answer is, as it is trained; white space behind it, as after a whole conversation, left
    out."""
    start, end = span
    while end - 1 > start and asked.tokenizer.decode([piece.ids[end - 1]]).isspace():
        end -= 1
    token = piece.ids[end - 1]
    stops = token in asked.stops
    special = stops or token in asked.tokenizer.added_tokens_decoder
    return End(str(asked.tokenizer.convert_ids_to_tokens(token)) if special else "", stops)


def _remember(item: Examined, read: Read, *, held: bool, sketched: bool) -> None:
    place = item.row.place if item.row else item.met[0].place
    if not isinstance(place, Place) or item.row is None:
        return
    read.counted = place.counted
    if not any((item.row.messages, item.row.prompt, item.row.text.strip())):
        return  # lines that are empty are often there more than once
    begins = place.number << SHARING
    read.numbers.append(max(begins, read.numbers[-1] + 1) if read.numbers else begins)
    read.marks.append(fingerprint(item.row))
    read.held.append(held)
    found = sketch(item.row) if sketched else None
    if found:
        read.sketches.append((len(read.numbers) - 1, found))


class _Folding:
    """What was read so far, of all stretches."""

    def __init__(self) -> None:
        self._parts: dict[Part, Measured] = {part: Measured() for part in PARTS}
        self._rows: tuple[list[int], list[int]] = ([], [])
        self._training = Counter[int]()
        self._shown: list[Shown] = []
        self._pieces: list[Counter[int]] = []
        self._files: list[tuple[str, bool, int]] = []
        self._prints = Fingerprints()
        self._repeats: defaultdict[tuple[Part, str], FirstPairs] = defaultdict(FirstPairs)
        self._sketches: Sketches | None = Sketches() if find_spec("numpy") else None

    def failed(self, part: Part) -> Failed:
        """Add what cannot be read of a part."""
        return lambda error: self._parts[part].met.add(of_file(error))

    def add(self, read: Read, own: int) -> None:
        """Add a stretch. `own`: 1 for sources of validation."""
        for part in PARTS:
            self._parts[part].merge(read.parts[part])
        rows = self._rows[own]
        rows.extend([0] * (read.source + 1 - len(rows)))
        rows[read.source] += sum(read.parts[part].counts.read for part in PARTS)
        self._training[read.source] += read.parts["train"].counts.read
        self._shown += [each for renderings in read.shown for each in renderings]
        self._pieces.extend(Counter[int]() for _ in range(read.source + 1 - len(self._pieces)))
        self._pieces[read.source].update(read.parts["train"].pieces)
        file = (read.path, read.counted, 2 * read.source + own)
        if not self._files or self._files[-1] != file:
            self._files.append(file)
        base = (len(self._files) - 1) << LINES
        for number, mark, held in zip(read.numbers, read.marks, read.held, strict=True):
            self._prints.add(mark, base + number, held=bool(held))
        if self._sketches:
            for at, found in read.sketches:
                self._sketches.add(base + read.numbers[at], found)

    def survey(self) -> Survey:
        """The whole."""
        looked_at = self._sketches.orders if self._sketches else frozenset[int]()
        repeated: set[int] = set()
        for group in self._prints.repeated():
            self._repeat(group)
            repeated.update(row.order for row in group[1:] if row.order in looked_at)
        for (part, code), rows in sorted(self._repeats.items()):
            self._tell(part, code, rows)
        alike = self._sketches.alike(repeated, PAIRS) if self._sketches else None
        pairs = [(str(self._place(one)), str(self._place(other))) for one, other in (alike.pairs if alike else ())]
        training = [self._training[source] for source in range(len(self._rows[0]))]
        return Survey(self._parts, self._rows, training, self._pieces, self._shown, alike, pairs)

    def _repeat(self, group: tuple[Seen, ...]) -> None:
        trained, held = ([row for row in group if row.held is part] for part in (False, True))
        for part, rows in zip(PARTS, (trained, held), strict=True):
            for row in rows[1:]:
                self._repeats[part, "FTC535"].add(row.order, rows[0].order)
        for row in held if trained else ():
            self._repeats["validation", "FTC537"].add(row.order, trained[0].order)

    def _tell(self, part: Part, code: str, rows: FirstPairs) -> None:
        said = "the same row as" if code == "FTC535" else "trained on as well, at"
        notes = [Note(code, self._place(row), f"{said} {self._place(other)}") for row, other in rows.pairs]
        for note in notes:
            self._parts[part].met.add(note)
        self._parts[part].met.met[code].count = rows.count

    def _place(self, order: int) -> Place:
        path, counted, _ = self._files[order >> LINES]
        return Place(path, (order & ((1 << LINES) - 1)) >> SHARING, counted)
