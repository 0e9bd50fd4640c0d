# pyright: basic, reportMissingImports=false
# Strict typing stops at lm-eval, which is an extra.
"""Public tasks, by EleutherAI's lm-eval: ftc hands over the model and gives back what it says."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from compiler.errors import FtcError
from compiler.exit import INVALID, MISSING, USAGE


def require_harness() -> None:
    """`FtcError` (missing) where lm-eval is not installed."""
    if find_spec("lm_eval") is None:
        raise FtcError("--tasks is lm-eval's, which is not installed", "pip install 'ftc[eval]'", MISSING)


def tasks(model: Any, tokenizer: Any, names: Sequence[str], folder: Path | None, limit: int | None) -> dict[str, Any]:
    """Task → metric → value, as lm-eval reports them. `folder`: of tasks that are not lm-eval's own."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder) if folder else None)
    unknown = [name for name in names if not manager.match_tasks([name])]
    if unknown:
        hint = "name the folder of your own tasks with --task-path; `lm-eval ls tasks` lists the others"
        raise FtcError(f"lm-eval has no task {', '.join(unknown)}", hint, USAGE)
    asked = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8)
    try:
        found = simple_evaluate(model=asked, tasks=list(names), task_manager=manager, limit=limit, log_samples=False)
    except Exception as error:  # a task fetches and runs whatever it likes
        raise FtcError(f"lm-eval failed: {type(error).__name__}: {error}", None, INVALID) from error
    return {name: _numbers(values) for name, values in (found or {}).get("results", {}).items()}


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {metric: value for metric, value in values.items() if isinstance(value, int | float)}
