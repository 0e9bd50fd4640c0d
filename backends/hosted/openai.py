# pyright: basic
# Strict typing stops at JSON, whose shape the row's reader has found out.
"""OpenAI's fine-tuning API: its chat and preference formats, and the body of `fine_tuning.jobs.create`."""

from __future__ import annotations

from typing import Any, Final

from backends.hosted.base import COMMON, JOB, PROVIDES, TRAIN, VALIDATION, Job, out_of_range, ranges
from backends.hosted.turns import ANSWER, bad_calls, bad_tools, empty, extra, unanswered, unknown
from backends.native.findings import RowError
from backends.native.formats import Message, Row
from schemas.diagnostic import Finding
from schemas.hosted import HostedPlan
from schemas.support import Folded, Never, Table

CLIENT: Final = "openai==3.57.0"
REQUIREMENTS: Final = f"{CLIENT}\n"
SCRIPT: Final = "openai_start.py"
COMMAND: Final = ("python", "start.py")
NAME: Final = "OpenAI"

HYPERPARAMETERS: Final = f"{JOB}: method"
REPORTS: Final = "it reports to Weights & Biases, and to nothing else"

TABLE: Final[Table] = {
    **COMMON,
    "name": Folded(JOB),
    "method.learning_rate_multiplier": Folded(HYPERPARAMETERS),
    "data.loss_on": Folded(
        TRAIN,
        refused={"all": Never("it trains answers, never the questions")},
        alike=("auto", "assistant", "completion"),
    ),
    "training.objective": Folded(
        HYPERPARAMETERS,
        refused={name: Never("it has supervised fine-tuning and dpo") for name in ("pretrain", "orpo", "kto")},
    ),
    "training.epochs": Folded(HYPERPARAMETERS),
    "training.global_batch_size": Folded(HYPERPARAMETERS),
    "training.seed": Folded(f"{JOB}: seed"),
    "training.preference.beta": Folded(HYPERPARAMETERS),
    "training.preference.loss": Never(PROVIDES, neutral=("sigmoid",)),
    "logging.to": Folded(
        f"{JOB}: integrations",
        refused={(name,): Never(REPORTS) for name in ("tensorboard", "mlflow", "trackio")},
    ),
    "logging.project": Folded(f"{JOB}: integrations"),
}

ROLES: Final = ("system", "user", "assistant", "tool")
KEYS: Final = frozenset(("role", "content", "name", "tool_calls", "tool_call_id"))


def losses(plan: HostedPlan) -> tuple[Finding, ...]:
    """Values outside of what the API takes, and trackers beside the one that it knows."""
    training, limits = plan.recipe.training, plan.limits
    found = [*ranges(plan)]
    found += [item for item in (out_of_range("training.seed", training.seed, limits.seed, plan.title),) if item]
    if training.objective == "dpo":
        beta = out_of_range("training.preference.beta", training.preference.beta, limits.beta, plan.title)
        found += [beta] if beta else []
    if others := [name for name in plan.recipe.logging.to if name != "wandb"]:
        found.append(Finding("FTC403", "logging.to", f"to cannot be {', '.join(others)}: {REPORTS}"))
    return tuple(found)


def record(row: Row, plan: HostedPlan) -> dict[str, Any] | RowError:
    """A line of the chat format; of two answers that are compared, one of the preference format."""
    answers = (*row.chosen, *row.rejected)
    turns = (*row.messages, *answers)
    if row.chosen and (len(row.chosen) != 1 or len(row.rejected) != 1):
        return RowError(ANSWER, row.place, "an answer of several turns, and OpenAI compares single ones")
    wrong = (
        unknown(row, turns, ROLES, NAME)
        or empty(row, turns)
        or extra(row, turns, KEYS, NAME)
        or unanswered(row, row.chosen or row.messages)
        or (unanswered(row, row.rejected) if row.rejected else None)
        or bad_calls(row, row.messages + row.chosen)
        or bad_calls(row, row.messages + row.rejected)
        or bad_tools(row)
    )
    if wrong:
        return wrong
    tools: dict[str, Any] = {"tools": list(row.tools)} if row.tools else {}
    if not row.chosen:
        return {"messages": _weighted(row.messages, last_only=plan.last_only), **tools}
    return {
        "input": {"messages": [_turn(turn) for turn in row.messages], **tools},
        "preferred_output": [_turn(turn) for turn in row.chosen],
        "non_preferred_output": [_turn(turn) for turn in row.rejected],
    }


def _weighted(turns: tuple[Message, ...], *, last_only: bool) -> list[Message]:
    """The turns; where the last answer alone is learnt, those before it with a weight of 0."""
    said = [_turn(turn) for turn in turns]
    if last_only:
        for turn in said[:-1]:
            if turn["role"] == "assistant":
                turn["weight"] = 0
    return said


def _turn(turn: Message) -> Message:
    """A turn that only calls tools has no text."""
    bare = {key: said for key, said in turn.items() if said is not None and not (key == "tool_calls" and not said)}
    return {key: said for key, said in bare.items() if key != "content" or said or "tool_calls" not in bare}


def job(plan: HostedPlan, mark: str, *, validated: bool) -> Job:
    """The body of the request. The names of the two files stand where the start puts the ids that they are given."""
    recipe = plan.recipe
    body: dict[str, object] = {
        "model": plan.model,
        "training_file": TRAIN,
        **({"validation_file": VALIDATION} if validated else {}),
        "suffix": recipe.name,
        "seed": recipe.training.seed,
        "method": _method(plan),
        "metadata": {"ftc": mark, "recipe": recipe.name},
        **({"integrations": [_wandb(plan)]} if "wandb" in recipe.logging.to else {}),
    }
    key = "Weights & Biases gets the metrics if its key is in OpenAI's settings of the organization."
    return Job(body, ("OPENAI_API_KEY",), (key,) if "wandb" in recipe.logging.to else ())


def _method(plan: HostedPlan) -> dict[str, object]:
    training = plan.recipe.training
    told: dict[str, object] = {
        "n_epochs": int(training.epochs),
        "batch_size": training.global_batch_size,
        "learning_rate_multiplier": plan.method.learning_rate_multiplier,
    }
    if training.objective == "dpo":
        return {"type": "dpo", "dpo": {"hyperparameters": {**told, "beta": training.preference.beta}}}
    return {"type": "supervised", "supervised": {"hyperparameters": told}}


def _wandb(plan: HostedPlan) -> dict[str, object]:
    logging = plan.recipe.logging
    return {"type": "wandb", "wandb": {"project": logging.project or plan.recipe.name, "name": plan.recipe.name}}
