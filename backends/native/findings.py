"""What is wrong with training data, and where: errors in words for the data's owner, and a tally of what was met.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

SHOWN = 5
"""Of each finding so many places are kept; of the others only their number."""
UNREADABLE = "FTC526"
"""The code of a file that cannot be read to its end. Nothing is trained, whatever is done with bad rows."""
UNREACHED = "FTC527"
"""The code of a dataset of the hub that is out of reach, of which nothing is known here."""


class Place(NamedTuple):
    """A row of a file: its line, or where `counted` its number among the rows, both from 1."""

    file: str
    number: int
    counted: bool = False

    def __str__(self) -> str:
        return f"{self.file}, row {self.number}" if self.counted else f"{self.file}:{self.number}"


class DataError(Exception):
    """What is wrong with the data, in words for its owner: the file, the line, what to do."""


class FileError(DataError):
    """A file that is missing or cannot be read to its end."""


class DamagedError(FileError):
    """A file that cannot be read on from a place. `what`: why, to stand behind the file's name."""

    def __init__(self, place: Place, what: str) -> None:
        super().__init__(f'"{place.file}" {what}')
        self.place, self.what = place, what

    def __reduce__(self) -> tuple[type[DamagedError], tuple[Place, str]]:
        """So that it can come out of another process."""
        return DamagedError, (self.place, self.what)


class AbsentError(FileError):
    """A dataset of the hub that cannot be had here. `what`: why, to stand behind its name."""

    def __init__(self, dataset: str, what: str) -> None:
        super().__init__(f'dataset "{dataset}" {what}')
        self.dataset, self.what = dataset, what

    def __reduce__(self) -> tuple[type[AbsentError], tuple[str, str]]:
        """So that it can come out of another process."""
        return AbsentError, (self.dataset, self.what)


class RowError(DataError):
    """A row that cannot be trained on. `code`: as `ftc explain` knows it."""

    def __init__(self, code: str, place: Place | str, what: str) -> None:
        super().__init__(f"{place}: {what} ({code})")
        self.code, self.place, self.what = code, place, what

    def __reduce__(self) -> tuple[type[RowError], tuple[str, Place | str, str]]:
        """So that it can come out of another process."""
        return RowError, (self.code, self.place, self.what)


class Note(NamedTuple):
    """Something about a row. `code`: as `ftc explain` knows it; `bad`: the row is not trained on because of it."""

    code: str
    place: Place | str
    what: str
    bad: bool = False


def of_error(error: RowError) -> Note:
    """An error of a row as something met."""
    return Note(error.code, error.place, error.what, True)


def of_file(error: DamagedError | AbsentError) -> Note:
    """A file that cannot be read to its end, or a dataset at all, as something met."""
    if isinstance(error, AbsentError):
        return Note(UNREACHED, error.dataset, f"the dataset {error.what}", True)
    return Note(UNREADABLE, error.place, f"the file {error.what}", True)


@dataclass(slots=True)
class Met:
    """How often a code was met, and the first places."""

    count: int = 0
    bad: bool = False
    first: list[Note] = field(default_factory=list[Note])


@dataclass(slots=True)
class Tally:
    """What was met in many rows, by code. In order of the rows, whoever read them."""

    met: dict[str, Met] = field(default_factory=dict[str, Met])

    def add(self, note: Note, times: int = 1) -> None:
        """Count a note; keep it if it is among the first of its code."""
        found = self.met.setdefault(note.code, Met())
        found.count += times
        found.bad = found.bad or note.bad
        if len(found.first) < SHOWN:
            found.first.append(note)

    def merge(self, later: Tally) -> None:
        """Add what was met in later rows."""
        for code, other in later.met.items():
            found = self.met.setdefault(code, Met())
            found.count += other.count
            found.bad = found.bad or other.bad
            found.first.extend(other.first[: SHOWN - len(found.first)])

    @property
    def bad(self) -> bool:
        """Whether there are rows that cannot be trained on."""
        return any(found.bad for found in self.met.values())

    def told(self) -> dict[str, dict[str, object]]:
        """As JSON: code → how many, and the first places."""
        return {
            code: {"rows": found.count, "first": [f"{note.place}: {note.what}" for note in found.first]}
            for code, found in sorted(self.met.items())
        }

    def refusal(self) -> DataError:
        """All that rows cannot be trained on for, as one error."""
        remedy = "mend them, or leave them out with data.bad_rows = drop"
        return DataError(f"{self._told_bad('cannot be trained on')}\n{remedy}")

    def left_out(self) -> str:
        """The same where they are left out; nothing where there are none."""
        return self._told_bad("left out, as they cannot be trained on") if self.bad else ""

    def _told_bad(self, what: str) -> str:
        bad = {code: found for code, found in self.met.items() if found.bad}
        lines = [f"  {code}, {_rows(found.count)}: {_listed(found.first)}" for code, found in sorted(bad.items())]
        return "\n".join([f"{_rows(sum(found.count for found in bad.values()))} {what}:", *lines])


def _rows(count: int) -> str:
    return f"{count:,} row{'s' if count > 1 else ''}"


def _listed(notes: list[Note]) -> str:
    """The first place with what is wrong there, and where else."""
    first, *others = notes
    also = ", ".join(str(note.place).removeprefix(f"{first.place}".rpartition(":")[0] + ":") for note in others)
    return f"{first.place}: {first.what}" + (f"; also {also}" if also else "")
