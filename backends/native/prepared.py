# pyright: basic
# Strict typing stops at datasets and the tokenizer, whose types are loose.
"""Training rows prepared once: tokenised and packed into Arrow files, that later runs of the same find by a key.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch. The key is a hash of
all that decides the rows: the files' content, the tokenizer, the template, the settings, this code and its libraries.
A folder is written beside its place and then renamed: it is there as a whole or not at all, and only where the files
are still what the key was made of. A lock lets several runs that want the same wait for the first.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import date
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset
from filelock import FileLock, Timeout

from backends.native.corpus import read_parts
from backends.native.data import Counts, nothing
from backends.native.examine import Examiner, Job, kept_for_validation, workers
from backends.native.files import Advance, digest, local_files, stamp, unseen
from backends.native.findings import DataError, Tally
from backends.native.shards import Writer

DONE = "prepared.json"
PARTS = ("train", "validation")
CODE = (
    *("calls", "chat", "corpus", "data", "examine", "files", "formats"),
    *("notes", "packing", "prepared", "readers", "rows", "shards", "spans", "tables"),
)
"""The files that decide what becomes of a row."""
LIBRARIES = ("tokenizers", "transformers", "jinja2")
UNFINISHED = re.compile(r"([0-9a-f]{24})\.(\d+|damaged)")
"""What is called so is no rows, but what becomes of them, or became: a key, and who writes."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SHUT = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EIO)
"""Errors of writing into a folder, of which the system names no file, or none that anybody chose."""
CHUNK = 1 << 20
Stamps = dict[Path, tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows of both parts, packed where the plan says so, and what became of those that were read."""

    folder: Path
    train: Dataset
    validation: Dataset | None
    counts: dict[str, dict[str, int]]
    met: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Packing:
    """`capacity`: tokens of a packed row; None where each row stays by itself. `filler`: the token that fills packed
    rows up to their capacity; None where they may be shorter."""

    capacity: int | None
    filler: int | None


def prepared(job: Job, packing: Packing, tokenizer: Any, home: Path, advance: Advance = unseen) -> Prepared:
    """The rows, prepared now or found below `home`. `DataError` where they cannot be trained on."""
    seen = _stamps(job)  # taken before anything is hashed: what changes from now on is seen
    place = home / key(job, packing, tokenizer)
    if not complete(place):
        with _kept_in(home), _alone(place):
            if not complete(place):  # nobody else has prepared it meanwhile
                unchanged = partial(_unchanged, job, seen)
                _prepare(place, lambda draft: _write(job, packing, tokenizer, draft, advance), unchanged)
    return load(place)


def key(job: Job, packing: Packing, tokenizer: Any) -> str:
    """What tells these rows from others."""
    template = tokenizer.chat_template
    parts = {
        "job": asdict(job),
        "packing": asdict(packing),
        "rows": [_content(source) for source in _sources(job)],
        "tokenizer": tokenizer.backend_tokenizer.to_str(),
        "special": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "template": template,
        # Such a template writes the day into every conversation: tomorrow's rows are others.
        "day": date.today().isoformat() if "strftime_now" in str(template) else None,
        "code": _code(),
        "libraries": [version(name) for name in LIBRARIES],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]


@cache
def _code() -> list[str]:
    """What this process runs by: what is edited from now on counts for the next."""
    return [digest(Path(__file__).with_name(f"{name}.py")) for name in CODE]


def _sources(job: Job) -> list[Mapping[str, Any]]:
    return [*job.train, *(job.validation if isinstance(job.validation, list | tuple) else ())]


def _stamps(job: Job) -> Stamps:
    """The local files as they are now."""
    local = [source["path"] for source in _sources(job) if source["local"]]
    return {file: stamp(file) for path in local for file in local_files(path)}


def _unchanged(job: Job, seen: Stamps) -> None:
    """`DataError` where a file is no longer what it was, has come or is gone: its rows would be kept under the key of
    what it held before, and be trained on once it holds that again."""
    changed = sorted(seen.items() ^ _stamps(job).items())
    if changed:
        raise DataError(f'"{changed[0][0]}" changed while it was read; start again')


def _content(source: Mapping[str, Any]) -> list[str]:
    if source["local"]:
        return [digest(file) for file in local_files(source["path"])]
    dataset: Any = load_dataset(source["path"], source["subset"], split=source["split"], revision=source["revision"])
    return [digest(Path(file["filename"])) for file in dataset.cache_files]


def complete(place: Path) -> bool:
    """Whether a folder holds all that its list names, as it was written.

    Every byte is looked at, each time: what a failing disk or a copy that broke off made of the rows would be trained
    on without a word, and no other reader would tell. It takes a second for some gigabytes, that the run reads anyway.
    """
    try:
        told = json.loads((place / DONE).read_text("utf-8"))
        paths = [place / f"{name}.arrow" for name in PARTS]
        same = all(path.stat().st_size == told["bytes"][path.name] for path in paths)
        return same and all(_crc32(path) == told["crc32"][path.name] for path in paths)
    except (OSError, ValueError, KeyError, TypeError):  # the list is not what was written
        return False


def _crc32(path: Path) -> int:
    found = 0
    with path.open("rb") as file:
        while data := file.read(CHUNK):
            found = zlib.crc32(data, found)
    return found


def load(place: Path) -> Prepared:
    """The rows of a folder that is complete; they stay on the disk until they are asked for."""
    told = json.loads((place / DONE).read_text("utf-8"))
    train, validation = (
        Dataset.from_file(str(place / f"{name}.arrow")) if told["rows"][name] else None for name in PARTS
    )
    if train is None:
        raise DataError(f'"{place}" has no rows; remove it, and they are prepared again')
    return Prepared(place, train, validation, told["counts"], told["met"])


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """While entered, no other process prepares the same. A process that dies lets go of the lock."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(_lock(place)):
        yield


def _lock(place: Path) -> Path:
    return place.with_name(f".{place.name}.lock")


@contextmanager
def _kept_in(home: Path) -> Iterator[None]:
    """Says where it was that nothing could be written, and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL + SHUT:
            raise
        remedy = "free space there, or set output.dir elsewhere" if error.errno in FULL else "set output.dir elsewhere"
        raise DataError(f'prepared rows cannot be kept in "{home}": {error.strerror}; {remedy}') from error


def _clear(place: Path) -> None:
    """Remove what killed runs left of these rows, and of others where nobody holds their lock: who prepares does."""
    for left in place.parent.glob(f"{place.name}.*"):
        _remove(left)
    for left in place.parent.iterdir():
        found = UNFINISHED.fullmatch(left.name)
        if found and found[1] != place.name:
            with suppress(Timeout, OSError), FileLock(_lock(left.with_name(found[1])), timeout=0):
                _remove(left)


def _remove(path: Path) -> None:
    """Whatever it is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _prepare(place: Path, write: Callable[[Path], dict[str, Any]], unchanged: Callable[[], None]) -> None:
    """Have the rows written, and put them in their place."""
    unchanged()  # the lock may have been waited for
    _clear(place)
    damaged = place.with_name(f"{place.name}.damaged")
    if os.path.lexists(place):  # it is no rows, or not those that were written
        place.rename(damaged)
    draft = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        draft.mkdir()
        told = write(draft)
        told["bytes"] = {f"{name}.arrow": (draft / f"{name}.arrow").stat().st_size for name in PARTS}
        _synced(draft / DONE, json.dumps(told, indent=1) + "\n")
        unchanged()
        draft.rename(place)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    with suppress(OSError):  # the next that prepares tries again
        _remove(damaged)


def _write(job: Job, packing: Packing, tokenizer: Any, draft: Path, advance: Advance) -> dict[str, Any]:
    """Both parts into the folder; what became of the rows. `DataError` where some are bad, or none is left."""
    held, kind = kept_for_validation(job), job.train[0]["format"]
    counts, met = {name: Counts() for name in PARTS}, {name: Tally() for name in PARTS}
    with (
        Writer(draft / "train.arrow", packing.capacity, packing.filler, job.seed, kind) as train,
        Writer(draft / "validation.arrow", packing.capacity, packing.filler, job.seed, kind) as validation,
    ):
        writers = {"train": train, "validation": validation}
        examiner = Examiner(job, job.train, tokenizer)
        with closing(read_parts(examiner, held, workers(job), advance)) as pairs:
            for name, part in ((name, part) for pair in pairs for name, part in zip(PARTS, pair, strict=True)):
                counts[name].merge(part.counts)
                met[name].merge(part.met)
                writers[name].add(part)
        if isinstance(job.validation, list | tuple):
            own = Examiner(job, job.validation, tokenizer)
            with closing(read_parts(own, lambda _: False, workers(job), advance)) as pairs:
                for part, _ in pairs:
                    counts["validation"].merge(part.counts)
                    met["validation"].merge(part.met)
                    part.weight = 1.0
                    validation.add(part)
    _refuse(job, counts, met)
    rows = {name: writer.rows for name, writer in writers.items()}
    if not rows["train"]:
        raise DataError("by the sources' weights an epoch sees no row at all; raise data.train's weight")
    return {
        "rows": rows,
        "crc32": {f"{name}.arrow": writer.crc32 for name, writer in writers.items()},
        "counts": {name: asdict(found) for name, found in counts.items()},
        "met": {name: found.told() for name, found in met.items()},
    }


def _refuse(job: Job, counts: dict[str, Counts], met: dict[str, Tally]) -> None:
    bad = Tally()
    for found in met.values():
        bad.merge(found)
    if bad.bad and not job.drop_bad:
        raise bad.refusal()
    if counts["train"].read == 0 and counts["validation"].read:
        raise DataError(
            f"data.validation = {job.validation} keeps back all {counts['validation'].read} rows, and none is left to "
            "train on; write a number of rows, or null for no validation"
        )
    for name in PARTS if job.validation is not None else PARTS[:1]:
        problem = nothing(counts[name], job.rules, name)
        if problem:
            raise problem


def _synced(path: Path, text: str) -> None:
    """Write a file so that it outlives a power failure."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
