"""An open recipe: its text as the editor has it, and what is known of it and of the last version that could be read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from compiler.lsp.analysis import Analysis, analyse
from compiler.lsp.settings import Settings
from compiler.text_places import Encoding, Places

SECTIONS: Final = 3
"""How many sections of a recipe make a file of another name one."""
_NAMED: Final = re.compile(r"(^|[/.])ftc\.ya?ml$", re.IGNORECASE)
_SECTION: Final = re.compile(r"^(model|method|data|training|hardware)[ \t]*:", re.MULTILINE)


class Document:
    """`version`: the editor's. `versioned`: whether it takes edits that name one."""

    def __init__(self, uri: str, file: Path, encoding: Encoding, *, versioned: bool) -> None:
        self.uri, self.file, self.versioned = uri, file, versioned
        self.encoding: Encoding = encoding
        self.version: int | None = None
        self.text = ""
        self.good: Analysis | None = None
        self._now: Analysis | None = None

    @property
    def is_recipe(self) -> bool:
        """By its name; of another one, by its sections: an editor may send every YAML file there is, and older versions
        of one (`git:`), which lie nowhere."""
        if not self.uri.startswith(("file:", "untitled:")):
            return False
        return bool(_NAMED.search(self.uri)) or len(set(_SECTION.findall(self.text))) >= SECTIONS

    def change(self, text: str, version: int | None) -> None:
        """Another text."""
        self.text, self.version, self._now = text, version, None

    def forget(self) -> None:
        """Something around it changed: a file that it names, a setting."""
        self._now = None

    def analysis(self, settings: Settings) -> Analysis:
        """What is known of the text as it is now."""
        if self._now is None or self._now.settings != settings:
            self._now = analyse(self.file, self.text, settings, self.encoding)
            if self._now.readable:
                self.good = self._now
        return self._now

    def readable(self, settings: Settings) -> Analysis | None:
        """What is known of it, or of the last version that was readable."""
        now = self.analysis(settings)
        return now if now.readable else self.good


class Shift:
    """Offsets of an old text in a new one: what was typed lies between what both begin and end with."""

    def __init__(self, old: str, new: str) -> None:
        most = min(len(old), len(new))
        self.head = next((index for index in range(most) if old[index] != new[index]), most)
        rest = most - self.head
        tail = next((index for index in range(rest) if old[-1 - index] != new[-1 - index]), rest)
        self.tail = len(old) - tail
        self.by = len(new) - len(old)

    def forward(self, offset: int) -> int | None:
        """Where what stood at an offset stands now; None for what was in the stretch that changed."""
        if offset <= self.head:
            return offset
        return offset + self.by if offset >= self.tail else None

    def back(self, offset: int) -> int | None:
        """Where what stands at an offset now stood before."""
        if offset <= self.head:
            return offset
        return offset - self.by if offset - self.by >= self.tail else None


def places_of(document: Document) -> Places:
    """The places of the text as it is now."""
    return Places(document.text, document.encoding)
