# pyright: basic
# boto3 brings no types.
"""Puts the rows into your bucket, starts the job at Amazon Bedrock, and watches it. A job costs money: see README.md.

Started again, it goes on with the job that it began; neither a file is sent twice nor a job started twice. `--anew`
starts another one. Whose account it is, boto3 finds as usual; the role and the bucket are yours to name.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

HERE = Path(__file__).resolve().parent
STATE = HERE / "job.state.json"
"""What was sent and started, so that a second start goes on with it."""
FILES = ("train.jsonl", "validation.jsonl")
GOING = ("InProgress", "Stopping")
ROLE, BUCKET = "AWS_ROLE_ARN_FOR_BEDROCK", "BEDROCK_BUCKET"
State = dict[str, Any]


def read(path: Path) -> dict[str, Any]:
    """A file of JSON; empty where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error


def whole() -> str:
    """A checksum of the request. `ValueError` where rows are not those that it was made of: nobody has checked them."""
    for name, wanted in read(HERE / "about.json")["sha256"].items():
        if sha256((HERE / name).read_bytes()).hexdigest() != wanted:
            raise ValueError(f"{name} was changed after ftc wrote it: build this folder again from the changed rows")
    return sha256((HERE / "job.json").read_bytes()).hexdigest()[:8]


def save(state: Mapping[str, Any]) -> None:
    """Write the state as a whole, or leave what is there."""
    aside = STATE.with_suffix(".new")
    aside.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")
    aside.replace(STATE)


def request(job: Mapping[str, Any], attempt: int, role: str, bucket: str, held: bool) -> dict[str, Any]:
    """The whole request: the job, its role, and where rows and results lie. AWS takes the same token once."""
    name = f"{job['jobName']}-{attempt}" if attempt > 1 else job["jobName"]
    place = f"s3://{bucket}/{name}"
    validators = {"validationDataConfig": {"validators": [{"s3Uri": f"{place}/{FILES[1]}"}]}} if held else {}
    return {
        **job,
        "jobName": name,
        "customModelName": name,
        "roleArn": role,
        "clientRequestToken": name,
        "trainingDataConfig": {"s3Uri": f"{place}/{FILES[0]}"},
        **validators,
        "outputDataConfig": {"s3Uri": f"{place}/output"},
    }


def resumed(job: Mapping[str, Any], bucket: str, *, anew: bool) -> State:
    """The state of this job, or a new one. A folder whose state is of another job is not gone on with."""
    state, mark, request = read(STATE), job["jobName"], whole()
    if state and not anew and (state["mark"], state["request"], state["bucket"]) != (mark, request, bucket):
        of = f"{state['mark']} in {state['bucket']}"
        sys.exit(f"error: {STATE.name} is of another job ({of}); --anew starts this one, and costs again")
    if anew or not state:
        attempt = state.get("attempt", 0) + 1
        return {"mark": mark, "request": request, "bucket": bucket, "attempt": attempt, "sent": []}
    return state


def upload(store: Any, asked: Mapping[str, Any], state: State) -> None:
    """Put each file into the bucket, unless it is there already."""
    for name in FILES:
        if (HERE / name).exists() and name not in state["sent"]:
            print(f"sending {name}", flush=True)
            with (HERE / name).open("rb") as rows:
                store.put_object(Bucket=state["bucket"], Key=f"{asked['jobName']}/{name}", Body=rows)
            state["sent"].append(name)
            save(state)


def start(bedrock: Any, asked: Mapping[str, Any], state: State) -> None:
    """Start the job, unless it was; the same token starts none again."""
    if "job" not in state:
        state["job"] = bedrock.create_model_customization_job(**asked)["jobArn"]
        save(state)
        print(f"started {asked['jobName']}", flush=True)


def watch(bedrock: Any, state: State, every: float) -> int:
    """Print what changes until the job has ended; the exit code that it deserves."""
    told = None
    while True:
        job = bedrock.get_model_customization_job(jobIdentifier=state["job"])
        if job["status"] != told:
            told = job["status"]
            print(f"{time.strftime('%H:%M:%S', time.gmtime())} UTC  {told}", flush=True)
        if told not in GOING:
            break
        time.sleep(every)
    if told != "Completed":
        why = f": {job['failureMessage']}" if job.get("failureMessage") else ""
        print(f"error: the job is {told}{why}; --anew starts another one, and costs again", file=sys.stderr)
        return 1
    state["model"] = job["outputModelArn"]
    save(state)
    print(f"the model is {job['outputModelArn']}")
    return 0


def run(arguments: argparse.Namespace) -> int:
    """All of it; each step is left out where it is done."""
    job = read(HERE / "job.json")
    state = resumed(job, arguments.bucket, anew=arguments.anew)
    held = (HERE / FILES[1]).exists()
    asked = request(job, state["attempt"], arguments.role, arguments.bucket, held)
    region = arguments.region or read(HERE / "about.json")["region"]
    upload(boto3.client("s3", region_name=region), asked, state)
    bedrock = boto3.client("bedrock", region_name=region)
    start(bedrock, asked, state)
    print(state["job"], flush=True)
    return 0 if arguments.leave else watch(bedrock, state, arguments.every)


def parsed() -> argparse.Namespace:
    """The arguments; what is yours to name may stand in the environment."""
    parser = argparse.ArgumentParser(description="Send the rows to S3, start the job at Amazon Bedrock, watch it.")
    parser.add_argument(
        "--role", default=os.environ.get(ROLE), help=f"the ARN of the role that Bedrock takes; or {ROLE}"
    )
    parser.add_argument(
        "--bucket", default=os.environ.get(BUCKET), help=f"the bucket for rows and results; or {BUCKET}"
    )
    parser.add_argument("--region", help="another one than that in about.json")
    parser.add_argument("--anew", action="store_true", help="start another job, which costs again")
    parser.add_argument("--leave", action="store_true", help="do not wait for the job's end")
    parser.add_argument("--every", type=float, default=60, metavar="SECONDS", help="how often to look (60)")
    return parser.parse_args()


def main() -> int:
    """Tell errors in a line."""
    arguments = parsed()
    missing = [
        name
        for name, said in ((f"--role or {ROLE}", arguments.role), (f"--bucket or {BUCKET}", arguments.bucket))
        if not said
    ]
    if missing:
        print(f"error: {' and '.join(missing)} must be given", file=sys.stderr)
        return 2
    try:
        return run(arguments)
    except ClientError as error:
        said = error.response.get("Error", {})
        print(f"error: AWS answered {said.get('Code', 'an error')}: {said.get('Message', error)}", file=sys.stderr)
    except BotoCoreError as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        going = "job" in read(STATE)
        said = "the job goes on, and started again this watches it" if going else "started again, this goes on"
        print(f"stopped; {said}", file=sys.stderr)
        return 130
    except KeyError as error:
        print(f"error: a file of this folder has no {error}: build it again", file=sys.stderr)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
