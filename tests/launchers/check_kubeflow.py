"""Reads TrainJobs into Kubeflow Trainer's own models, which are made from its OpenAPI schema. Says for each, as JSON,
what the models hold: what they do not know is not in it, and a value of another type is an error."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from kubeflow_trainer_api.models.trainer_v1alpha1_train_job import TrainerV1alpha1TrainJob


def main() -> None:
    """A line for each file."""
    for file in sys.argv[1:]:
        try:
            job = TrainerV1alpha1TrainJob.from_dict(yaml.safe_load(Path(file).read_text("utf-8")))
            told = job.to_dict() if job else {"error": "empty"}
        except ValueError as error:
            told = {"error": str(error)}
        sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
