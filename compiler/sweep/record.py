"""`sweep.json` and `sweep.md` above the points' folders: what the sweep is, and what became of each point.

Both are replaced by the next sweep that is built there, and never where they are not ftc's, or the table was changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast

from backends.native.disk import write_text
from compiler.errors import FtcError
from compiler.exit import USAGE
from compiler.report.machine import as_json

WAY_OUT: Final = {
    "sweep": "`ftc build --force` replaces it, `--out DIR` builds elsewhere; or move it away",
    "results": "move it away: the runs are kept, and the same command says again what they came to",
}
"""What to do about a file in the way, by kind."""


class Record:
    """A file of JSON and a file of Markdown (or a page beside it) of one kind, in one folder.

    `kind`: as the JSON says it of itself, and as its file is called.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.kind = folder, kind
        self.path = folder / f"{kind}.json"

    def require_ours(self, names: Iterable[str], *, force: bool) -> None:
        """`FtcError` (usage) where something is in the way that ftc did not write, or that was changed since. `names`:
        the files beside the JSON."""
        if self.folder.exists() and not self.folder.is_dir():
            raise FtcError(f'"{self.folder}" is a file', "name another folder with --out", USAGE)
        if force:
            return
        before = self.read()
        if before is None and self.path.exists():
            raise FtcError(f'"{self.path}" was not written by ftc', WAY_OUT[self.kind], USAGE)
        known = [cast("Mapping[str, str]", (before or {}).get(part, {})) for part in ("files", "replaced")]
        for name in names:
            path, digests = self.folder / name, [part[name] for part in known if name in part]
            if path.exists() and self._digest_there(name) not in digests:
                how = "was changed after ftc wrote it" if digests else "was not written by ftc"
                raise FtcError(f'"{path}" {how}', WAY_OUT[self.kind], USAGE)

    def read(self) -> dict[str, Any] | None:
        """What stands there; None where there is nothing of ours."""
        try:
            found = json.loads(self.path.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(found, dict):
            return None
        data = cast("dict[str, Any]", found)
        hashes = (data.get("files", {}), data.get("replaced", {}))
        return data if data.get("kind") == self.kind and all(isinstance(part, dict) for part in hashes) else None

    def write(self, data: Mapping[str, object], files: Mapping[str, str]) -> None:
        """The JSON with the files' hashes, then the files, each whole. Whatever ends this in the middle, a file is one
        that the JSON knows: the new one, or the one that it replaced."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            hashes = {name: _digest(text) for name, text in files.items()}
            there = {name: found for name in files if (found := self._digest_there(name))}
            write_text(self.path, as_json({**data, "files": hashes, "replaced": there}))
            for name, text in files.items():
                write_text(self.folder / name, text)
            write_text(self.path, as_json({**data, "files": hashes}))
        except OSError as error:
            raise FtcError(f'"{self.folder}" cannot be written: {error}', exit_code=USAGE) from error

    def _digest_there(self, name: str) -> str | None:
        path = self.folder / name
        return _digest(path.read_text("utf-8", "replace")) if path.exists() else None


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as Markdown has them; the first is the head."""
    head, *body = ([cell.replace("\\", "\\\\").replace("|", "\\|") for cell in row] for row in rows)
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *body])


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
