"""Write the quickstart's data: dates as people write them, and the same dates as YYYY-MM-DD.

    python make_data.py                          # data/train.jsonl, validation.jsonl, heldout.jsonl
    python make_data.py --shuffled control.jsonl # the training rows, each with another row's answer

Every date is drawn once, so no input and no answer of one part occurs in another, in any format.
The same seed gives the same bytes on every machine and Python version.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterable
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
SEED = 20260307
PARTS = {"train": 6000, "validation": 256, "heldout": 400}
FIRST_DAY = date(1900, 1, 1).toordinal()
LAST_DAY = date(2099, 12, 31).toordinal()

# Not from `calendar`: its names follow the locale of the machine.
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
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
FORMATS = (
    "{d} {month} {y}",
    "{month} {d}, {y}",
    "{d} {mon} {y}",
    "{mon} {d}, {y}",
    "{d:02}.{m:02}.{y}",  # with dots the day comes first
    "{m}/{d}/{y}",  # with slashes the month comes first
    "{weekday}, {d} {month} {y}",
    "{nth} of {month} {y}",
)

Row = tuple[str, str]


def ordinal(day: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    suffix = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{suffix}"


def written(day: date, form: str) -> str:
    month = MONTHS[day.month - 1]
    return form.format(
        d=day.day,
        m=day.month,
        y=day.year,
        month=month,
        mon=month[:3],
        weekday=WEEKDAYS[day.weekday()],
        nth=ordinal(day.day),
    )


def draw_days(rng: random.Random, count: int) -> list[date]:
    """Different days, evenly from the whole range."""
    # Only `random()` is promised to give the same numbers in every Python version.
    days: dict[int, None] = {}
    while len(days) < count:
        days[FIRST_DAY + int(rng.random() * (LAST_DAY - FIRST_DAY + 1))] = None
    return [date.fromordinal(day) for day in days]


def make_parts(seed: int = SEED) -> dict[str, list[Row]]:
    rng = random.Random(seed)  # noqa: S311 - dates, not secrets
    days = iter(draw_days(rng, sum(PARTS.values())))
    return {
        part: [
            (written(day, FORMATS[i % len(FORMATS)]), day.isoformat())
            for i, day in zip(range(size), days, strict=False)
        ]
        for part, size in PARTS.items()
    }


def shuffled(rows: list[Row], seed: int = SEED) -> list[Row]:
    """Each input with another row's answer: what a control run trains on."""
    rng = random.Random(seed + 1)  # noqa: S311
    order = sorted(range(len(rows)), key=lambda _: rng.random())
    following = dict(zip(order, order[1:] + order[:1], strict=True))  # one ring: no row keeps its own
    return [(question, rows[following[i]][1]) for i, (question, _) in enumerate(rows)]


def to_jsonl(rows: Iterable[Row]) -> str:
    lines: list[str] = []
    for question, answer in rows:
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        lines.append(json.dumps({"messages": turns}) + "\n")
    return "".join(lines)


def write(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_jsonl(rows).encode())
    print(f"{len(rows):5} rows  {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE / "data", help="folder of the three parts")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--shuffled", type=Path, help="write only the control's training file, here")
    args = parser.parse_args()
    parts = make_parts(args.seed)
    if args.shuffled:
        write(args.shuffled, shuffled(parts["train"], args.seed))
        return
    for part, rows in parts.items():
        write(args.out / f"{part}.jsonl", rows)


if __name__ == "__main__":
    main()
