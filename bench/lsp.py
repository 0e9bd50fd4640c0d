"""How long `ftc lsp` takes to answer after each keystroke in the largest recipe, as a process of its own over stdio.

    python bench/lsp.py [--keystrokes N]

Every leaf is written, eight sources are mixed, and it does not fit, so that fixes are sought. The baseline is a request
that asks nothing of the recipe, sent in the same turns: what reading, decoding and scheduling cost. Ends 1 where the
95th percentile of an answer is over 100 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, BinaryIO, cast

HERE = Path(__file__).resolve().parent
LIMIT = 0.1
SOURCES = 8
ROWS = 20_000
STARTS = 7
COMMAND = [sys.executable, "-m", "compiler.cli", "lsp"]
ROW = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
BASELINE = "nothing of it"


class Server:
    """A process and what it answers."""

    def __init__(self, folder: Path) -> None:
        env = {**os.environ, "PYTHONPATH": str(HERE.parent)}
        self.process = subprocess.Popen(COMMAND, cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.number = 0
        options = {"schemaDiagnostics": True, "target": "all"}  # what takes longest
        self.ask("initialize", {"rootUri": folder.as_uri(), "capabilities": {}, "initializationOptions": options})
        self.tell("initialized", {})

    def tell(self, method: str, params: object, **more: object) -> None:
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, **more}).encode()
        stream = cast("BinaryIO", self.process.stdin)
        stream.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        stream.flush()

    def ask(self, method: str, params: object) -> Any:
        self.number += 1
        self.tell(method, params, id=self.number)
        while True:
            item = self.read()
            if item.get("id") == self.number and "method" not in item:
                if "error" in item:
                    sys.exit(f"{method}: {item['error']}")
                return item["result"]

    def read(self) -> dict[str, Any]:
        stream = cast("BinaryIO", self.process.stdout)
        line = stream.readline()
        if not line:
            sys.exit("the server ended")
        while stream.readline().strip():
            pass
        return json.loads(stream.read(int(line.split(b":")[1])))

    def published(self, version: int) -> list[dict[str, Any]]:
        """The findings of a version."""
        while True:
            item = self.read()
            if item.get("method") == "textDocument/publishDiagnostics" and item["params"].get("version") == version:
                return item["params"]["diagnostics"]

    def end(self) -> None:
        self.ask("shutdown", None)
        self.tell("exit", None)
        self.process.wait()


def largest(folder: Path) -> str:
    """Every leaf, several sources, on a card on which it does not fit."""
    (folder / "train.jsonl").write_text(f"{json.dumps(ROW)}\n" * ROWS, encoding="utf-8")
    text = (HERE / "full_size.ftc.yaml").read_text(encoding="utf-8")
    first = text.index("    - path:")
    end = text.index("  validation:")
    text = text[:first] + text[first:end] * SOURCES + text[end:]
    return text.replace("gpu: a100-40gb", "gpu: rtx-3060").replace("memory: 39GiB", "memory: 9GiB")


def requests(uri: str, line: int, character: int) -> dict[str, tuple[str, dict[str, Any]]]:
    about = {"textDocument": {"uri": uri}}
    here = {"line": line, "character": character}
    whole = {"start": {"line": 0, "character": 0}, "end": {"line": 9999, "character": 0}}
    nowhere = {"textDocument": {"uri": "file:///nowhere"}, "position": here}
    return {
        BASELINE: ("textDocument/hover", nowhere),
        "completion": ("textDocument/completion", {**about, "position": here}),
        "hover": ("textDocument/hover", {**about, "position": here}),
        "inlay hints": ("textDocument/inlayHint", {**about, "range": whole}),
        "actions": ("textDocument/codeAction", {**about, "range": whole, "context": {"diagnostics": []}}),
        "links": ("textDocument/documentLink", about),
    }


def first_answer(folder: Path, text: str) -> float:
    """Seconds from nothing to the findings of a recipe."""
    start = perf_counter()
    server = Server(folder)
    uri = (folder / "recipe.ftc.yaml").as_uri()
    server.tell(
        "textDocument/didOpen", {"textDocument": {"uri": uri, "languageId": "yaml", "version": 1, "text": text}}
    )
    server.published(1)
    taken = perf_counter() - start
    server.end()
    return taken


def keystrokes(folder: Path, text: str, wanted: int) -> dict[str, list[float]]:
    """Type a value anew, letter by letter, on line after line; after each letter one kind of request comes first, and
    so pays for reading and compiling what was typed."""
    server, times = Server(folder), dict[str, list[float]]()
    uri = (folder / "recipe.ftc.yaml").as_uri()
    server.tell(
        "textDocument/didOpen", {"textDocument": {"uri": uri, "languageId": "yaml", "version": 1, "text": text}}
    )
    if not any(item["code"] == "FTC301" for item in server.published(1)):
        sys.exit("the recipe was to fit nowhere")
    version, lines = 1, text.splitlines()
    places = [(number, line.index(": ") + 2) for number, line in enumerate(lines) if ": " in line and "#" not in line]
    typed = [(number, start, end) for number, start in places for end in range(start, len(lines[number]) + 1)]
    step = max(len(typed) // wanted, 1)
    for turn, (number, _, end) in enumerate(typed[::step][:wanted]):
        version += 1
        now = [*lines[:number], lines[number][:end], *lines[number + 1 :]]
        change = [{"text": "\n".join(now) + "\n"}]
        kinds = list(requests(uri, number, end).items())
        turned = kinds[1 + turn % (len(kinds) - 1) :] + kinds[1 : 1 + turn % (len(kinds) - 1)]
        server.tell(
            "textDocument/didChange", {"textDocument": {"uri": uri, "version": version}, "contentChanges": change}
        )
        for kind, (method, params) in (kinds[0], *turned):
            start = perf_counter()
            server.ask(method, params)
            times.setdefault(kind, []).append(perf_counter() - start)
        times.setdefault("first of them", []).append(times[turned[0][0]][-1])
    server.end()
    return times


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keystrokes", type=int, default=400)
    wanted = parser.parse_args().keystrokes
    with TemporaryDirectory() as name:
        folder = Path(name)
        text = largest(folder)
        starts = [first_answer(folder, text) for _ in range(STARTS)]
        times = keystrokes(folder, text, wanted)
    floor = median(times[BASELINE])
    print(f"a recipe of {len(text.splitlines())} lines, {wanted} keystrokes, 4 targets; ms")
    print(f"{'':14}{'p50':>8}{'p95':>8}{'most':>8}  p50 over {BASELINE}")
    for kind, found in times.items():
        p95 = quantiles(found, n=20)[-1]
        row = "".join(f"{value * 1000:8.1f}" for value in (median(found), p95, max(found)))
        print(f"{kind:14}{row}  {median(found) / floor:.1f}")
    print(f"first findings after start: {median(starts) * 1000:.0f} ms (median of {STARTS})")
    worst = max(quantiles(found, n=20)[-1] for found in times.values())
    print(f"largest p95 {worst * 1000:.1f} ms, limit {LIMIT * 1000:.0f}")
    return worst > LIMIT


if __name__ == "__main__":
    sys.exit(main())
