# pyright: basic, reportMissingImports=false
# Strict typing stops at transformers and at the trackers, which are there only where a plan names them.
"""What trackers are told of a run beside its curves: the recipe as it was written, the whole plan, and versions.

transformers gives each of them its own settings; here is what they were made of.

Copied as it stands into every native artifact, so it imports nothing of the compiler.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback

CALLBACKS = {
    "tensorboard": "TensorBoardCallback",
    "wandb": "WandbCallback",
    "mlflow": "MLflowCallback",
    "trackio": "TrackioCallback",
}
"""transformers' own, by the name of the tracker."""
LONGEST, AT_ONCE = 500, 100
"""Characters of a parameter, and parameters of a call, that MLflow takes."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a run was made of. `recipe`: its text, None where that does not lie beside the plan."""

    recipe: str | None
    plan: dict[str, Any]
    versions: dict[str, str]

    def config(self) -> dict[str, Any]:
        """As one nested setting."""
        return {"recipe": self.recipe, "plan": self.plan, "versions": self.versions}


def record(trainer: Any, origin: Origin) -> None:
    """Have the plan's trackers told. They come last from now on, so that they are told what others add to a line."""
    wanted = [CALLBACKS[name] for name in origin.plan["logging"]["to"]]
    found = [item for item in trainer.callback_handler.callbacks if type(item).__name__ in wanted]
    for tracker in found:
        trainer.remove_callback(tracker)
        trainer.add_callback(tracker)
    if found:
        trainer.add_callback(Recorder(found, origin))


class Recorder(TrainerCallback):
    """Tells the trackers, once each has begun."""

    def __init__(self, trackers: list[Any], origin: Origin) -> None:
        self.trackers, self.origin = trackers, origin

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        for tracker in self.trackers:
            name = type(tracker).__name__
            try:
                TELL[name](tracker, self.origin)
            except Exception as error:  # curves without it are better than no run
                print(f"warning: {name} was not told the recipe: {error}", file=sys.stderr)


def _tensorboard(tracker: Any, origin: Origin) -> None:
    """As texts, which it shows as Markdown."""
    for name, kind, text in _texts(origin):
        tracker.tb_writer.add_text(name, f"```{kind}\n{text}\n```")


def _texts(origin: Origin) -> Iterator[tuple[str, str, str]]:
    if origin.recipe is not None:
        yield "recipe", "yaml", origin.recipe
    yield "plan", "json", json.dumps(origin.plan, indent=2)
    yield "versions", "json", json.dumps(origin.versions, indent=2)


def _wandb(_: Any, origin: Origin) -> None:
    import wandb

    wandb.config.update({"ftc": origin.config()}, allow_val_change=True)


def _trackio(_: Any, origin: Origin) -> None:
    import trackio

    trackio.config.update({"ftc": origin.config()}, allow_val_change=True)


def _mlflow(_: Any, origin: Origin) -> None:
    """As parameters, by which runs are compared, and as files, as a long one is no parameter."""
    import mlflow

    named = {**_flat("plan", origin.plan), **_flat("versions", origin.versions)}
    short = {name: value for name, value in named.items() if len(str(value)) <= LONGEST}
    names = list(short)
    for at in range(0, len(names), AT_ONCE):
        mlflow.log_params({name: short[name] for name in names[at : at + AT_ONCE]})
    mlflow.log_dict(origin.plan, "plan.json")
    mlflow.log_dict(origin.versions, "versions.json")
    if origin.recipe is not None:
        mlflow.log_text(origin.recipe, "recipe.ftc.yaml")


def _flat(path: str, value: Any) -> dict[str, Any]:
    """Leaves by their paths."""
    if not isinstance(value, dict) or not value:
        return {path: value}
    return {name: leaf for key, each in value.items() for name, leaf in _flat(f"{path}.{key}", each).items()}


TELL: dict[str, Callable[[Any, Origin], None]] = {
    "TensorBoardCallback": _tensorboard,
    "WandbCallback": _wandb,
    "MLflowCallback": _mlflow,
    "TrackioCallback": _trackio,
}
