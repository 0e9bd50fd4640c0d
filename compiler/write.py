"""Puts an artifact on disk: whole or not at all, and never over something that a person wrote or changed.

A folder that does not exist yet is written beside its place and renamed. In one that does, each file is replaced as a
whole, the lock last; a rebuild after an interruption finds files that are either the old lock's or its own.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path, PurePosixPath, PureWindowsPath
from tempfile import mkdtemp
from typing import Final, Protocol

from backends.native.files import Advance, unseen
from backends.native.findings import Tally
from compiler.errors import FtcError
from compiler.exit import USAGE
from compiler.prepare import prepare
from schemas.artifact import Preparation

LOCK: Final = "ftc.lock.json"
Prepare = Callable[[Preparation, Path, Advance], Tally]


class Written(Protocol):
    """What is written: an artifact, or a job for a provider, whose rows are among its files."""

    @property
    def files(self) -> dict[str, str]:
        """Path inside the folder → text."""
        ...

    @property
    def preparation(self) -> Preparation | None:
        """Rows that are written beside them."""
        ...

    @property
    def copies(self) -> dict[str, str]:
        """Path inside the folder → the file of this machine that is copied there."""
        ...


def write_artifact(
    artifact: Written,
    folder: Path,
    lock: Mapping[str, object],
    advance: Advance = unseen,
    *,
    force: bool = False,
    prepare: Prepare = prepare,
) -> Tally:
    """Write the artifact's files, its prepared rows and `ftc.lock.json`: `lock` and the hash of every file. Which rows
    were left out. `prepare`: how rows are written, where several artifacts share them.

    `FtcError` (usage) where a path leaves the folder, or a file there is not ftc's and `force` is not given.
    """
    for name in _names(artifact):
        _check_path(name)
    try:
        with _staging(folder) as staged:
            met = prepare(artifact.preparation, staged, advance) if artifact.preparation else Tally()
            hashes = _stage(artifact, staged)
            _dump(staged / LOCK, {**lock, "files": hashes})
            if not force:
                _refuse_foreign(folder, hashes)
            _move(staged, folder, hashes)
    except OSError as error:
        raise FtcError(f'"{folder}" cannot be written: {error}', exit_code=USAGE) from error
    return met


def _names(artifact: Written) -> list[str]:
    return [*artifact.files, *(artifact.preparation.files if artifact.preparation else ()), *artifact.copies]


def _check_path(name: str) -> None:
    if not _is_path(name):
        raise FtcError(f'"{name}" is no path inside the artifact', exit_code=USAGE)


def _is_path(name: str) -> bool:
    """Whether any system reads this as a path inside the folder, and not as the lock's."""
    parts = PurePosixPath(name).parts
    outside = not parts or ".." in parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive
    return not outside and "\\" not in name and "\0" not in name and name != LOCK


@contextmanager
def _staging(folder: Path) -> Generator[Path]:
    """A folder beside the target's place, on the same file system, gone afterwards whatever happens."""
    if folder.exists() and not folder.is_dir():
        raise FtcError(f'"{folder}" is a file', "name another folder with --out", exit_code=USAGE)
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _stage(artifact: Written, staged: Path) -> dict[str, str]:
    for name, text in artifact.files.items():
        path = staged / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        if name.endswith(".sh"):
            path.chmod(0o755)
    for name, source in artifact.copies.items():
        (staged / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, staged / name)
    return {name: _digest(staged / name) for name in sorted(_names(artifact))}


def _dump(path: Path, value: object) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")


def _digest(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _refuse_foreign(folder: Path, hashes: Mapping[str, str]) -> None:
    """Refuse to replace a file that ftc did not write here, or that was changed since."""
    before = _locked(folder)
    foreign = [name for name, digest in hashes.items() if not _ours(folder / name, before.get(name), digest)]
    if (folder / LOCK).exists() and not before:
        foreign.insert(0, LOCK)
    if foreign:
        edited = [name for name in foreign if name in before]
        why = "was changed after ftc wrote it" if edited else "was not written by ftc"
        raise FtcError(
            f'"{folder / foreign[0]}" {why}' + (f", and {len(foreign) - 1} more" if foreign[1:] else ""),
            "`ftc build --force` replaces it, `--out DIR` writes elsewhere",
            exit_code=USAGE,
        )


def _ours(path: Path, before: str | None, now: str) -> bool:
    if not path.exists() and not path.is_symlink():
        return True
    return path.is_file() and _digest(path) in (before, now)


def _locked(folder: Path) -> dict[str, str]:
    """File → hash of an earlier build; empty without a readable lock, so that nothing is taken for ours.

    A lock may come from anywhere: a name in it that leads out of the folder is none of a file of ours.
    """
    try:
        files = json.loads((folder / LOCK).read_text(encoding="utf-8"))["files"]
        named = {str(name): str(digest) for name, digest in files.items()}
        return {name: digest for name, digest in named.items() if _is_path(name) and _is_inside(folder, name)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _move(staged: Path, folder: Path, hashes: Mapping[str, str]) -> None:
    if not folder.exists():
        staged.chmod(0o777 & ~_umask())
        staged.rename(folder)
        return
    before = _locked(folder)
    for name in [*hashes, LOCK]:
        _replace(staged / name, folder, name)
    for name in before.keys() - hashes.keys():
        if _ours(folder / name, before[name], before[name]):
            (folder / name).unlink(missing_ok=True)


def _replace(source: Path, folder: Path, name: str) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if not _is_inside(folder, name):
        raise FtcError(f'"{target}" leads out of the folder', exit_code=USAGE)
    source.replace(target)


def _is_inside(folder: Path, name: str) -> bool:
    """Whether the path stays in the folder: a link among its parents could lead anywhere."""
    return (folder / name).parent.resolve().is_relative_to(folder.resolve())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
