"""The starts of artifacts against a server on this machine, with the providers' own clients."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosted_ground import built
from provider_stub import Provider, served

KEY = "sk-secret0123456789"
OPENAI_JOBS = "POST /v1/fine_tuning/jobs"
BEDROCK_JOBS = "POST /model-customization-jobs"


class Place:
    """An artifact and the provider that it talks to."""

    def __init__(self, folder: Path, provider: Provider, address: str) -> None:
        self.folder, self.provider = folder, provider
        self.environment = {
            **{name: said for name, said in os.environ.items() if "proxy" not in name.lower()},
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": f"{address}/v1",
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_ROLE_ARN_FOR_BEDROCK": "arn:aws:iam::123456789012:role/trains",
            "BEDROCK_BUCKET": "my-bucket",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """The start, running."""
        command = [sys.executable, "-P", str(self.folder / "start.py"), "--every", "0", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd="/", env=self.environment, stdout=pipe, stderr=pipe, text=True)

    def start(self, *arguments: str) -> tuple[int, str]:
        """The start, ended: its code and what it printed."""
        running = self.begin(*arguments)
        out, err = running.communicate(timeout=60)
        assert "Traceback" not in err
        assert KEY not in out + err
        return running.returncode, out + err

    @property
    def state(self) -> dict[str, Any]:
        return json.loads((self.folder / "job.state.json").read_text())

    def sent(self, call: str) -> int:
        """How often something was asked."""
        return self.provider.calls.count(call)


@pytest.fixture(params=["openai", "bedrock"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with served() as (provider, address):
        yield Place(built(tmp_path, request.param, 80, data=DATA), provider, address)


@pytest.fixture
def openai(tmp_path: Path) -> Iterator[Place]:
    with served() as (provider, address):
        yield Place(built(tmp_path, "openai", 80, data=DATA), provider, address)


@pytest.fixture
def bedrock(tmp_path: Path) -> Iterator[Place]:
    with served() as (provider, address):
        yield Place(built(tmp_path, "bedrock", 80, data=DATA), provider, address)


DATA = {"train": {"path": "train.jsonl"}, "validation": 32}


def test_rows_are_sent_and_a_job_is_started_and_watched(openai: Place) -> None:
    code, said = openai.start()
    assert code == 0, said
    files = {name: content.decode() for name, content in openai.provider.files.values()}
    rows = [(openai.folder / name).read_text() for name in ("train.jsonl", "validation.jsonl")]
    assert list(files.values()) == rows
    job = openai.provider.jobs["ftjob-1"]
    body = json.loads((openai.folder / "job.json").read_text())
    assert job["training_file"] == "file-1"
    assert job["validation_file"] == "file-2"
    assert {key: job[key] for key in ("model", "method", "seed", "suffix")} == {
        key: body[key] for key in ("model", "method", "seed", "suffix")
    }
    assert said.index("step 1") < said.index("step 2")
    assert "the model is called ft:gpt-4o-mini:org:one:1" in said
    assert openai.state["model"] == "ft:gpt-4o-mini:org:one:1"


def test_rows_are_put_into_the_bucket_and_a_job_is_started_and_watched(bedrock: Place) -> None:
    code, said = bedrock.start()
    assert code == 0, said
    name = json.loads((bedrock.folder / "job.json").read_text())["jobName"]
    assert {key.rpartition("/")[2] for key in bedrock.provider.objects} == {"train.jsonl", "validation.jsonl"}
    assert bedrock.provider.objects[f"/my-bucket/{name}/train.jsonl"] == (bedrock.folder / "train.jsonl").read_bytes()
    (job,) = bedrock.provider.jobs.values()
    assert job["roleArn"] == "arn:aws:iam::123456789012:role/trains"
    assert job["trainingDataConfig"] == {"s3Uri": f"s3://my-bucket/{name}/train.jsonl"}
    assert job["validationDataConfig"]["validators"] == [{"s3Uri": f"s3://my-bucket/{name}/validation.jsonl"}]
    assert "Completed" in said
    assert bedrock.state["model"] == "arn:model"


def test_a_second_start_sends_and_starts_nothing(place: Place) -> None:
    assert place.start()[0] == 0
    before = (len(place.provider.files), len(place.provider.objects), len(place.provider.jobs))
    code, said = place.start()
    assert code == 0, said
    assert (len(place.provider.files), len(place.provider.objects), len(place.provider.jobs)) == before
    assert place.sent(OPENAI_JOBS) + place.sent(BEDROCK_JOBS) == 1


def test_killed_while_the_job_is_started_it_starts_no_second_one(place: Place) -> None:
    """The provider has the job, the start never hears of it."""
    starts = OPENAI_JOBS if "openai" in (place.folder / "about.json").read_text() else BEDROCK_JOBS
    place.provider.hang = starts
    running = place.begin()
    assert place.provider.hung.wait(60)
    running.kill()
    running.communicate()
    place.provider.hang = ""
    place.provider.free.set()
    assert "job" not in (place.state if (place.folder / "job.state.json").exists() else {})
    code, said = place.start()
    assert code == 0, said
    assert len(place.provider.jobs) == 1


def test_killed_while_a_file_is_sent_it_sends_it_once(openai: Place) -> None:
    openai.provider.hang = "POST /v1/files"
    running = openai.begin()
    assert openai.provider.hung.wait(60)
    running.kill()
    running.communicate()
    openai.provider.hang = ""
    openai.provider.free.set()
    assert openai.start()[0] == 0
    assert len(openai.provider.files) == 2


def test_a_job_that_was_taken_with_an_error_is_not_started_again(openai: Place) -> None:
    """The client would ask again by itself."""
    openai.provider.fails = OPENAI_JOBS
    assert openai.start()[0] == 1
    assert len(openai.provider.jobs) == 1
    openai.provider.fails = ""
    assert openai.start()[0] == 0
    assert len(openai.provider.jobs) == 1


def test_without_its_state_the_job_is_found_again(openai: Place) -> None:
    """As on another machine, with the same artifact."""
    assert openai.start("--leave")[0] == 0
    (openai.folder / "job.state.json").unlink()
    assert openai.start()[0] == 0
    assert len(openai.provider.jobs) == 1


def test_anew_starts_another_job_and_sends_no_file_again(openai: Place) -> None:
    assert openai.start()[0] == 0
    assert openai.start("--anew")[0] == 0
    assert len(openai.provider.jobs) == 2
    assert len(openai.provider.files) == 2


def test_anew_has_another_name_at_bedrock(bedrock: Place) -> None:
    assert bedrock.start()[0] == 0
    assert bedrock.start("--anew")[0] == 0
    names = [job["jobName"] for job in bedrock.provider.jobs.values()]
    assert names[1] == f"{names[0]}-2"


def test_a_failed_job_says_why_and_what_to_do(place: Place) -> None:
    place.provider.ends = "failed"
    code, said = place.start()
    assert code == 1
    assert "the rows were refused" in said
    assert "--anew starts another one, and costs again" in said


def test_leave_does_not_wait(openai: Place) -> None:
    assert openai.start("--leave")[0] == 0
    assert not openai.sent("GET /v1/fine_tuning/jobs/ftjob-1")


def test_another_job_in_the_same_folder_is_not_mistaken_for_this_one(place: Place) -> None:
    assert place.start("--leave")[0] == 0
    state = {**place.state, "mark": "another"}
    (place.folder / "job.state.json").write_text(json.dumps(state))
    code, said = place.start()
    assert code == 1
    assert "is of another job" in said


def test_a_request_that_was_changed_after_its_start_is_another_job(place: Place) -> None:
    assert place.start()[0] == 0
    job = place.folder / "job.json"
    job.write_text(json.dumps({**json.loads(job.read_text("utf-8")), "seed": 7}), "utf-8")
    code, said = place.start()
    assert (code, len(place.provider.jobs)) == (1, 1)
    assert "is of another job" in said


def test_rows_that_nobody_checked_are_not_sent(place: Place) -> None:
    with (place.folder / "train.jsonl").open("a") as rows:
        rows.write("{}\n")
    code, said = place.start()
    assert (code, len(place.provider.files), len(place.provider.objects)) == (1, 0, 0)
    assert "train.jsonl was changed after ftc wrote it" in said


@pytest.mark.parametrize("text", ["{", '{"attempt": 1}'])
def test_a_state_that_is_not_whole_is_a_line(place: Place, text: str) -> None:
    (place.folder / "job.state.json").write_text(text)
    code, said = place.start()
    assert (code, len(place.provider.jobs)) == (1, 0)
    assert said.startswith("error: ")


def test_a_file_that_is_gone_is_a_line(place: Place) -> None:
    (place.folder / "train.jsonl").unlink()
    code, said = place.start()
    assert code == 1
    assert "train.jsonl" in said


def test_an_error_of_openai_is_a_line_without_the_key(openai: Place) -> None:
    wrong = f"Incorrect API key provided: {KEY}. You can find yours at https://example.test"
    openai.provider.refuses = (401, {"error": {"message": wrong, "type": "invalid_request_error", "code": "x"}})
    code, said = openai.start()
    assert code == 1
    assert said.startswith("error: OpenAI answered 401")
    assert said.count("\n") == 1


def test_an_error_of_aws_is_a_line(bedrock: Place) -> None:
    bedrock.provider.refuses = (403, {"message": "not yours", "__type": "AccessDeniedException"})
    code, said = bedrock.start()
    assert code == 1
    assert "error: AWS answered" in said
    assert said.count("\n") <= 2


def test_what_only_its_owner_knows_must_be_given(place: Place) -> None:
    for name in ("OPENAI_API_KEY", "AWS_ROLE_ARN_FOR_BEDROCK", "BEDROCK_BUCKET"):
        del place.environment[name]
    code, said = place.start()
    assert code == 2
    assert "is not set" in said or "must be given" in said
    assert not place.provider.calls


def test_out_of_reach_is_a_line(place: Place) -> None:
    place.environment |= {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    code, said = place.start()
    assert code == 1
    assert "error: " in said


@pytest.mark.parametrize("name", ["openai", "bedrock"])
def test_no_file_of_the_artifact_holds_a_secret_or_a_path_of_this_machine(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("BEDROCK_BUCKET", "my-bucket")
    for file in built(tmp_path, name).iterdir():
        text = file.read_text(encoding="utf-8")
        assert KEY not in text
        assert "my-bucket" not in text
        assert str(tmp_path) not in text, file.name
