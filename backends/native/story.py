# pyright: basic
# Strict typing stops at transformers, whose callbacks take untyped keywords.
"""The story of a run, kept in its folder: when it was started and how it ended, and `report.html`, which tells it.

The page is written anew whenever the model was evaluated or saved, and at the end, so that a run that was stopped has
one too.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from backends.native.model import Plan
from backends.native.page import Told, page
from backends.native.report import PAGE, Reporter, versions, write_text
from backends.native.result import device_name
from backends.native.samples import FILE as SAMPLES
from backends.native.samples import Samples
from backends.native.trackers import Origin

FILE = "starts.json"
RECIPE, LOCK = "recipe.ftc.yaml", "ftc.lock.json"
"""Beside the plan: the recipe as it was written, and what the compiler says of it. The run needs neither."""
SHARE = 50
"""While the run goes on, a page is written only after so many times as long as the last one took."""


class Story(TrainerCallback):
    """`folder` holds the files beside the plan. `about`: what is known of the run from its start. Only the process that
    writes has one."""

    def __init__(self, plan: Plan, folder: Path, about: dict[str, Any], reporter: Reporter, samples: Samples) -> None:
        self.plan, self.about, self.reporter, self.samples = plan, about, reporter, samples
        self.out = Path(plan["output"]["dir"])
        self.recipe, self.lock = text_of(folder / RECIPE), _told_in(folder / LOCK)
        self.step, self.steps, self.epoch = about["resumed_at"] or 0, 0, 0.0
        self.starts = _starts(self.out, about)
        self._wait = 0.0
        self._said: set[str] = set()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._note(state)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self._wait:  # from here on there is a page of this run
            self._write("running")

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._note(state)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._refresh()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._refresh()

    def _note(self, state: Any) -> None:
        self.step, self.steps, self.epoch = state.global_step, state.max_steps, state.epoch or 0.0

    def _refresh(self) -> None:
        if time.perf_counter() >= self._wait:
            self._write("running")

    @contextmanager
    def told(self, trainer: Any) -> Iterator[None]:
        """Around the run: a page is left behind however it ends. The model is asked before it learns."""
        self._keep()
        try:
            self.reporter.meter.end("load")
            with self._saying(SAMPLES):
                self.samples.before(trainer, resumed=bool(self.about["resumed_at"]))
            self.reporter.meter.end("samples")
            yield
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt | SystemExit) or hasattr(error, "number")
            self._end("stopped" if stopped else "failed", str(error) or type(error).__name__)
            raise

    def ask(self, trainer: Any) -> None:
        """Ask the model again, which has learnt."""
        with self._saying(SAMPLES):
            self.samples.after(trainer)
        self.reporter.meter.end("samples")

    def finish(self, summary: dict[str, Any]) -> None:
        """The page of a run that came to its end."""
        self._end("finished", "", summary)

    def _end(self, how: str, why: str, summary: dict[str, Any] | None = None) -> None:
        self.starts[-1] |= {"ended": _now(), "last_step": self.step, "how": how, "why": why}
        self._keep()
        self._write(how, why, summary)

    def _keep(self) -> None:
        told = {"plan": self.about["plan"], "starts": self.starts}
        with self._saying(FILE):
            write_text(self.out / FILE, json.dumps(told, indent=2) + "\n")

    def _write(self, how: str, why: str = "", summary: dict[str, Any] | None = None) -> None:
        begun = time.perf_counter()
        with self._saying(PAGE):
            write_text(self.out / PAGE, page(self._told(how, why, summary or {})))
        now = time.perf_counter()
        self._wait = now + SHARE * (now - begun)

    @contextmanager
    def _saying(self, name: str) -> Iterator[None]:
        """A run is worth more than its page: what goes wrong with it is said once, and nothing ends by it."""
        try:
            yield
        except Exception as error:
            if name not in self._said:
                print(f"warning: {name} cannot be written: {error}", file=sys.stderr)
            self._said.add(name)

    def _told(self, how: str, why: str, summary: dict[str, Any]) -> Told:
        reporter = self.reporter
        return Told(
            plan=self.plan,
            how=how,
            why=why,
            step=self.step,
            steps=self.steps,
            history=reporter.history,
            about=self.about,
            memory=reporter.meter.by_phase(),
            measured=reporter.meter.measured(),
            summary=summary,
            samples=self.samples.told,
            starts=self.starts,
            recipe=self.recipe,
            lock=self.lock,
            versions=versions(),
            written=_now(),
            seconds=reporter.elapsed,
            speed=reporter.speed,
            device=device_name(reporter.meter.device),
        )


def _starts(out: Path, about: dict[str, Any]) -> list[dict[str, Any]]:
    """Earlier starts of this very run, if it goes on with them, and this one."""
    told = _told_in(out / FILE) if about["resumed_at"] else {}
    earlier = told.get("starts", []) if told.get("plan") == about["plan"] else []
    return [*earlier, {"began": _now(), "step": about["resumed_at"] or 0}]


def origin(plan: Plan, folder: Path) -> Origin:
    """What trackers are told: the recipe with what was set on the command line, plan and versions."""
    recipe, lock = text_of(folder / RECIPE), _told_in(folder / LOCK)
    said = "".join(f"# --set {each}\n" for each in lock.get("recipe", {}).get("set", ()))
    written = {"ftc": lock["ftc"]} if "ftc" in lock else {}
    return Origin(None if recipe is None else recipe + said, plan, {**versions(), **written})


def text_of(path: Path) -> str | None:
    """The text of a file; None where there is none that can be read."""
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return None


def _told_in(path: Path) -> dict[str, Any]:
    """What a file of JSON tells; nothing where there is none, or a damaged one."""
    try:
        found = json.loads(text_of(path) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
