"""The rows that conformance recipes train on: each begins with a mark of its own, one in each file is too long."""

from __future__ import annotations

import json
from pathlib import Path

Record = dict[str, object]

ROWS = 16
LONG = "and so on, from one end of the harbour to the other, " * 24
"""More than the base recipe's `max_length` in tokens."""


def mark(kind: str, number: int) -> str:
    """What a row is known by, whatever a tool makes of it."""
    return f"<{kind}-{number}>"


def question(kind: str, number: int) -> str:
    return f"{mark(kind, number)} How many boats lie in bay {number}?"


def answer(number: int) -> str:
    return f"In bay {number} there are {number * number + 1} boats."


def _tail(number: int) -> str:
    """The last row is too long."""
    return LONG if number == ROWS else ""


def messages(number: int) -> Record:
    """One or two turns, with and without a system text."""
    turns = [
        {"role": "user", "content": question("messages", number)},
        {"role": "assistant", "content": answer(number) + _tail(number)},
    ]
    if number % 3 == 0:
        turns += [
            {"role": "user", "content": "And how many of them are red?"},
            {"role": "assistant", "content": f"Of those, {number} are red."},
        ]
    system = [{"role": "system", "content": "You count boats."}] if number % 2 else []
    return {"messages": system + turns}


def sharegpt(number: int) -> Record:
    return {
        "conversations": [
            {"from": "human", "value": question("sharegpt", number)},
            {"from": "gpt", "value": answer(number) + _tail(number)},
            {"from": "human", "value": "Are you sure?"},
            {"from": "gpt", "value": "Yes, I counted them twice."},
        ]
    }


def alpaca(number: int) -> Record:
    with_input = {"input": f"Bay {number}"} if number % 2 else {"input": ""}
    return {"instruction": question("alpaca", number), **with_input, "output": answer(number) + _tail(number)}


def prompt_completion(number: int) -> Record:
    return {"prompt": question("prompt_completion", number), "completion": answer(number) + _tail(number)}


def text(number: int) -> Record:
    return {"text": f"{mark('text', number)} {answer(number)}{_tail(number)}"}


def preference(number: int) -> Record:
    return {
        "prompt": [{"role": "user", "content": question("preference", number)}],
        "chosen": [{"role": "assistant", "content": answer(number) + _tail(number)}],
        "rejected": [{"role": "assistant", "content": "I do not know."}],
    }


def kto(number: int) -> Record:
    return {
        "prompt": [{"role": "user", "content": question("kto", number)}],
        "completion": [{"role": "assistant", "content": answer(number) + _tail(number)}],
        "label": number % 2 == 0,
    }


KINDS = {item.__name__: item for item in (messages, sharegpt, alpaca, prompt_completion, text, preference, kto)}


def write(folder: Path) -> None:
    """A file of each format, and beside it one without the row that is too long, and rows to validate on."""
    for kind, make in KINDS.items():
        rows = [make(number) for number in range(1, ROWS + 1)]
        _write(folder / f"{kind}.jsonl", rows)
        _write(folder / f"{kind}-short.jsonl", rows[:-1])
        _write(folder / f"{kind}-held.jsonl", rows[:3])


def _write(path: Path, rows: list[Record]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
