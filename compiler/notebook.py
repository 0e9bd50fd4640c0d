"""`ftc build --target unsloth --notebook`: the run as a notebook, with its data where that is small."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from backends.native.files import local_files
from backends.native.findings import DataError
from backends.release import release
from backends.unsloth.notebook import DataFile, notebook
from compiler.build import Compiled, Options
from compiler.errors import FtcError
from compiler.exit import INVALID, USAGE
from schemas.artifact import Artifact
from schemas.plan import Plan, SourcePlan, is_sources

NAME: Final = "train.ipynb"
EMBEDDED: Final = 1 << 19
"""Bytes of rows that a notebook holds: it stays quick to open. What is more is brought there."""
TEXTS: Final = (".jsonl", ".json", ".csv", ".txt")
PLANNED: Final = 1 << 20


def with_notebook(artifact: Artifact, compiled: Compiled, asked: Options) -> Artifact:
    """The artifact with the notebook beside the script; `FtcError` where the run cannot leave this machine."""
    plan = compiled.plan
    if plan is None:
        return artifact
    _check(plan)
    moved, data = _moved(plan)
    other = release("unsloth", asked.version) if asked.version else None
    text = notebook(moved, artifact, data, compiled.footprint, other)
    return replace(artifact, files={**artifact.files, NAME: text})


def _check(plan: Plan) -> None:
    """Whether all that is needed can be had elsewhere."""
    if plan.devices > 1:
        raise FtcError("a notebook trains on one card", "--set hardware.count=1 --set hardware.nodes=1", INVALID)
    for leaf, said in (("model.base", plan.model.base), ("model.tokenizer", plan.model.tokenizer)):
        if said and Path(said).is_absolute():
            raise FtcError(
                f"{leaf} is a folder of this machine, and a notebook runs elsewhere",
                f"name one of the hub: --set {leaf}=OWNER/NAME",
                INVALID,
            )
    if plan.checkpoint.resume not in ("auto", "never"):
        raise FtcError("checkpoint.resume names a folder of this machine", "--set checkpoint.resume=auto", INVALID)


def _moved(plan: Plan) -> tuple[Plan, list[DataFile]]:
    """The plan with its files where the notebook has them, and these files."""
    data, room = list[DataFile](), EMBEDDED
    train = tuple(_source(source, f"dataset/train-{at}", data) for at, source in enumerate(plan.data.train, 1))
    own = plan.data.validation
    if is_sources(own):
        own = tuple(_source(source, f"dataset/validation-{at}", data) for at, source in enumerate(own, 1))
    held = list[DataFile]()
    for item in sorted(data, key=lambda item: item.size):
        room -= item.size
        held.append(item if room >= 0 else replace(item, text=None))
    order = {item.name: at for at, item in enumerate(data)}
    held.sort(key=lambda item: order[item.name])
    return replace(plan, data=replace(plan.data, train=train, validation=own)), held


def _source(source: SourcePlan, folder: str, data: list[DataFile]) -> SourcePlan:
    """A source's files by names of ours, in their order: theirs may be anything."""
    if not source.local:
        return source
    try:
        files = local_files(source.path)
    except DataError as error:
        raise FtcError(str(error), exit_code=USAGE) from error
    several = len(files) > 1
    for number, path in enumerate(files, 1):
        suffixes = "".join(suffix.lower() for suffix in path.suffixes[-2:] if suffix[1:].isalnum())
        name = f"{folder}/{number:04}{suffixes}" if several else f"{folder}{suffixes}"
        data.append(_read(path, name))
    return replace(source, path=f"{folder}/*" if several else data[-1].name)


def _read(path: Path, name: str) -> DataFile:
    content, size, text = sha256(), path.stat().st_size, None
    with path.open("rb") as stream:
        while block := stream.read(PLANNED):
            content.update(block)
    if size <= EMBEDDED and path.suffix.lower() in TEXTS:
        text = _text(path)
    return DataFile(name, path.name, size, content.hexdigest(), text)


def _text(path: Path) -> str | None:
    """The file as text, where a cell that writes it gives back the same rows: in UTF-8, with plain ends of lines."""
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return None
    odd = text.startswith("\ufeff") or text.endswith("\n\n") or "\r" in text or "\0" in text
    return None if odd or not text.strip() else text
