"""What the answers about data mean: a file that is looked at, or a dataset of the hub that is not."""

from __future__ import annotations

import re
from os.path import relpath
from pathlib import Path
from typing import Final, cast

import yaml
from msgspec import Struct

from compiler.data.files import SUFFIXES, expand, is_local
from compiler.data.recognise import FirstRow, first_rows, likely
from compiler.errors import FtcError
from compiler.exit import USAGE
from schemas.recipe import DataFormat, Fields, Objective

OBJECTIVES: Final[dict[DataFormat, Objective]] = {"preference": "dpo", "kto": "kto", "text": "pretrain"}
"""What is done with rows of a format; supervised fine-tuning with all others."""


HUB_ID: Final = re.compile(r"[\w.-]{1,96}(/[\w.-]{1,96})?", re.ASCII)
"""What a dataset of the hub may be called."""


class Rows(Struct, frozen=True):
    """`path`: as the user named it, from the working folder. `format` is None where nothing tells it: then it has to be
    said. `fields`: our column → theirs. `because`: what tells the format."""

    path: str
    local: bool
    format: DataFormat | None
    fields: dict[str, str]
    because: str

    @property
    def objective(self) -> Objective:
        """What such rows are for."""
        return OBJECTIVES.get(self.format, "sft") if self.format else "sft"

    def seen_from(self, folder: Path) -> str:
        """The path as a recipe in that folder names it."""
        if not self.local or self.path.startswith("~") or Path(self.path).is_absolute():
            return self.path
        path = relpath(self.path, folder).replace("\\", "/")
        return path if is_local(path) else f"./{path}"

    @property
    def stem(self) -> str:
        """What to call a run on these rows."""
        parts = (part.partition(".")[0].strip("*?[]-_ ") for part in reversed(self.path.split("/")))
        return next(filter(None, parts), "")


def look_at(path: str, asked: DataFormat | None) -> Rows:
    """Look at what is named; `FtcError` (usage) where there is no such file, or it cannot be what the run reads."""
    local = is_local(path) or (path != "" and Path(path).exists())
    if not local:
        if not HUB_ID.fullmatch(path):
            raise FtcError(f'"{path}" is no file, and no dataset of the hub can be called so', _instead(path), USAGE)
        return Rows(path, False, asked, {}, "a dataset of the hub, which is not looked at here")
    if Path(path).is_dir():
        raise FtcError(f'"{path}" is a folder', f"name its files: {path.rstrip('/')}/{_pattern(Path(path))}", USAGE)
    files = expand(path, Path.cwd())
    if not files:
        raise FtcError(f'no file "{path}"', _instead(path), USAGE)
    file, row = next(((file, row) for file, row in first_rows(files, Fields()) if not row.empty), (files[0], None))
    if row is None:
        raise FtcError(f'"{file}" has no rows', None, USAGE)
    if row.problem and not row.format:
        raise FtcError(f'"{path}" cannot be read as rows: {row.problem}', "see `ftc explain FTC503`", USAGE)
    return _told(path, row, asked)


def _told(path: str, row: FirstRow, asked: DataFormat | None) -> Rows:
    if asked and asked != row.format:
        return Rows(path, True, asked, {}, f"as you said; its first row shows {row.evidence or 'columns of its own'}")
    if row.format:
        of_file = row.evidence.startswith("a .txt")
        return Rows(path, True, row.format, {}, row.evidence if of_file else f"the first row shows {row.evidence}")
    said = likely(row.columns)
    if said is None:
        return Rows(path, True, None, {}, f"its columns are {', '.join(row.columns) or 'not to be seen'}")
    guess = cast("dict[str, dict[str, str]]", yaml.safe_load(f"{{{said}}}"))
    fields = {ours: theirs for ours, theirs in guess["fields"].items() if ours != theirs}
    return Rows(path, True, "prompt_completion", fields, f"the first row has {' and '.join(guess['fields'].values())}")


def _pattern(folder: Path) -> str:
    """The ending that most of a folder's files have that are data."""
    endings = [item.suffix[1:] for item in folder.iterdir() if item.suffix[1:] in SUFFIXES]
    return f"*.{max(endings, key=endings.count)}" if endings else "*.jsonl"


def _instead(path: str) -> str:
    """What was probably meant, of the files beside it."""
    from compiler.hints import closest  # only where something is wrong

    folder = Path(path).expanduser().parent
    try:
        names = [item.name for item in folder.iterdir() if item.suffix[1:] in SUFFIXES]
    except OSError:
        return f"there is no folder {folder} either"
    meant = closest(Path(path).name, names)
    return f'did you mean "{(folder / meant).as_posix()}"?' if meant else f"looked in {folder.absolute()}"
