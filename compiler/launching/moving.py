"""The plan as machines see it that share no disk with this one: what they read lies in the artifact, and results go to
storage that outlives them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from backends.alike import all_sources
from backends.native.files import literal, local_files
from backends.native.findings import DataError
from schemas.plan import DataPlan, Plan, SourcePlan, is_sources, leaves

BASE: Final = "./base"
TOKENIZER: Final = "./tokenizer"
ROWS: Final = "inputs"
"""Folders of the artifact."""


def placed(plan: Plan, store: str) -> Plan:
    """With the results in the store, and a base and a tokenizer of this machine in the artifact."""
    model = plan.model
    base = BASE if _is_folder(model.base) else model.base
    own = BASE if model.tokenizer == model.base else TOKENIZER
    tokenizer = own if _is_folder(model.tokenizer) else model.tokenizer
    output = replace(plan.output, dir=f"{store}/{plan.name}")
    return replace(plan, model=replace(model, base=base, tokenizer=tokenizer), output=output)


def carried(plan: Plan) -> Iterator[tuple[str, Path]]:
    """The files of the base and the tokenizer, with their places in the artifact."""
    for place, folder in dict.fromkeys(((BASE, plan.model.base), (TOKENIZER, plan.model.tokenizer))):
        if not _is_folder(folder) or (place == TOKENIZER and folder == plan.model.base):
            continue
        for path in sorted(Path(str(folder)).iterdir()):
            if path.is_file() and not path.name.startswith("."):
                yield f"{place.removeprefix('./')}/{path.name}", path


def with_rows(plan: Plan) -> Plan:
    """With the rows of this machine in the artifact."""
    validation = plan.data.validation
    data: DataPlan = replace(plan.data, train=_moved(plan, plan.data.train))
    if is_sources(validation):
        data = replace(data, validation=_moved(plan, validation))
    return replace(plan, data=data)


def rows(plan: Plan) -> Iterator[tuple[str, Path]]:
    """The files of rows of this machine, with their places in the artifact: as they lie below the folder in which a
    pattern begins, so that it finds them there in the same order."""
    for number, folder in enumerate(_folders(plan)):
        for source in _local(plan):
            if _folder(source.path) == folder:
                for path in _files(source.path):
                    yield f"{ROWS}/{number}/{path.relative_to(folder).as_posix()}", path


def otherwise(plan: Plan, there: Plan) -> dict[str, str]:
    """The leaves that are otherwise there."""
    here = leaves(plan)
    return {path: str(value) for path, value in leaves(there).items() if value != here[path]}


def _moved(plan: Plan, sources: tuple[SourcePlan, ...]) -> tuple[SourcePlan, ...]:
    folders = _folders(plan)
    return tuple(
        replace(source, path=_place(source.path, folders.index(_folder(source.path)))) if source.local else source
        for source in sources
    )


def _place(path: str, number: int) -> str:
    return f"{ROWS}/{number}/{Path(path).relative_to(_folder(path)).as_posix()}"


def _local(plan: Plan) -> list[SourcePlan]:
    return [source for _, source in all_sources(plan) if source.local]


def _folders(plan: Plan) -> list[Path]:
    return list(dict.fromkeys(_folder(source.path) for source in _local(plan)))


def _folder(path: str) -> Path:
    """The folder that a file lies in, or that a pattern begins in."""
    if Path(path).is_file():
        return Path(path).parent
    base, rest = literal(Path(path))
    return base if rest else base.parent


def _files(path: str) -> list[Path]:
    try:
        return local_files(path)
    except (OSError, DataError):
        return []  # which is said where the data is checked


def _is_folder(name: str | None) -> bool:
    return name is not None and Path(name).is_absolute()
