# pyright: basic
# Strict typing stops at transformers, whose callbacks take untyped keywords.
"""What a run tells: a progress line, `metrics.jsonl`, `summary.json`.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from transformers import TrainerCallback

from backends.native.amounts import many
from backends.native.disk import write_text
from backends.native.meter import Meter
from backends.native.pace import Pace

SHARED = ("tokens", "tokens_per_second", "memory_gib")
"""What trackers are told of a line beyond transformers' own."""
KINDS = ("allocated", "reserved", "device", "resident")
"""Of memory: of a card, as the allocator and the driver see it, and of this process."""
PAGE = "report.html"
LONG = 16 << 20
"""Bytes of rows to read from which a bar is shown."""
PACKAGES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "datasets", "accelerate")


def versions() -> dict[str, str]:
    """Of everything that decides what a run computes."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {"python": sys.version.split()[0], **found}


class Reporter(TrainerCallback):
    """Writes `metrics.jsonl` as the run goes, and shows one line of progress where somebody watches.

    `counter` gives the tokens that the run has seen, over all devices; it is asked only when a line is written.
    """

    def __init__(self, out: Path, meter: Meter, counter: Callable[[], int]) -> None:
        self.out, self.meter, self.counter = out, meter, counter
        self.begun, self.clock, self.paused, self.seconds, self.counted = 0.0, 0.0, 0.0, 0.0, 0
        self.before = 0
        self.ended, self.pace, self.watched = 0.0, Pace(), ""
        self.history: list[dict[str, Any]] = []
        self.progress: Progress | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.begun = self.clock = self.paused = time.perf_counter()
        self.history = self._earlier(state.global_step) if state.is_world_process_zero else []
        self.counted = self.before = self.counter()
        if state.is_world_process_zero and sys.stderr.isatty():
            self.progress = _progress()
            self.progress.start()
            self.progress.add_task("training", total=state.max_steps, completed=state.global_step, told="", left="")

    def _earlier(self, step: int) -> list[dict[str, Any]]:
        """The lines of a run that is continued, up to where it continues; the file is cut there."""
        path = self.out / "metrics.jsonl"
        lines = path.read_text("utf-8", "replace").splitlines() if step and path.exists() else []
        kept = [item for item in _readable(lines) if item["step"] <= step]
        write_text(path, "".join(json.dumps(item) + "\n" for item in kept))
        return kept

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_log = control.should_log or state.global_step >= state.max_steps  # however far the last line is
        self.paused = time.perf_counter()
        self.pace.step(self.paused, state.global_step)
        self._show(completed=state.global_step, left=self.pace.left(state.max_steps))

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._show(description="validating")

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._show(description="training")
        self._resume_clock()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._resume_clock()

    def _resume_clock(self) -> None:
        """Speed is of training: what evaluation and saving took is left out."""
        now = time.perf_counter()
        self.clock += now - self.paused
        self.paused = now

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or "train_runtime" in logs:
            return
        line = self._line(state, logs)
        self.history.append(line)
        logs.update({name: line[name] for name in SHARED if name in line})
        with (self.out / "metrics.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        if "eval_loss" in line:
            self.watched = f" · val {line['eval_loss']:.4f}"
        else:
            self._show(told=_told(line, self.watched))

    def _show(self, **changed: Any) -> None:
        if self.progress:
            self.progress.update(self.progress.task_ids[0], **changed)

    def _line(self, state: Any, logs: dict[str, Any]) -> dict[str, Any]:
        line = {"step": state.global_step, "epoch": round(state.epoch, 4)}
        if "eval_loss" in logs:
            self.meter.end("eval")
            told = {"eval_loss": logs["eval_loss"], "eval_seconds": logs["eval_runtime"], **_rewards(logs)}
            return {**line, **told, "memory_phases_gib": self.meter.since()}
        now, tokens = time.perf_counter(), self.tokens
        seconds = now - self.clock
        speed = (tokens - self.counted) / seconds if seconds else 0.0
        self.clock, self.counted, self.seconds = now, tokens, self.seconds + seconds
        return {
            **line,
            "loss": logs["loss"],
            "learning_rate": logs["learning_rate"],
            "grad_norm": logs.get("grad_norm"),
            **_rewards(logs),
            "tokens": tokens,
            "tokens_per_second": round(speed, 1),
            "memory_gib": self.meter.taken,
            "memory_phases_gib": self.meter.since(),
        }

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.ended = time.perf_counter()
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self.progress:
            self.progress.stop()
            self.progress = None

    @property
    def tokens(self) -> int:
        """Tokens trained on, those before a resumption included."""
        return self.counter()

    @property
    def speed(self) -> float:
        """Tokens a second of training, evaluation and saving left out, since this process began."""
        return (self.counted - self.before) / self.seconds if self.seconds else 0.0

    @property
    def elapsed(self) -> float:
        """Seconds of training, evaluation and saving included, since this process began it."""
        return (self.ended or time.perf_counter()) - self.begun if self.begun else 0.0

    def losses(self, key: str) -> list[float]:
        """All values of `loss` or `eval_loss`, in order."""
        return [line[key] for line in self.history if key in line]


def _readable(lines: list[str]) -> Iterator[dict[str, Any]]:
    """Up to one that was being written when the disk was full, or power failed."""
    with suppress(ValueError):
        for line in lines:
            yield json.loads(line)


def _rewards(logs: dict[str, Any]) -> dict[str, float]:
    """How answers that are compared fare."""
    return {name: value for name, value in logs.items() if name.removeprefix("eval_").startswith("rewards/")}


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),  # of these only the bar shrinks
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[told]}"),
        console=Console(stderr=True),
        transient=True,
    )


@contextmanager
def reading(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar over so many bytes, where somebody watches and it takes a while."""
    if total < LONG or not sys.stderr.isatty() or not is_main():
        yield lambda _: None
        return
    with _progress() as progress:
        task = progress.add_task(what, total=total, told="", left="")
        pace, read = Pace(), 0

        def advance(count: int) -> None:
            nonlocal read
            read += count
            pace.step(time.perf_counter(), read)
            progress.update(task, completed=read, left=pace.left(total))

        yield advance


def _told(line: dict[str, Any], watched: str) -> str:
    speed, taken = f"{line['tokens_per_second']:,.0f} tok/s", f"{line['memory_gib']:.1f} GiB"
    return f"loss {line['loss']:.4f}{watched} · {speed} · {taken}"


def closing_words(summary: dict[str, Any]) -> str:
    """The end of a run, for a person."""
    loss, memory, rows = summary["loss"], summary["memory"], summary["rows"]["train"]
    lines = [
        f"{summary['name']}: {many(summary['steps'], 'step')}, {summary['tokens']:,} tokens{_spent(summary)}",
        f"  loss         {_course(loss['first'], loss['last'])}",
        f"  validation   {_course(loss['first_validation'], loss['last_validation'])}",
        f"  rows         {rows['kept']:,} trained{_fate(rows)}",
        *_noted(summary["findings"]["train"]),
        f"  memory       planned {_sizes(memory['planned'])}; measured {_sizes(memory['measured'])}",
        f"  written to   {summary['result']}",
        f"  report       {Path(summary['result']).with_name(PAGE)}",
    ]
    return "\n".join(line for line in lines if line.split()[-1] != "-")


def _spent(summary: dict[str, Any]) -> str:
    """How long it took, how fast and how busy a card was; of a run that was continued, since then."""
    since, of_peak, speed = summary["resumed_at"], summary.get("of_peak"), summary["tokens_per_second"]
    before = " in" if since is None else f"; since it was continued after step {since:,},"
    busy = f", {summary['tflops']:,.0f} TFLOP/s a card, {of_peak:.0%} of its peak" if of_peak else ""
    return f"{before} {summary['seconds']:.0f} s" + (f" ({speed:,.0f} tokens/s{busy})" if speed else "")


def _fate(rows: dict[str, int]) -> str:
    """What became of the others."""
    said = {
        "bad": "left out, as they cannot be trained on",
        "dropped": "left out, as they are too long",
        "truncated": "cut",
        "split": "split",
        "untrained": "left out, with nothing to learn",
    }
    return "".join(f", {rows[name]:,} {what}" for name, what in said.items() if rows[name])


def _noted(findings: dict[str, dict[str, Any]]) -> list[str]:
    """What was met in the rows."""
    return [f"  noted        {code} in {found['rows']:,}: {found['first'][0]}" for code, found in findings.items()]


def _course(first: float | None, last: float | None) -> str:
    if first is None or last is None:
        return "-"
    return f"{first:.4f}" if first == last else f"{first:.4f} → {last:.4f}"


def _sizes(sizes: dict[str, Any]) -> str:
    said = [f"{kind} {sizes[f'{kind}_gib']:.2f} GiB" for kind in KINDS if f"{kind}_gib" in sizes]
    return ", ".join(said) or "unknown"


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return int(os.environ.get("RANK", "0")) == 0
