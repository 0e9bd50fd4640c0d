# pyright: basic
# Strict typing stops at JSON, whose shape the row's reader has found out.
"""Claude on Amazon Bedrock: the JSONL of its conversations, and the request of `create_model_customization_job`."""

from __future__ import annotations

import re
from typing import Any, Final

from backends.hosted.base import COMMON, JOB, PROVIDES, TRAIN, Job, ranges
from backends.hosted.turns import CALLS, ORDER, empty, extra, unanswered, unknown
from backends.native.findings import RowError
from backends.native.formats import Row
from schemas.diagnostic import Finding
from schemas.hosted import HostedPlan
from schemas.support import Folded, Never, Table

CLIENT: Final = "boto3==1.44.8"
REQUIREMENTS: Final = f"{CLIENT}\n"
SCRIPT: Final = "bedrock_start.py"
COMMAND: Final = ("python", "start.py")
NAME: Final = "Claude on Amazon Bedrock"

HYPERPARAMETERS: Final = f"{JOB}: hyperParameters"

TABLE: Final[Table] = {
    **COMMON,
    "name": Folded(JOB),
    "method.learning_rate_multiplier": Folded(HYPERPARAMETERS),
    "data.loss_on": Folded(
        TRAIN,
        refused={
            "all": Never("it trains answers, never the questions"),
            "last_assistant": Never("its format has no word for answers that are not trained; split the conversations"),
        },
        alike=("auto", "assistant", "completion"),
    ),
    "training.objective": Folded(
        JOB,
        refused={
            name: Never("Claude is trained there by supervised fine-tuning alone")
            for name in ("pretrain", "dpo", "orpo", "kto")
        },
    ),
    "training.epochs": Folded(HYPERPARAMETERS),
    "training.global_batch_size": Folded(HYPERPARAMETERS),
    "training.seed": Folded(TRAIN),
    "training.preference.beta": Never("it compares no answers", neutral=(0.1,)),
    "training.preference.loss": Never("it compares no answers", neutral=("sigmoid",)),
    "logging.to": Never(PROVIDES, neutral=((),)),
    "logging.project": Never(PROVIDES, neutral=(None,)),
}

SEED: Final = 42
ROLES: Final = ("user", "assistant")
KEYS: Final = frozenset(("role", "content"))


def losses(plan: HostedPlan) -> tuple[Finding, ...]:
    """Values outside of what the API takes, and a seed of which it knows nothing."""
    seed = plan.recipe.training.seed
    message = f"seed {seed} chooses the validation rows; what Amazon Bedrock draws at random has no seed"
    told = (Finding("FTC438", "training.seed", message, level="warning"),) if seed != SEED else ()
    return (*ranges(plan), *told)


def record(row: Row, plan: HostedPlan) -> dict[str, Any] | RowError:
    """A line of its format: the system text apart, then user and assistant in turns."""
    del plan
    system = [turn for turn in row.messages[:1] if turn["role"] == "system"]
    turns = row.messages[len(system) :]
    wrong = (
        _tools(row)
        or unknown(row, turns, ROLES, NAME)
        or empty(row, row.messages)
        or extra(row, row.messages, KEYS, NAME)
        or unanswered(row, turns)
        or _disorder(row, tuple(turn["role"] for turn in turns))
    )
    if wrong:
        return wrong
    said = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
    return {"system": system[0]["content"], "messages": said} if system else {"messages": said}


def _tools(row: Row) -> RowError | None:
    called = any(turn.get("tool_calls") or turn["role"] == "tool" for turn in row.messages)
    if not (called or row.tools):
        return None
    return RowError(CALLS, row.place, f"tools, or calls of them, which {NAME} does not train")


def _disorder(row: Row, roles: tuple[str, ...]) -> RowError | None:
    wanted = tuple(ROLES[number % 2] for number in range(len(roles)))
    if roles == wanted:
        return None
    at = next(number for number, (role, want) in enumerate(zip(roles, wanted, strict=True)) if role != want)
    what = f"turn {at + 1} is {roles[at]}'s; user and assistant must speak in turns, user first"
    return RowError(ORDER, row.place, what)


def job(plan: HostedPlan, mark: str, *, validated: bool) -> Job:
    """The request, but for the role, the bucket and what is made of them, which the start is given."""
    del validated
    name = f"{slug(plan.recipe.name)}-{mark}"
    training, times = plan.recipe.training, plan.method.learning_rate_multiplier
    told = {
        "epochCount": str(int(training.epochs)),
        "batchSize": str(training.global_batch_size),
        **({} if times == "auto" else {"learningRateMultiplier": repr(times).removesuffix(".0")}),
    }
    body: dict[str, object] = {
        "jobName": name,
        "customModelName": name,
        "baseModelIdentifier": plan.model,
        "customizationType": "FINE_TUNING",
        "hyperParameters": told,
    }
    return Job(body, ("AWS_ROLE_ARN_FOR_BEDROCK", "BEDROCK_BUCKET"), REMARKS)


LONGEST: Final = 50
"""Of 63 letters, less a dash, the eight of the mark, and the number of a later attempt."""


def slug(name: str) -> str:
    """A recipe's name in the letters that both names of a job may have."""
    return re.sub(r"[^a-z0-9]+", "-", name)[:LONGEST].strip("-")


REMARKS: Final = (
    "Training may stop early where the validation loss does: `earlyStoppingThreshold` and `earlyStoppingPatience` are "
    "AWS's defaults (0.001 and 2); to set them, add them to `hyperParameters` of `job.json`, as texts.",
    "The model that comes out is served on Provisioned Throughput, which costs by the hour, used or not.",
)
