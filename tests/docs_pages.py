"""The site's pages as their readers use them: files are written as shown, commands run, outputs compared.

In a page, a fenced block with `title="NAME"` is a file of that name beside the reader. In a `console` block a line
that begins with `$ ` is a command; `# exits 3` at its end says how it ends, if not with 0. Lines under it are what it
prints: `...` in a line stands for any text, a line of nothing else for any lines. `<!-- beside: PATH -->` copies that
path of the repository. A page in `TRAINING` goes on in the folder where the one before it ended.

`pytest tests/test_docs_commands.py --write-golden` writes outputs anew, but for those with `...`; `?` stands for one
to come.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
HOME = "/home/me/project"
"""What pages call the folder that the reader works in."""
WRITTEN = re.compile(r"^(<!-- )?Written by ", re.MULTILINE)
"""How a page says that a program writes it, which runs what it shows."""
FENCE = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
TITLE = re.compile(r'title="([^"]+)"')
LEFT_OUT = re.compile(r"(?<!\.)\.\.\.(?!\.)")
"""What a page leaves out; more points are a bar's free memory."""
EXITS = re.compile(r"\s+# exits (\d+)$")
TRAINING = ("tutorial.md", "how-to/after-training.md", "how-to/resume.md")
"""Pages that train, in the order in which a folder is led through them; tests/test_docs_training.py follows them."""


@dataclass(frozen=True, slots=True)
class Command:
    """A line that the reader types, and what the page says comes of it."""

    line: str
    code: int
    shown: str


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: a file to write, or commands to run."""

    kind: str
    title: str | None
    text: str
    start: int
    end: int


def pages() -> list[str]:
    """Every page that a person writes."""
    found = sorted(path for path in DOCS.rglob("*.md") if path.parent.name != "decisions")
    return [path.relative_to(DOCS).as_posix() for path in found if not WRITTEN.search(path.read_text("utf-8")[:400])]


def blocks(text: str) -> Iterator[Block]:
    """A page's fenced blocks, without what they are indented by."""
    for found in FENCE.finditer(text):
        indent, kind, attributes, body = found.groups()
        title = TITLE.search(attributes)
        lines = (line.removeprefix(indent) for line in body.splitlines(keepends=True))
        yield Block(kind, title[1] if title else None, "".join(lines), found.start(4), found.end(4))


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block."""
    if block.kind != "console":
        return
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        line, _, shown = re.sub(r"\\\n\s*", "", part).partition("\n")
        code = EXITS.search(line)
        yield Command(EXITS.sub("", line), int(code[1]) if code else 0, shown.strip("\n"))


def marked(text: str, word: str) -> list[str]:
    """What the page's comments of this word say."""
    return re.findall(rf"<!-- {word}: (\S+) -->", text)


INSTALLS = "fetches packages"
EXCUSED: dict[str, dict[str, str]] = {
    "how-to/install.md": {"pipx install .": INSTALLS, "pip install -c constraints.txt '.[native]'": INSTALLS},
    "tutorial.md": {"make install && . .venv/bin/activate": INSTALLS},
}
"""Page → commands that are not run, and why; tests/test_docs.py looks whether that is so."""


class Reader:
    """Somebody who does what a page says, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = folder.parent / f"{folder.name}-bin"
        programs.mkdir(parents=True)
        folder.mkdir()
        program = programs / "ftc"
        start = 'import sys; sys.argv[0] = "ftc"; from compiler.cli import main; main()'
        program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{start}' \"$@\"\n")
        program.chmod(0o755)
        # Without colours, a network or the size of somebody's terminal.
        self.environment = {
            **{key: value for key, value in os.environ.items() if key not in ("COLUMNS", "FORCE_COLOR")},
            "PATH": f"{programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HF_HUB_OFFLINE": "1",
            "NO_COLOR": "1",
        }

    def prepare(self, text: str) -> None:
        """Copy what the page expects to be there."""
        for name in marked(text, "beside"):
            into = self.folder / name
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, into, ignore=shutil.ignore_patterns("outputs", "build", "__pycache__"))
            else:
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, into)

    def write(self, block: Block) -> None:
        """A file, as the page shows it."""
        assert block.title
        path = self.folder / block.title
        assert path.resolve().is_relative_to(self.folder.resolve())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, "utf-8")

    def run(self, line: str) -> tuple[int, str]:
        """The exit code, and what the terminal shows."""
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.replace(str(self.folder), HOME).strip("\n")


def same(shown: str, printed: str) -> bool:
    """Whether a command printed what the page shows, `...` standing for anything."""
    pattern = ""
    for line in shown.splitlines():
        if line.strip() == "...":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += ".*?".join(re.escape(part.rstrip() if not part.strip() else part) for part in line.split("..."))
            pattern += r"[ ]*\n"
    return re.fullmatch(pattern, printed + "\n") is not None


def follow(page: str, reader: Reader, excused: dict[str, str], write: bool = False) -> list[str]:
    """Do what a page says, in its order; what was not as it says. `excused`: commands that are not run here, and why.

    `write`: put into the page what is printed otherwise.
    """
    path = DOCS / page
    text = path.read_text("utf-8")
    reader.prepare(text)
    wrong: list[str] = []
    for block in blocks(text):
        if block.title and block.kind != "console":
            reader.write(block)
        for command in commands(block):
            if command.line in excused:
                continue
            code, printed = reader.run(command.line)
            if code != command.code:
                wrong.append(f"$ {command.line}\nended with {code}, not {command.code}:\n{printed}")
            elif command.shown and not same(command.shown, printed):
                if write and not LEFT_OUT.search(command.shown):
                    rewrite(path, command, printed)
                else:
                    wrong.append(f"$ {command.line}\nprinted:\n{printed}\nand the page says:\n{command.shown}")
    return wrong


def rewrite(path: Path, command: Command, printed: str) -> None:
    """Put into a page what a command prints now."""
    text = path.read_text("utf-8")
    found = re.compile(r"^\$ (.*?(?:\\\n.*?)*)$\n", re.MULTILINE)
    lines = (line for line in found.finditer(text) if EXITS.sub("", re.sub(r"\\\n\s*", "", line[1])) == command.line)
    shown = next(line.end() for line in lines if text.startswith(command.shown, line.end()))
    path.write_text(text[:shown] + printed + text[shown + len(command.shown) :], "utf-8")
