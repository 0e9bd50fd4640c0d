# pyright: basic
# Strict typing stops at transformers, whose classes are made at run time.
"""A run against its base on rows and texts: losses, answers, and what was forgotten, each with how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from math import exp, inf
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, to_builtins

from backends.native.data import Tokens
from backends.native.files import digest, local_files
from backends.native.findings import DataError
from compiler.after.answers import answers
from compiler.after.finished import Finished
from compiler.after.harness import Harness
from compiler.after.intervals import Interval, difference, mean, share
from compiler.after.loading import base_model, stops, tokenizer_of, trained_model
from compiler.after.losses import Losses, losses
from compiler.after.rows import Rows, read
from compiler.after.text import windows

VIRTUAL: Final = ("prefix_tuning", "prompt_tuning", "p_tuning")
BOTH: Final = ("base", "tuned")
HIGHEST: Final = 700.0
"""Of losses whose exponential is a number."""
Progress = Callable[[str, int], AbstractContextManager[Callable[[int], object]]]
"""A bar of so many steps, with a name."""


class Asked(Struct, frozen=True):
    """What is looked at. `limit`: of rows, and of stretches of the text. `tasks` and `task_path`: for lm-eval."""

    data: Path | None
    text: Path | None
    tasks: tuple[str, ...]
    task_path: Path | None
    limit: int | None


class Matter(Struct, frozen=True):
    """What is asked, prepared; what is not asked for is None or empty."""

    rows: Rows | None
    text: Sequence[Tokens]
    harness: Harness | None


class Seen(Struct):
    """What one model made of it."""

    rows: Losses
    rejected: Losses
    answers: list[list[int]]
    text: Losses
    tasks: dict[str, Any]


def evaluate(run: Finished, asked: Asked, device: str, progress: Progress) -> dict[str, Any]:
    """All figures, as they are written to the file."""
    tokenizer = tokenizer_of(run)
    rows = read(run, tokenizer, asked.data, asked.limit) if asked.data else None
    text = windows(asked.text, tokenizer, run.plan, asked.limit) if asked.text else []
    harness = Harness(asked.tasks, asked.task_path, asked.limit) if asked.tasks else None
    matter, base = Matter(rows, text, harness), base_model(run, device)
    before = _seen(run, base, tokenizer, matter, lambda what, count: progress(f"base, {what}", count))
    if run.kind == "full":
        base = None  # there is another one to come
    tuned = trained_model(run, device, base)
    after = _seen(run, tuned, tokenizer, matter, lambda what, count: progress(f"tuned, {what}", count))
    found: dict[str, Any] = {"format_version": 1, "run": run.name, "method": run.kind, "device": device}
    found["dtype"] = str(next(tuned.parameters()).dtype).removeprefix("torch.")
    if rows and asked.data:
        found |= _of_rows(rows, asked.data, before, after, tokenizer)
        found["data"]["trained_on"] = _trained_on(run, found["data"]["sha256"])
    if text and asked.text:
        found["forgetting"] = {"text": _file(asked.text), "stretches": len(text), **_losses(before.text, after.text)}
        found["forgetting"]["perplexity"] = {
            name: _perplexity(found["forgetting"]["loss"][name]["value"]) for name in BOTH
        }
    if asked.tasks:
        found["tasks"] = {"base": before.tasks, "tuned": after.tasks}
    return found


def _seen(run: Finished, model: Any, tokenizer: Any, matter: Matter, progress: Progress) -> Seen:
    pad, rows, seen = tokenizer.pad_token_id, matter.rows, Seen([], [], [], [], {})

    def looked_at(what: str, pieces: Sequence[Tokens]) -> Losses:
        with progress(what, len(pieces)) as advance:
            return losses(model, pieces, pad, advance)

    if rows and rows.format == "preference":
        seen.rows = looked_at("chosen answers", [pair[0] for pair in rows.pieces])
        seen.rejected = looked_at("rejected answers", [pair[1] for pair in rows.pieces])
    elif rows:
        seen.rows = _summed(looked_at("loss", [piece for row in rows.pieces for piece in row]), rows)
    if rows and rows.questions:
        ends = stops(model, tokenizer)
        with progress("answers", len(rows.questions)) as advance:
            wanted = [(each.prompt, len(each.answer)) for each in rows.questions]
            same = run.kind in VIRTUAL
            seen.answers = answers(model, wanted, ends, pad, advance, same=same)
    if matter.text:
        seen.text = looked_at("text", matter.text)
    if matter.harness:
        seen.tasks = matter.harness.results(model, tokenizer)
    return seen


def _summed(each: Losses, rows: Rows) -> Losses:
    """The losses of rows, of those of their pieces."""
    found, left = list[tuple[float, int]](), iter(each)
    for row in rows.pieces:
        pieces = [next(left) for _ in row]
        found.append((sum(loss for loss, _ in pieces), sum(count for _, count in pieces)))
    return found


def _of_rows(rows: Rows, file: Path, before: Seen, after: Seen, tokenizer: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "data": {**_file(file), "format": rows.format, "rows": len(rows.pieces), "read": rows.counts.read},
        **_losses(before.rows, after.rows),
    }
    found["data"]["trained_tokens"] = sum(count for _, count in before.rows)
    if rows.met.met:
        found["data"]["findings"] = rows.met.told()
    if rows.format == "preference":
        found["preferred"] = {name: _preferred(seen) for name, seen in zip(BOTH, (before, after), strict=True)}
    if rows.questions:
        found["exact_match"], found["answers"] = _matches(rows, before, after, tokenizer)
    return found


def _perplexity(loss: float) -> float:
    """Of a model that was trained to pieces it is beyond all numbers."""
    return exp(loss) if loss < HIGHEST else inf


def _trained_on(run: Finished, content: str) -> bool:
    """Whether a file is one of those that the run was trained on, as far as they are still there."""
    local = [source["path"] for source in run.plan["data"]["train"] if source["local"]]
    found: list[Path] = []
    for path in local:
        with suppress(DataError):
            found += local_files(path)
    return any(digest(file) == content for file in found)


def _file(path: Path) -> dict[str, Any]:
    return {"path": str(path), "sha256": digest(path)}


def _losses(before: Losses, after: Losses) -> dict[str, Any]:
    counts = [count for _, count in before]
    old, new = [loss for loss, _ in before], [loss for loss, _ in after]
    each = {"base": mean(old, counts), "tuned": mean(new, counts), "difference": difference(old, new, counts)}
    return {"loss": {name: to_builtins(value) for name, value in each.items()}, "tokens": sum(counts)}


def _preferred(seen: Seen) -> dict[str, Any]:
    """How often the chosen answer is likelier than the rejected one, both as a whole."""
    right = sum(one[0] < other[0] for one, other in zip(seen.rows, seen.rejected, strict=True))
    return {"right": right, "rows": len(seen.rows), **_share(right, len(seen.rows))}


def _share(right: int, count: int) -> dict[str, Any]:
    found: Interval = share(right, count)
    return {"share": found.value, "low": found.low, "high": found.high}


def _matches(rows: Rows, before: Seen, after: Seen, tokenizer: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How many answers are the expected ones, and all of them."""

    def plain(ids: list[int]) -> str:
        return tokenizer.decode(ids, skip_special_tokens=True).strip()

    told = [
        {
            "row": asked.place,
            "question": asked.question,
            "expected": plain(asked.answer),
            "base": plain(a),
            "tuned": plain(b),
        }
        for asked, a, b in zip(rows.questions, before.answers, after.answers, strict=True)
    ]
    right = {name: [row[name] == row["expected"] for row in told] for name in BOTH}
    pairs = list(zip(right["base"], right["tuned"], strict=True))
    found: dict[str, Any] = {
        name: {"right": sum(each), "rows": len(told), **_share(sum(each), len(told))} for name, each in right.items()
    }
    found["gained"], found["lost"] = pairs.count((False, True)), pairs.count((True, False))
    return found, told


def shown(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A few answers: first those that the two models give differently."""
    rows: list[dict[str, Any]] = found.get("answers", [])
    return sorted(rows, key=lambda row: row["base"] == row["tuned"])[:3]
