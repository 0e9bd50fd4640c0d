"""How long something that is done step by step will still take.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations


class Pace:
    """Counts from the first step on that it is told of: the first of a run takes longer than the others. What is done
    between steps counts, as it will come again."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self._last: tuple[float, int] | None = None

    def step(self, now: float, done: int) -> None:
        """So much is done by now, in seconds of any clock."""
        self._first, self._last = self._first or (now, done), (now, done)

    def seconds(self, total: int) -> float | None:
        """From the last step to the end; None where that cannot be told yet."""
        if not self._first or not self._last or self._last[1] == self._first[1]:
            return None
        (began, before), (now, done) = self._first, self._last
        return (now - began) / (done - before) * (total - done)

    def left(self, total: int) -> str:
        """The same in words."""
        seconds = self.seconds(total)
        return "" if seconds is None else f"{clock(seconds)} left"


def clock(seconds: float) -> str:
    """As 0:07, 12:30 or 3:04:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
