"""The site's pictures, made of what the commands print and of the pages that they write: `make pictures`.

Needs a Chromium, as `make browser` does, and half a minute of training. What comes out is committed.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT / "tests" / "browser"))

from chromium import Tab, browser, find  # noqa: E402

PICTURES = DOCS / "pictures"
WIDTH, HEIGHT = 1120, 840
COLUMNS = 118
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace"
THEME = TerminalTheme(
    (30, 34, 42),
    (220, 223, 228),
    [
        (60, 66, 80),
        (240, 113, 120),
        (152, 195, 121),
        (229, 192, 123),
        (97, 175, 239),
        (198, 140, 240),
        (86, 200, 210),
        (220, 223, 228),
    ],
    [
        (130, 137, 151),
        (255, 130, 137),
        (170, 215, 140),
        (245, 210, 140),
        (120, 195, 255),
        (215, 160, 255),
        (110, 220, 230),
        (255, 255, 255),
    ],
)
"""Colours of a dark terminal that can be read on light and dark pages."""
MISTAKES = "docs/examples/mistakes.ftc.yaml"
QUICKSTART = "recipes/quickstart/quickstart.ftc.yaml"
ROWS = ".shown"
"""Where the page of the data shows rows."""
SHORTER = ("--set", "training.epochs=1", "--set", "evaluation.every=0.25")
PLANNED = "recipes/llama3-8b-qlora-t4.ftc.yaml"


COMMAND = [sys.executable, "-m", "compiler.cli"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TERM": "xterm-256color"}


def ftc(*arguments: str) -> str:
    """What a command prints."""
    done = subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    return done.stdout


def shown(*arguments: str) -> str:
    """What a command shows on a terminal, colours and all."""
    ours, theirs = os.openpty()
    process = subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, env=ENVIRONMENT, stdout=theirs)
    os.close(theirs)
    parts: list[bytes] = []
    with suppress(OSError):  # how the end of a terminal is told on Linux
        while part := os.read(ours, 1 << 16):
            parts.append(part)
    process.wait()
    os.close(ours)
    return b"".join(parts).decode().replace("\r\n", "\n")


def terminal(line: str, printed: str) -> str:
    """A terminal that shows a command and its output, as SVG without anything to fetch."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(f"\x1b[1m$ {line}\x1b[0m\n{printed.rstrip()}"), soft_wrap=False)
    svg = console.export_svg(title="", theme=THEME, unique_id="terminal", font_aspect_ratio=0.6)
    svg = re.sub(r"<!-- .*? -->\s*", "", svg)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    return re.sub(r"font-family: (Fira Code, monospace|arial)", f"font-family: {FONT}", svg)


def shot(tab: Tab, page: Path, name: str, begin: str = "h1") -> None:
    """A page from its beginning, or from where the rows are, light and dark; without this machine's folders."""
    page.write_text(page.read_text("utf-8").replace(f"{ROOT}/", ""), "utf-8")
    for scheme in ("light", "dark"):
        tab.show(WIDTH, scheme, height=HEIGHT)
        tab.open(page)
        if begin != "h1":
            tab.ask(f"document.querySelector('{begin}').closest('section').scrollIntoView()")
        answer = tab.call("Page.captureScreenshot", format="webp", quality=82)
        (PICTURES / f"{name}-{scheme}.webp").write_bytes(base64.b64decode(answer["data"]))


def main() -> int:
    program = find()
    if program is None:
        print("no browser: apt-get install chromium", file=sys.stderr)
        return 1
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / "validate.svg").write_text(terminal(f"ftc validate {MISTAKES}", shown("validate", MISTAKES)), "utf-8")
    with tempfile.TemporaryDirectory() as made, browser(program) as started:
        folder, tab = Path(made), Tab(started)
        for name, arguments in {"plan": ("plan", PLANNED), "data": ("data", QUICKSTART, "--rows", "2")}.items():
            page = folder / f"{name}.html"
            page.write_text(ftc(*arguments, "--format", "html"), "utf-8")
            shot(tab, page, name, ROWS if name == "data" else "h1")
        ftc("run", QUICKSTART, "--set", f"output.dir={folder}", *SHORTER)
        shot(tab, folder / "quickstart" / "report.html", "report")
    return 0


if __name__ == "__main__":
    sys.exit(main())
