"""An editor in a few lines: starts `ftc lsp` as a process and talks to it over stdio, message by message."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty, Queue
from typing import Any

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0
"""Seconds until a missing answer is a failure: never waited for where all is well."""
CAPABILITIES: dict[str, Any] = {
    "workspace": {
        "workspaceEdit": {"documentChanges": True},
        "didChangeWatchedFiles": {"dynamicRegistration": True},
    },
    "textDocument": {"publishDiagnostics": {"relatedInformation": True, "codeDescriptionSupport": True}},
    "general": {"positionEncodings": ["utf-16"]},
}


class Editor:
    """`said`: everything that the server sent. Positions are (line, character) from 0, as editors count them."""

    def __init__(self, folder: Path, options: object = None, **capabilities: Any) -> None:
        self.folder, self.said, self.texts, self.versions = (
            folder,
            list[dict[str, Any]](),
            dict[str, str](),
            dict[str, int](),
        )
        env = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "0"}
        command = [sys.executable, "-m", "compiler.cli", "lsp"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=folder, env=env, stdin=pipe, stdout=pipe, stderr=pipe)
        self.errors: list[bytes] = []
        self.inbox: Queue[dict[str, Any]] = Queue()
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=lambda: self.errors.extend(self.process.stderr or ()), daemon=True).start()
        self.number = 0
        self.configuration: object = None
        self.capabilities = self.ask(
            "initialize",
            {
                "processId": os.getpid(),
                "rootUri": folder.as_uri(),
                "capabilities": {**CAPABILITIES, **capabilities},
                "initializationOptions": options,
            },
        )["capabilities"]
        self.tell("initialized", {})

    def _read(self) -> None:
        stream = self.process.stdout
        assert stream
        while line := stream.readline():
            length = int(line.split(b":")[1])
            while stream.readline().strip():
                pass
            self.inbox.put(json.loads(stream.read(length)))

    def send(self, message: Mapping[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=False).encode("utf-8", "surrogatepass")
        assert self.process.stdin
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self.process.stdin.flush()

    def tell(self, method: str, params: object) -> None:
        self.send({"method": method, "params": params})

    def post(self, method: str, params: object) -> int:
        self.number += 1
        self.send({"id": self.number, "method": method, "params": params})
        return self.number

    def ask(self, method: str, params: object) -> Any:
        number = self.post(method, params)
        answer = self.wait(lambda item: item.get("id") == number and "method" not in item)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def wait(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The next message of that kind; requests of the server are answered on the way."""
        while True:
            try:
                item = self.inbox.get(timeout=PATIENCE)
            except Empty:
                raise AssertionError(f"no answer; stderr: {b''.join(self.errors).decode()}") from None
            self.said.append(item)
            if "id" in item and "method" in item:
                self._answer(item)
            if wanted(item):
                return item

    def _answer(self, item: dict[str, Any]) -> None:
        result = [self.configuration] if item["method"] == "workspace/configuration" else None
        self.send({"id": item["id"], "result": result})

    def open(self, text: str, name: str = "recipe.ftc.yaml") -> str:
        """Open a recipe that need not be on disk; its URI."""
        uri = (self.folder / name).as_uri()
        self.texts[uri], self.versions[uri] = text, self.versions.get(uri, 0) + 1  # so that no answer is for another
        item = {"uri": uri, "languageId": "yaml", "version": self.versions[uri], "text": text}
        self.tell("textDocument/didOpen", {"textDocument": item})
        return uri

    def change(self, uri: str, text: str) -> None:
        self.texts[uri] = text
        self.versions[uri] += 1
        about = {"uri": uri, "version": self.versions[uri]}
        self.tell("textDocument/didChange", {"textDocument": about, "contentChanges": [{"text": text}]})

    def close(self, uri: str) -> None:
        self.tell("textDocument/didClose", {"textDocument": {"uri": uri}})

    def diagnostics(self, uri: str) -> list[dict[str, Any]]:
        """What is published for the version that is open."""

        def wanted(item: dict[str, Any]) -> bool:
            if item.get("method") != "textDocument/publishDiagnostics" or item["params"]["uri"] != uri:
                return False
            return item["params"].get("version") == self.versions[uri]

        return self.wait(wanted)["params"]["diagnostics"]

    def at(self, uri: str, position: tuple[int, int]) -> dict[str, Any]:
        return {"textDocument": {"uri": uri}, "position": {"line": position[0], "character": position[1]}}

    def complete(self, uri: str, position: tuple[int, int]) -> list[dict[str, Any]]:
        found = self.ask("textDocument/completion", self.at(uri, position))
        return found["items"] if found else []

    def hover(self, uri: str, position: tuple[int, int]) -> str:
        found = self.ask("textDocument/hover", self.at(uri, position))
        return found["contents"]["value"] if found else ""

    def hints(self, uri: str) -> dict[int, list[dict[str, Any]]]:
        """Inlay hints by line."""
        whole = {"start": {"line": 0, "character": 0}, "end": {"line": 10_000, "character": 0}}
        found: dict[int, list[dict[str, Any]]] = {}
        for item in self.ask("textDocument/inlayHint", {"textDocument": {"uri": uri}, "range": whole}) or ():
            found.setdefault(item["position"]["line"], []).append(item)
        return found

    def actions(self, uri: str, line: int, about: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
        place = {"line": line, "character": 0}
        context = {"diagnostics": about or []}
        params = {"textDocument": {"uri": uri}, "range": {"start": place, "end": place}, "context": context}
        return self.ask("textDocument/codeAction", params)

    def links(self, uri: str) -> dict[str, str]:
        """Text → where it leads."""
        text = self.texts[uri]
        found = self.ask("textDocument/documentLink", {"textDocument": {"uri": uri}})
        return {cut(text, item["range"]): item["target"] for item in found}

    def after(self, uri: str, action: dict[str, Any]) -> str:
        """The text once an action was taken."""
        change = action["edit"]["documentChanges"][0]
        assert change["textDocument"] == {"uri": uri, "version": self.versions[uri]}
        return edited(self.texts[uri], change["edits"])

    def stop(self) -> int:
        """An orderly end; the exit code."""
        self.ask("shutdown", None)
        self.tell("exit", None)
        return self.process.wait(PATIENCE)


def offset(text: str, place: Mapping[str, int]) -> int:
    """A position as an offset, the slow and plain way: lines end at LF, CR, CRLF; characters are UTF-16 units."""
    lines = text.replace("\r\n", "\n\0").replace("\r", "\n").split("\n")
    before = sum(len(line) + 1 for line in lines[: place["line"]])
    line = lines[place["line"]] if place["line"] < len(lines) else ""
    skipped = line.startswith("\0")
    units = (line[skipped:]).encode("utf-16-le", "surrogatepass")[: 2 * place["character"]]
    return before + skipped + len(units.decode("utf-16-le", "surrogatepass"))


def cut(text: str, stretch: Mapping[str, Any]) -> str:
    """What stands in a range."""
    return text[offset(text, stretch["start"]) : offset(text, stretch["end"])]


def edited(text: str, edits: list[dict[str, Any]]) -> str:
    """The text after edits."""
    for edit in sorted(edits, key=lambda item: offset(text, item["range"]["start"]), reverse=True):
        start, end = (offset(text, edit["range"][side]) for side in ("start", "end"))
        text = text[:start] + edit["newText"] + text[end:]
    return text


def cursor(marked: str, mark: str = "<|>") -> tuple[str, tuple[int, int]]:
    """A text without its mark, and where that stood."""
    before, _, after = marked.partition(mark)
    line = before.replace("\r\n", "\n").replace("\r", "\n").split("\n")[-1]
    number = before.replace("\r\n", "\n").replace("\r", "\n").count("\n")
    return before + after, (number, len(line.encode("utf-16-le")) // 2)
