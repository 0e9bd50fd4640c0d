"""Uploads the rows, starts the job at OpenAI, and watches it. It costs money: README.md says about how much.

Started again, it goes on with the job that it began; neither a file is sent twice nor a job started twice. `--anew`
starts another one. It reads the key from OPENAI_API_KEY, and needs only what lies in this folder.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import openai

HERE = Path(__file__).resolve().parent
STATE = HERE / "job.state.json"
"""What was sent and started, so that a second start goes on with it."""
FILES = ("training_file", "validation_file")
ENDED = ("succeeded", "failed", "cancelled")
KEY = "OPENAI_API_KEY"
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


def resumed(body: Mapping[str, Any], *, anew: bool) -> State:
    """The state of this job, or a new one. A folder whose state is of other rows or settings is not gone on with."""
    state, mark, request = read(STATE), body["metadata"]["ftc"], whole()
    if state and not anew and (state["mark"], state["request"]) != (mark, request):
        sys.exit(f"error: {STATE.name} is of another job ({state['mark']}); --anew starts this one, and costs again")
    if anew or not state:
        # Files that were sent stay there: of the same rows they are taken again.
        kept: dict[str, str] = state.get("files", {}) if state.get("mark") == mark else {}
        return {"mark": mark, "request": request, "attempt": state.get("attempt", 0) + 1, "files": kept}
    return state


def upload(client: openai.OpenAI, body: Mapping[str, Any], state: State) -> None:
    """Send each file, unless it is there already: a start may have ended between sending and writing that down."""
    wanted = [(field, body[field]) for field in FILES if field in body and field not in state["files"]]
    sent = {file.filename: file.id for file in client.files.list(purpose="fine-tune")} if wanted else {}
    for field, name in wanted:
        called = f"{state['mark']}-{name}"
        if called not in sent:
            print(f"sending {name}", flush=True)
            with (HERE / name).open("rb") as rows:
                sent[called] = client.files.create(file=(called, rows), purpose="fine-tune").id
        state["files"][field] = sent[called]
        save(state)


def start(client: openai.OpenAI, body: Mapping[str, Any], state: State) -> None:
    """Start the job, unless it is there already: found by what stands in its metadata."""
    if "job" in state:
        return
    metadata: dict[str, str] = {**body["metadata"], "request": state["request"], "attempt": str(state["attempt"])}
    there = next((job.id for job in client.fine_tuning.jobs.list() if job.metadata == metadata), None)
    if there is None:
        # A second try by the client could start a second job.
        asked: dict[str, Any] = {**body, **state["files"], "metadata": metadata}
        there = client.with_options(max_retries=0).fine_tuning.jobs.create(**asked).id
        print(f"started {there}", flush=True)
    state["job"] = there
    save(state)


def watch(client: openai.OpenAI, state: State, every: float) -> int:
    """Print what happens until the job has ended; the exit code that it deserves."""
    while True:
        job = client.fine_tuning.jobs.retrieve(state["job"])
        tell(client, state)
        if job.status in ENDED:
            break
        time.sleep(every)
    if job.status != "succeeded":
        why = f": {job.error.message}" if job.error and job.error.message else ""
        print(
            f"error: {state['job']} has {job.status}{why}; --anew starts another one, and costs again", file=sys.stderr
        )
        return 1
    state["model"] = job.fine_tuned_model
    save(state)
    print(f"{job.trained_tokens or 'an unknown number of'} tokens were trained on")
    print(f"the model is called {job.fine_tuned_model}")
    return 0


def tell(client: openai.OpenAI, state: State) -> None:
    """Events since the last one that was told, the oldest first."""
    fresh = list[Any]()
    for event in client.fine_tuning.jobs.list_events(state["job"], limit=100):
        if event.id == state.get("event"):
            break
        fresh.append(event)
    for event in reversed(fresh):
        print(f"{time.strftime('%H:%M:%S', time.gmtime(event.created_at))} UTC  {event.message}", flush=True)
    if fresh:
        state["event"] = fresh[0].id
        save(state)


def run(arguments: argparse.Namespace) -> int:
    """All of it; each step is left out where it is done."""
    body = read(HERE / "job.json")
    state = resumed(body, anew=arguments.anew)
    client = openai.OpenAI()
    upload(client, body, state)
    start(client, body, state)
    print(f"{state['job']}: https://platform.openai.com/finetune/{state['job']}", flush=True)
    return 0 if arguments.leave else watch(client, state, arguments.every)


def without_key(text: str) -> str:
    """An error of the API, in which no part of a key is shown."""
    key = os.environ.get(KEY, "")
    return re.sub(r"\bsk-\S+", "…", text.replace(key, "…") if key else text)


def main() -> int:
    """Read the arguments, and tell errors in a line."""
    parser = argparse.ArgumentParser(description="Send the rows to OpenAI, start the job, watch it.")
    parser.add_argument("--anew", action="store_true", help="start another job, which costs again")
    parser.add_argument("--leave", action="store_true", help="do not wait for the job's end")
    parser.add_argument("--every", type=float, default=30, metavar="SECONDS", help="how often to look (30)")
    arguments = parser.parse_args()
    if not os.environ.get(KEY):
        print(f"error: {KEY} is not set", file=sys.stderr)
        return 2
    try:
        return run(arguments)
    except openai.APIStatusError as error:
        print(f"error: OpenAI answered {error.status_code}: {without_key(error.message)}", file=sys.stderr)
    except openai.OpenAIError as error:
        print(f"error: {without_key(str(error))}; started again, this goes on where it stopped", file=sys.stderr)
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
