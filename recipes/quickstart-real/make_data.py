"""Write the rows: orders as people write them, and what is in them as one line of JSON.

    python make_data.py    writes data/train.jsonl, data/validation.jsonl, data/heldout.jsonl; the same rows every time

Everything here is made up, by this script. No item, city or name of the held-out rows occurs in the others, and half of
them are worded as no other row is: what is learnt is to read an order, not these orders. Licence: the repository's.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SEED = 7
COUNTS = {"train": 480, "validation": 48, "heldout": 60}
NUMBERS = {
    **{"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10},
    **{"a dozen": 12, "two dozen": 24, "a hundred": 100, "fifteen": 15, "twenty": 20},
}
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Words:
    """What orders are made of."""

    items: tuple[str, ...]
    cities: tuple[str, ...]
    names: tuple[str, ...]
    full: tuple[str, ...]
    undated: tuple[str, ...]


SEEN = Words(
    items=(
        *("desk lamps", "office chairs", "coffee mugs", "wall clocks", "paper towels", "garden hoses", "door handles"),
        *(
            "picture frames",
            "water bottles",
            "phone cases",
            "bath mats",
            "wool blankets",
            "candle holders",
            "rain coats",
        ),
        *("toolboxes", "light bulbs", "notebooks", "backpacks", "tea pots", "bread knives", "sun hats", "bike locks"),
        *("yoga mats", "flower pots", "extension cords", "storage boxes", "soup bowls", "winter gloves", "keyboards"),
        *("table cloths", "paint brushes", "mail boxes", "ladders", "camping tents", "frying pans", "door mats"),
    ),
    cities=(
        *("Oslo", "Lisbon", "Toronto", "Nairobi", "Lima", "Osaka", "Dublin", "Vienna", "Austin", "Cairo", "Perth"),
        *("Krakow", "Seville", "Boston", "Tunis", "Quito", "Helsinki", "Lyon", "Denver", "Accra", "Naples", "Bergen"),
        *("Hanoi", "Leeds", "Porto", "Winnipeg", "Riga", "Cusco", "Ghent", "Malaga", "Tampa", "Zagreb", "Basel"),
    ),
    names=("Maria", "Tom", "Aisha", "Jonas", "Li Wei", "Sofia", "Peter", "Nadia", "Carlos", "Emma", "Igor", "Grace"),
    full=(
        "Hi, this is {name}. Please send {n} {item} to {city} by {day}.",
        "We need {n} {item} in {city} on {day}. Thanks, {name}",
        "Could you ship {n} {item} to our shop in {city}? {day} would be fine.",
        "{name} here, I would like to order {n} {item}. Delivery to {city}, {day} please.",
        "Hello! {n} {item} for {city}, to arrive {day}, if that is possible.",
        "Our {city} office is out of {item}. Can we have {n} of them on {day}?",
        "By {day} I need {n} {item}. My address is in {city}. Best, {name}",
        "Order for {city}: {n} {item}, delivery {day}.",
        "Good morning, {name} from {city} again. This time it is {n} {item}, and {day} is early enough.",
        "Please put {n} {item} on the truck to {city} that leaves on {day}.",
        "I am writing to ask for {n} {item}. They should be in {city} on {day}. {name}",
        "{day}, {city}, {n} {item}. That is all, thank you!",
    ),
    undated=(
        "Please send {n} {item} to {city}, there is no hurry. {name}",
        "I would like {n} {item}. I live in {city}.",
        "{n} {item} to {city}, whenever you can.",
        "Hello, {name} here. Could {city} get {n} {item}?",
    ),
)
UNSEEN = Words(
    items=(
        *("shower curtains", "chess boards", "fishing rods", "pillow cases", "hammers", "ice skates", "bird feeders"),
        *("lunch boxes", "map cases", "violin strings", "book shelves", "ski poles", "salt shakers", "doll houses"),
    ),
    cities=("Prague", "Bogota", "Kyoto", "Calgary", "Marseille", "Tallinn", "Durban", "Salem", "Utrecht", "Split"),
    names=("Hannah", "Diego", "Yuki", "Omar", "Freya", "Ravi"),
    full=(
        "Hey, can you get {n} {item} over to {city} before {day}? Cheers, {name}",
        "The customer in {city} wants {n} {item}, latest {day}.",
        "{name} asked me to order {n} {item}; they go to {city} and are due on {day}.",
    ),
    undated=("For the new flat in {city} we still need {n} {item}. {name}",),
)


def row(words: Words, wording: Words, draw: random.Random) -> dict[str, Any]:
    """An order and its JSON. A quarter of the orders name no day."""
    dated = draw.random() < 0.75
    text = draw.choice(wording.full if dated else wording.undated)
    word, number = draw.choice(tuple(NUMBERS.items()))
    if draw.random() < 0.5:
        number = draw.randrange(2, 400)
        word = str(number)
    parts = {name: draw.choice(getattr(words, f"{name}s")) for name in ("item", "name")}
    city, day = draw.choice(words.cities), draw.choice(DAYS)
    said = text.format(n=word, city=city, day=day, **parts)
    answer = {"item": parts["item"], "quantity": number, "city": city, "day": day if dated else None}
    turns = (("user", said[0].upper() + said[1:]), ("assistant", json.dumps(answer)))
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def part(name: str) -> list[dict[str, Any]]:
    """The rows of a part, no two alike. Every second held-out row is worded as none of the others is."""
    draw = random.Random(f"{SEED}:{name}")  # noqa: S311
    words = UNSEEN if name == "heldout" else SEEN
    rows: dict[str, dict[str, Any]] = {}
    while len(rows) < COUNTS[name]:
        wording = UNSEEN if name == "heldout" and len(rows) % 2 else SEEN
        made = row(words, wording, draw)
        rows.setdefault(made["messages"][0]["content"], made)
    return list(rows.values())


def main() -> None:
    (HERE / "data").mkdir(exist_ok=True)
    for name in COUNTS:
        text = "".join(json.dumps(each) + "\n" for each in part(name))
        (HERE / "data" / f"{name}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
