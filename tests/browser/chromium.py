"""A headless Chromium, driven over the pipe of its DevTools protocol: pages as a person sees them.

Nothing is installed or downloaded for it: the browser is the system's, the protocol is JSON.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 60
"""Seconds that the browser may take to answer."""
FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--lang=en-US",
)


class BrowserError(Exception):
    """The browser refused, died or was silent."""


def find() -> str | None:
    """The browser's program: that of BROWSER_PATH, or the first that is installed."""
    named = os.environ.get("BROWSER_PATH")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browser(program: str) -> Iterator[Browser]:
    """A running browser with a profile of its own, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ftc-browser-", ignore_cleanup_errors=True) as profile:
        to_read, to_write = (_high(end) for end in os.pipe())
        from_read, from_write = (_high(end) for end in os.pipe())
        # A sandbox wants rights that root in a container has not.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        process = os.posix_spawn(
            program,
            [program, *FLAGS, *sandbox, f"--user-data-dir={profile}", "about:blank"],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, to_read, 3),
                (os.POSIX_SPAWN_DUP2, from_write, 4),
                *((os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)),
            ],
            setpgroup=0,
        )
        os.close(to_read)
        os.close(from_write)
        try:
            yield Browser(to_write, from_read)
        finally:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
            os.close(to_write)
            os.close(from_read)


def _high(descriptor: int) -> int:
    """The same file under a number that is not one of those that the browser wants."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


class Browser:
    """Calls of the protocol, and the events that come in between."""

    def __init__(self, writes: int, reads: int) -> None:
        self._writes, self._reads = writes, reads
        self._waiting = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **parameters: object) -> dict[str, Any]:
        """What the browser answers."""
        self._last += 1
        message: dict[str, object] = {"id": self._last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        _write(self._writes, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + PATIENCE
        while (answer := self._receive(end)).get("id") != self._last:
            self.events.append(answer)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error'].get('message')}")
        return answer["result"]

    def wait(self, method: str, session: str) -> None:
        """Until an event that was not seen so far."""
        end = time.monotonic() + PATIENCE
        while not any(item.get("method") == method and item.get("sessionId") == session for item in self.events):
            self.events.append(self._receive(end))

    def _receive(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._waiting:
            ready, _, _ = select.select([self._reads], [], [], max(0, end - time.monotonic()))
            part = os.read(self._reads, 1 << 16) if ready else b""
            if not part:
                raise BrowserError("the browser ended" if ready else f"the browser was silent for {PATIENCE} s")
            self._waiting += part
        message, _, self._waiting = self._waiting.partition(b"\0")
        return json.loads(message)


def _write(descriptor: int, message: bytes) -> None:
    while message:
        message = message[os.write(descriptor, message) :]


class Tab:
    """A page that is open: its console, its requests, what its scripts say."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session: str = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """A call about this page."""
        return self._browser.call(method, self._session, **parameters)

    def show(self, width: int, scheme: str, media: str = "screen", height: int = 900) -> None:
        """As a screen of this width shows it, light or dark, or as it is printed."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def open(self, path: Path) -> None:
        """Load a file to its end."""
        self._browser.events.clear()
        answer = self.call("Page.navigate", url=path.as_uri())
        if "errorText" in answer:
            raise BrowserError(answer["errorText"])
        self._browser.wait("Page.loadEventFired", self._session)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def said(self) -> list[str]:
        """What the console says: errors, warnings, exceptions, refusals of the page's policy."""
        self.ask("new Promise(done => setTimeout(done, 50))")
        found = [item for item in self._mine() if item["method"] in ("Log.entryAdded", "Runtime.exceptionThrown")]
        calls = [item for item in self._mine() if item["method"] == "Runtime.consoleAPICalled"]
        return [json.dumps(item["params"]) for item in (*found, *calls)]

    def requests(self) -> list[str]:
        """Addresses that were asked for, the page's own first."""
        asked = (item for item in self._mine() if item["method"] == "Network.requestWillBeSent")
        return [item["params"]["request"]["url"] for item in asked]

    def picture(self, path: Path) -> None:
        """The whole page, from top to bottom."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def printed(self, path: Path) -> None:
        """The page as a file for a printer."""
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"]))

    def close(self) -> None:
        """Close the page."""
        self._browser.call("Target.closeTarget", targetId=self._target)

    def _mine(self) -> Iterator[dict[str, Any]]:
        return (item for item in self._browser.events if item.get("sessionId") == self._session)
