"""A recipe with mistakes → one without, so that the rest of it can be checked too."""

from __future__ import annotations

from typing import Final, cast

from pydantic import ValidationError

from compiler.hints import closest
from compiler.mistakes import Mistake, finding_of, mistakes_of
from compiler.shape import arms, at, copied, fields_of
from compiler.source import Source
from schemas.diagnostic import Finding, Path, dotted
from schemas.recipe import Recipe

_PLACEHOLDERS: Final[dict[str, object]] = {
    "version": 1,
    "name": "recipe",
    "model": {"base": "?"},
    "model.base": "?",
    "method": {"kind": "lora"},
    "method.kind": "lora",
    "data": {"train": {"path": "?"}},
    "data.train": {"path": "?"},
    "data.train[]": {"path": "?"},
    "data.train.path": "?",
    "data.train[].path": "?",
    "data.validation[]": {"path": "?"},
    "data.validation.path": "?",
    "data.validation[].path": "?",
}
"""What stands in for a required leaf. Whatever depends on it stays unsaid: the leaf is in `broken`."""


class Repair:
    """Data that come closer to a recipe with each pass, and what was found on the way, up to `most` mistakes."""

    def __init__(self, source: Source, most: int) -> None:
        self.most = most
        self.data = cast("dict[str, object]", copied(source.data))
        self.findings: list[Finding] = []
        self.broken = set(source.broken)
        self._reported = source.broken
        self._written = source.written

    def apply(self, error: ValidationError) -> None:
        """Report and mend all that one reading found."""
        mistakes = mistakes_of(error, self.data, self.most - len(self.findings))
        said = [(mistake, *finding_of(mistake, self.data)) for mistake in mistakes if mistake.kind != "empty"]
        meant = {leaf for _, _, leaf in said if leaf}
        self.broken |= meant - self._written
        for mistake, finding, _ in said:
            caused = mistake.kind == "missing" and (finding.path in meant or self._merged(mistake.path))
            if not caused and finding.path not in self._reported:
                self.findings.append(finding)
            if mistake.kind != "unknown":
                self.broken.add(finding.path)
        for mistake in reversed(mistakes):
            self._mend(mistake)

    def _merged(self, path: Path) -> bool:
        """Whether the section got its keys from a merge key, which is not read."""
        return dotted((*path[:-1], "<<")) in self.broken

    def _mend(self, mistake: Mistake) -> None:
        if mistake.kind == "empty":
            self._set(mistake.path, {})
        elif mistake.kind == "unknown":
            self._remove(mistake.path)
        elif mistake.path == ("method", "kind"):
            self._mend_method()
        else:
            self._default(mistake.path)

    def _mend_method(self) -> None:
        """The kind that was probably meant, so that its leaves are checked; else a method that has none."""
        kind = at(self.data, ("method", "kind"))
        meant = closest(kind, arms(fields_of(Recipe)["method"])) if isinstance(kind, str) else None
        if meant:
            self._set(("method", "kind"), meant)
        else:
            self._set(("method",), {"kind": "lora"})
        self.broken.add("method")

    def _default(self, path: Path) -> None:
        """Take a leaf's default; a list whose item is wrong goes as a whole, but a list of sources keeps the others."""
        while path:
            place = _pattern(path)
            if place in _PLACEHOLDERS:
                self._set(path, copied(_PLACEHOLDERS[place]))
                return
            if isinstance(path[-1], str):
                self._remove(path)
                return
            path = path[:-1]
            self.broken.add(dotted(path))

    def _set(self, path: Path, value: object) -> None:
        parent = at(self.data, path[:-1])
        if isinstance(parent, dict):
            cast("dict[str, object]", parent)[str(path[-1])] = value
        elif isinstance(parent, list) and isinstance(path[-1], int):
            cast("list[object]", parent)[path[-1]] = value

    def _remove(self, path: Path) -> None:
        parent = at(self.data, path[:-1])
        if isinstance(parent, dict):
            cast("dict[str, object]", parent).pop(str(path[-1]), None)


def _pattern(path: Path) -> str:
    return dotted(tuple("[]" if isinstance(part, int) else part for part in path)).replace(".[]", "[]")
