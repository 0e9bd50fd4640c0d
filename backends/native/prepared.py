# pyright: basic
# Strict typing stops at datasets and the tokenizer, whose types are loose.
"""Training rows prepared once: tokenised and packed into Arrow files, that later runs of the same find by a key.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch. The key is a hash of
all that decides the rows: the files' content, the tokenizer, the template, the settings, this code and its libraries.
A folder is written beside its place and then renamed: it is there as a whole or not at all. A lock lets several runs
that want the same wait for the first.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset
from filelock import FileLock

from backends.native.corpus import read_parts
from backends.native.data import Counts, nothing
from backends.native.examine import Examiner, Job, kept_for_validation, workers
from backends.native.files import Advance, digest, local_files, unseen
from backends.native.findings import DataError, Tally
from backends.native.shards import Writer

DONE = "prepared.json"
PARTS = ("train", "validation")
CODE = (
    *("chat", "corpus", "data", "examine", "files", "formats"),
    *("notes", "packing", "prepared", "readers", "rows", "shards"),
)
"""The files that decide what becomes of a row."""
LIBRARIES = ("tokenizers", "transformers", "jinja2")


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
    place = home / key(job, packing, tokenizer)
    with _alone(place):
        if not complete(place):
            _prepare(job, packing, tokenizer, place, advance)
    return load(place)


def key(job: Job, packing: Packing, tokenizer: Any) -> str:
    """What tells these rows from others."""
    own = job.validation if isinstance(job.validation, list | tuple) else ()
    parts = {
        "job": asdict(job),
        "packing": asdict(packing),
        "rows": [_content(source) for source in (*job.train, *own)],
        "tokenizer": tokenizer.backend_tokenizer.to_str(),
        "special": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "template": tokenizer.chat_template,
        "code": [digest(Path(__file__).with_name(f"{name}.py")) for name in CODE],
        "libraries": [version(name) for name in LIBRARIES],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]


def _content(source: Mapping[str, Any]) -> list[str]:
    if source["local"]:
        return [digest(file) for file in local_files(source["path"])]
    dataset: Any = load_dataset(source["path"], source["subset"], split=source["split"], revision=source["revision"])
    return [digest(Path(file["filename"])) for file in dataset.cache_files]


def complete(place: Path) -> bool:
    """Whether a folder holds all that its list names, at the size that it names."""
    try:
        sizes = json.loads((place / DONE).read_text("utf-8"))["bytes"]
        return all((place / f"{name}.arrow").stat().st_size == sizes[f"{name}.arrow"] for name in PARTS)
    except (OSError, ValueError, KeyError, TypeError):  # the list is not what was written
        return False


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
    with FileLock(place.with_name(f".{place.name}.lock")):
        yield


def _prepare(job: Job, packing: Packing, tokenizer: Any, place: Path, advance: Advance) -> None:
    for left in place.parent.glob(f"{place.name}.*"):
        shutil.rmtree(left)
    if place.exists():  # it is damaged
        place.rename(place.with_name(f"{place.name}.damaged"))
    draft = place.with_name(f"{place.name}.{os.getpid()}")
    try:
        draft.mkdir()
        told = _write(job, packing, tokenizer, draft, advance)
        told["bytes"] = {f"{name}.arrow": (draft / f"{name}.arrow").stat().st_size for name in PARTS}
        _synced(draft / DONE, json.dumps(told, indent=1) + "\n")
        draft.rename(place)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    shutil.rmtree(place.with_name(f"{place.name}.damaged"), ignore_errors=True)


def _write(job: Job, packing: Packing, tokenizer: Any, draft: Path, advance: Advance) -> dict[str, Any]:
    """Both parts into the folder; what became of the rows. `DataError` where some are bad, or none is left."""
    held = kept_for_validation(job)
    counts, met = {name: Counts() for name in PARTS}, {name: Tally() for name in PARTS}
    with (
        Writer(draft / "train.arrow", packing.capacity, packing.filler, job.seed) as train,
        Writer(draft / "validation.arrow", packing.capacity, packing.filler, job.seed) as validation,
    ):
        writers = {"train": train, "validation": validation}
        for pair in read_parts(Examiner(job, job.train, tokenizer), held, workers(job), advance):
            for name, part in zip(PARTS, pair, strict=True):
                counts[name].merge(part.counts)
                met[name].merge(part.met)
                writers[name].add(part)
        if isinstance(job.validation, list | tuple):
            own = Examiner(job, job.validation, tokenizer)
            for part, _ in read_parts(own, lambda _: False, workers(job), advance):
                counts["validation"].merge(part.counts)
                met["validation"].merge(part.met)
                part.weight = 1.0
                validation.add(part)
    _refuse(job, counts, met)
    rows = {name: writer.rows for name, writer in writers.items()}
    return {
        "rows": rows,
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
