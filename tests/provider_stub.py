"""OpenAI's and AWS's sides of a job, as far as the starts of artifacts talk to them: a server on this machine.

It keeps what it was sent. `hang`: what it takes and then never answers, as where the start is killed in between.
`fails`: what it takes, and answers as if it had not.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

Answer = tuple[int, Any]


class Provider:
    """What was sent and started, and what is answered."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[str, bytes]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.refuses: Answer | None = None
        self.ends = "succeeded"
        self.hang = self.fails = ""
        self.hung = threading.Event()
        self.free = threading.Event()

    def answer(self, verb: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """The answer to a request."""
        place = path.partition("?")[0]
        self.calls.append(f"{verb} {place}")
        if self.refuses:
            return self.refuses
        found = self._openai(verb, place, headers, body) if place.startswith("/v1/") else self._aws(place, body)
        if self.hang and f"{verb} {place}" == self.hang:
            self.hung.set()
            self.free.wait(60)
        return (500, {"error": {"message": "try again"}}) if self.fails == f"{verb} {place}" else found

    def _openai(self, verb: str, place: str, headers: dict[str, str], body: bytes) -> Answer:
        if place == "/v1/files":
            if verb == "POST":
                name, content = _sent(headers["content-type"], body)
                known = f"file-{len(self.files) + 1}"
                self.files[known] = (name, content)
                return 200, _file(known, name, content)
            return 200, {"object": "list", "has_more": False, "data": [_file(k, *v) for k, v in self.files.items()]}
        if place == "/v1/fine_tuning/jobs":
            if verb == "POST":
                known = f"ftjob-{len(self.jobs) + 1}"
                self.jobs[known] = {**json.loads(body), "id": known, "looked": 0}
                return 200, self._job(known)
            return 200, {"object": "list", "has_more": False, "data": [self._job(known) for known in self.jobs]}
        known = place.split("/")[4]
        if place.endswith("/events"):
            return 200, {"object": "list", "has_more": False, "data": self._events(known)}
        self.jobs[known]["looked"] += 1
        return 200, self._job(known)

    def _job(self, known: str) -> dict[str, Any]:
        job = self.jobs[known]
        ended = job["looked"] > 1
        status = self.ends if ended else "running"
        wrong = {"code": "invalid", "message": "the rows were refused", "param": "training_file"}
        return {
            "object": "fine_tuning.job",
            "created_at": 1,
            "organization_id": "org",
            "result_files": [],
            "hyperparameters": {},
            **{key: said for key, said in job.items() if key != "looked"},
            "status": status,
            "error": wrong if status == "failed" else None,
            "fine_tuned_model": "ft:gpt-4o-mini:org:one:1" if status == "succeeded" else None,
            "trained_tokens": 1234 if status == "succeeded" else None,
        }

    def _events(self, known: str) -> list[dict[str, Any]]:
        """The newest first, one more each time that somebody looks."""
        count = self.jobs[known]["looked"]
        shape = {"object": "fine_tuning.job.event", "level": "info", "type": "message", "data": None}
        return [
            {**shape, "id": f"e{number}", "created_at": number, "message": f"step {number}"}
            for number in range(count, 0, -1)
        ]

    def _aws(self, place: str, body: bytes) -> Answer:
        if place == "/model-customization-jobs":
            asked = json.loads(body)
            same = next(
                (a for a, j in self.jobs.items() if j["clientRequestToken"] == asked["clientRequestToken"]), None
            )
            arn = same or f"arn:aws:bedrock:us-west-2:123456789012:model-customization-job/{asked['jobName']}"
            self.jobs.setdefault(arn, {**asked, "looked": 0})
            return 201, {"jobArn": arn}
        if place.startswith("/model-customization-jobs/"):
            job = self.jobs[unquote(place.partition("jobs/")[2])]
            job["looked"] += 1
            status = ("Completed" if self.ends == "succeeded" else "Failed") if job["looked"] > 1 else "InProgress"
            return 200, {"status": status, "outputModelArn": "arn:model", "failureMessage": "the rows were refused"}
        self.objects[unquote(place)] = body
        return 200, None


def _file(known: str, name: str, content: bytes) -> dict[str, Any]:
    shape = {"object": "file", "created_at": 1, "purpose": "fine-tune", "status": "processed"}
    return {**shape, "id": known, "filename": name, "bytes": len(content)}


def _sent(kind: str, body: bytes) -> tuple[str, bytes]:
    """The name and the content of the one file of a form."""
    form = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    parts: Any = form.get_payload()
    part = next(part for part in parts if part.get_filename())
    return part.get_filename(), part.get_payload(decode=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    provider: Provider

    def _serve(self) -> None:
        if self.headers.get("Expect") == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): said for name, said in self.headers.items()}
        code, said = self.provider.answer(self.command, self.path, headers, body)
        text = b"" if said is None else json.dumps(said).encode()
        try:
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
        except OSError:
            self.close_connection = True

    do_GET = do_POST = do_PUT = _serve  # noqa: N815, as the server calls them

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def served() -> Iterator[tuple[Provider, str]]:
    """A provider, and where it is."""
    provider = Provider()
    handler = type("Handler", (_Handler,), {"provider": provider})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield provider, f"http://127.0.0.1:{server.server_port}"
    finally:
        provider.free.set()
        server.shutdown()
        server.server_close()
