"""Small exercises in chat form that teach the base to copy, pick, reorder, join, pad and count.

None of them is the quickstart's task: `leaks_a_date` is checked on every exercise, so the base never
sees a date, in any format, nor the task's output format.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

SEED = 1
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
MONTH_WORDS = frozenset(MONTHS) | {month[:3] for month in MONTHS}
SEPARATORS = ("-", "/", ".", "+", "_", ":", ", ", " ")
POSITIONS = ("first", "second", "third", "fourth", "fifth")
LETTERS = ("a", "b", "c", "d", "e")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

# Three numbers in a row between the same marks, as in 7/3/2021, 07.03.2021 and 2021-03-07.
THREE_NUMBERS = re.compile(r"\d+\s*([-/. ])\s*\d+\s*\1\s*\d+")
A_NUMBER = re.compile(r"\d+")
A_MONTH = re.compile(r"\b(" + "|".join(sorted(MONTH_WORDS)) + r")\b")

T = TypeVar("T")


class Exercise(NamedTuple):
    kind: str
    question: str
    answer: str


def leaks_a_date(text: str) -> bool:
    """Whether a text could be a date: a month's name with a number, or three numbers like one."""
    numbers = A_NUMBER.findall(text)
    if A_MONTH.search(text):
        return bool(numbers)
    triples = zip(numbers, numbers[1:], numbers[2:], strict=False)
    return bool(THREE_NUMBERS.search(text)) or any(map(could_be_day_month_year, triples))


def could_be_day_month_year(numbers: Sequence[str]) -> bool:
    """One number of four digits and two of one or two, in any order."""
    lengths = sorted(map(len, numbers))
    return lengths[1] <= 2 and lengths[2] == 4


def common_words(corpus: str) -> list[str]:
    """Short words that the corpus uses often."""
    counts = Counter(re.findall(r"\b[a-z]{2,8}\b", corpus))
    return sorted(word for word, count in counts.items() if count >= 10)


class Maker:
    """Draws exercises from a seed and a list of everyday words."""

    def __init__(self, seed: int, words: Sequence[str]) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - exercises, not secrets
        self.words = [*(word for word in words if word.capitalize() not in MONTH_WORDS), *WEEKDAYS]
        self.kinds: tuple[Callable[[], Exercise], ...] = (
            self.copy,
            self.reverse,
            self.nth,
            self.join,
            self.split,
            self.reorder,
            self.fill,
            self.find_number,
            self.pad,
            self.month,
            self.month_in_words,
            self.digits,
            self.ordinal,
        )

    def __iter__(self) -> Iterator[Exercise]:
        while True:
            exercise = self.pick(self.kinds)()
            if not any(map(leaks_a_date, exercise[1:])):
                yield exercise

    # Only `random()` is promised to give the same numbers in every Python version.
    def pick(self, items: Sequence[T]) -> T:
        return items[int(self.rng.random() * len(items))]

    def between(self, low: int, high: int) -> int:
        return low + int(self.rng.random() * (high - low + 1))

    def mixed(self, items: Sequence[T]) -> list[T]:
        return sorted(items, key=lambda _: self.rng.random())

    def number(self) -> str:
        """1 to 5 digits; short ones often, also with a leading zero."""
        length = self.pick((1, 1, 2, 2, 2, 3, 4, 4, 4, 5))
        return "".join(str(self.between(0, 9)) for _ in range(length))

    def word(self) -> str:
        word = self.pick(self.words)
        return word.capitalize() if self.rng.random() < 0.3 else word

    def item(self) -> str:
        return self.number() if self.rng.random() < 0.6 else self.word()

    def items(self, low: int, high: int) -> list[str]:
        return [self.item() for _ in range(self.between(low, high))]

    def ask(self, kind: str, order: str, text: str, answer: str) -> Exercise:
        """The order comes before the text or after it."""
        question = f"{order}: {text}" if self.rng.random() < 0.5 else f"{text}\n{order}"
        return Exercise(kind, question, answer)

    def copy(self) -> Exercise:
        text = self.pick(SEPARATORS).join(self.items(1, 5))
        return self.ask("copy", "copy", text, text)

    def reverse(self) -> Exercise:
        items, mark = self.items(2, 4), self.pick(SEPARATORS)
        return self.ask("reverse", "reverse", mark.join(items), mark.join(reversed(items)))

    def nth(self) -> Exercise:
        items = self.items(2, 5)
        index = self.between(0, len(items) - 1)
        name = "last" if index == len(items) - 1 and self.rng.random() < 0.5 else POSITIONS[index]
        return self.ask("nth", name, self.pick(SEPARATORS).join(items), items[index])

    def join(self) -> Exercise:
        items, mark = self.items(2, 4), self.pick(SEPARATORS[:6])
        return self.ask("join", f"join with {mark}", " ".join(items), mark.join(items))

    def split(self) -> Exercise:
        items, mark = self.items(2, 4), self.pick(SEPARATORS[:7])
        return self.ask("split", "split", mark.join(items), " ".join(items))

    def reorder(self) -> Exercise:
        """For example "order c a b: lamp 12 tree" gives "tree lamp 12"."""
        items, marks = self.items(2, 4), (self.pick(SEPARATORS), self.pick(SEPARATORS))
        order = self.mixed(range(len(items)))
        answer = marks[1].join(items[i] for i in order)
        wish = marks[1].join(LETTERS[i] for i in order)
        return self.ask("reorder", f"order {wish}", marks[0].join(items), answer)

    def fill(self) -> Exercise:
        """For example "c/a: a=lamp b=12 c=tree" gives "tree/lamp"."""
        items = self.items(2, 4)
        fields = [f"{letter}={item}" for letter, item in zip(LETTERS, items, strict=False)]
        order = self.mixed(range(len(items)))[: self.between(1, len(items))]
        mark = self.pick(SEPARATORS[:6])
        wish = mark.join(LETTERS[i] for i in order)
        return self.ask("fill", wish, " ".join(self.mixed(fields)), mark.join(items[i] for i in order))

    def find_number(self) -> Exercise:
        """The number of a given length among others: "4 digits: lamp 12 1987" gives "1987"."""
        lengths = self.mixed((1, 2, 3, 4, 5))[: self.between(1, 3)]
        numbers = ["".join(str(self.between(0, 9)) for _ in range(n)) for n in lengths]
        text = self.mixed([*numbers, *(self.word() for _ in range(self.between(0, 2)))])
        return self.ask("find number", f"{lengths[0]} digits", self.pick(SEPARATORS).join(text), numbers[0])

    def pad(self) -> Exercise:
        width = self.pick((2, 2, 2, 3, 4))
        number = str(self.between(0, 10 ** self.between(1, width) - 1))
        return self.ask("pad", f"pad to {width}", number, number.zfill(width))

    def month(self) -> Exercise:
        number = self.between(1, 12)
        name = MONTHS[number - 1]
        if self.rng.random() < 0.2:
            return self.ask("month", "month name", str(number), name)
        return self.ask("month", "month number", name if self.rng.random() < 0.5 else name[:3], str(number))

    def month_in_words(self) -> Exercise:
        number = self.between(1, 12)
        name = self.pick((MONTHS[number - 1], MONTHS[number - 1][:3]))
        words = self.mixed([name, *(self.word() for _ in range(self.between(1, 3)))])
        return self.ask("month in words", "month number", self.pick((" ", ", ")).join(words), str(number))

    def digits(self) -> Exercise:
        number = "".join(self.number() for _ in range(2))[:6]
        return self.ask("digits", "digits", number, "+".join(number))

    def ordinal(self) -> Exercise:
        day = self.between(1, 99)
        suffix = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
        text = " ".join([f"{day}{suffix}", *(self.word() for _ in range(self.between(0, 2)))])
        return self.ask("ordinal", "plain number", text, str(day))
