# pyright: basic, reportMissingImports=false
# Strict typing stops at lm-eval, which is an extra.
"""Public tasks, by EleutherAI's lm-eval: ftc hands over the model and gives back what it says."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stderr
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from compiler.errors import FtcError
from compiler.exit import INVALID, MISSING, USAGE


def require_harness() -> None:
    """`FtcError` (missing) where lm-eval is not installed."""
    if find_spec("lm_eval") is None:
        raise FtcError("--tasks is lm-eval's, which is not installed", "pip install 'ftc[eval]'", MISSING)


class Harness:
    """lm-eval with these tasks. `folder`: of tasks that are not lm-eval's own."""

    def __init__(self, names: Sequence[str], folder: Path | None, limit: int | None) -> None:
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        from lm_eval.tasks import TaskManager

        self._names, self._limit = list(names), limit
        self._manager = TaskManager(include_path=str(folder) if folder else None)
        unknown = [name for name in names if not self._manager.match_tasks([name])]
        if unknown:
            hint = "name the folder of your own tasks with --task-path; `lm-eval ls tasks` lists the others"
            raise FtcError(f"lm-eval has no task {', '.join(unknown)}", hint, USAGE)

    def results(self, model: Any, tokenizer: Any) -> dict[str, Any]:
        """Task → metric → value, as lm-eval reports them."""
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM

        asked = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8)
        try:
            with nullcontext() if sys.stderr.isatty() else redirect_stderr(StringIO()):  # it draws bars
                found = simple_evaluate(
                    model=asked, tasks=self._names, task_manager=self._manager, limit=self._limit, log_samples=False
                )
        except Exception as error:  # a task fetches and runs whatever it likes
            raise FtcError(f"lm-eval failed: {type(error).__name__}: {error}", None, INVALID) from error
        return {name: _numbers(values) for name, values in (found or {}).get("results", {}).items()}


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {metric: value for metric, value in values.items() if isinstance(value, int | float)}
