"""What the runs of a sweep came to, read from what a native run leaves behind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any, Final, Literal, cast

from msgspec import Struct

from backends.native.origins import files_of
from compiler.report.sweep_data import typed
from compiler.sweep.points import Point
from schemas.plan import Plan

State = Literal["finished", "failed", "stopped", "not run", "not built"]
KINDS: Final = ("device_gib", "reserved_gib", "allocated_gib", "resident_gib")
"""Of measured memory, what says most of a card first; on a CPU, of the process."""
HELD_BACK: Final = ("point", "trained", "watched", "judged_by")
"""What results.json does not have as it is."""
Points = tuple[tuple[float, float], ...]


class Result(Struct, frozen=True):
    """A point's run. `before`: it was finished already. `why`: why it is not. `loss`: of the last steps that were
    logged; `validation`: the least. `memory_gib`: the peak, of a kind of `KINDS`. `seconds`: since it was `continued`
    after that step, None: from its start. `trained`, `watched`: losses by step."""

    point: Point
    state: State
    out: str | None
    before: bool = False
    why: str | None = None
    steps: int | None = None
    loss: float | None = None
    validation: float | None = None
    last_validation: float | None = None
    tokens: int | None = None
    tokens_per_second: float | None = None
    memory_gib: float | None = None
    memory_kind: str | None = None
    seconds: float | None = None
    continued: int | None = None
    trained: Points = ()
    watched: Points = ()
    judged_by: str = ""
    """What the validation loss is measured on: losses are compared only where that is the same."""


def finished_before(folder: Path) -> bool:
    """Whether the artifact's own run is finished and what it was made of is unchanged: to start it would say so after a
    while of loading. In doubt no: the run itself knows best."""
    try:
        text = (folder / "plan.json").read_text("utf-8")
        plan = json.loads(text)
        out = Path(plan["output"]["dir"])
        summary = json.loads((out / "summary.json").read_text("utf-8"))
        same = (out / "plan.json").read_text("utf-8") == text
        there = Path(summary["result"]).is_dir() and (not plan["output"]["merge"] or (out / "merged").is_dir())
        if not same or not there or plan["checkpoint"]["resume"] == "never":
            return False
        return [list(item) for item in files_of(plan)] == summary["recipe"]["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def judged_by(plan: Plan) -> str:
    """The rows that are held out, how they become tokens, and what of them is counted: a text to be compared."""
    model, data, training = plan.model, plan.data, plan.training
    drawn = isinstance(data.validation, float | int)
    rows = (data.train, training.seed) if drawn else ()
    tokens = (model.tokenizer or (model.base, model.revision), model.chat_template, model.tokens)
    counted = (data.system, data.max_length, data.overlong, data.bad_rows, data.loss_on)
    return repr((data.validation, rows, tokens, counted, training.objective, training.preference))


def read_result(point: Point, plan: Plan, *, before: bool) -> Result:
    """What a finished run says of itself; what cannot be read stays unsaid."""
    out = Path(plan.output.dir)
    summary = _read(out / "summary.json")
    loss, memory = _part(summary, "loss"), _part(_part(summary, "memory"), "measured")
    kind = next((name for name in KINDS if _number(memory, name) is not None), None)
    history = tuple(_lines(out / "metrics.jsonl"))
    return Result(
        point=point,
        state="finished",
        out=str(out),
        before=before,
        steps=cast("int | None", _number(summary, "steps")),
        loss=_number(loss, "last"),
        validation=_number(loss, "best_validation"),
        last_validation=_number(loss, "last_validation"),
        tokens=cast("int | None", _number(summary, "tokens")),
        tokens_per_second=_number(summary, "tokens_per_second"),
        memory_gib=_number(memory, kind) if kind else None,
        memory_kind=kind and kind.removesuffix("_gib"),
        seconds=_number(summary, "seconds"),
        continued=cast("int | None", _number(summary, "resumed_at")),
        trained=_curve(history, "loss"),
        watched=_curve(history, "eval_loss"),
        judged_by=judged_by(plan),
    )


def result_data(result: Result) -> dict[str, object]:
    """As JSON has it; the curves are in the run's own metrics.jsonl."""
    point = result.point
    names = [name for name in Result.__struct_fields__ if name not in HELD_BACK]
    head: dict[str, object] = {"number": point.number, "point": point.folder, "run": point.run}
    return {**head, "set": typed(point.values), **{name: getattr(result, name) for name in names}}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def _part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = data.get(name)
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def _number(data: Mapping[str, Any], name: str) -> float | None:
    found = data.get(name)
    return found if isinstance(found, int | float) and isfinite(found) else None


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """Up to one that was being written when the run was ended."""
    with suppress(OSError, ValueError):
        for line in path.read_text("utf-8", "replace").splitlines():
            yield json.loads(line)


def _curve(history: tuple[Mapping[str, Any], ...], key: str) -> Points:
    read = ((_number(line, "step"), _number(line, key)) for line in history)
    return tuple((float(step), float(value)) for step, value in read if step is not None and value is not None)
