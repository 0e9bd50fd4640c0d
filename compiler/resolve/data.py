"""The plan's `data` section."""

from __future__ import annotations

from compiler.data.files import expand, is_local
from compiler.data.recognise import first_rows
from compiler.resolve.ground import Ground
from schemas.plan import DataPlan, SourcePlan
from schemas.recipe import DataFormat, LossOn, Overlong, Source

NO_PACKING = ("prefix_tuning", "prompt_tuning", "p_tuning")
"""Methods that put trained positions before a row: a packed row would have them once for all its documents."""


def data_plan(ground: Ground) -> DataPlan:
    """Sources with their formats, and what is done with their rows."""
    data = ground.recipe.data
    train = _sources(ground, data.train, "data.train")
    return DataPlan(
        train=train,
        validation=_validation(ground),
        system=data.system,
        max_length=data.max_length,
        overlong=_overlong(ground, train),
        bad_rows=data.bad_rows,
        packing=_packing(ground),
        loss_on=_loss_on(ground, train),
        shuffle=data.shuffle,
    )


def as_sources(sources: Source | tuple[Source, ...]) -> tuple[Source, ...]:
    """One source or several, as several."""
    return sources if isinstance(sources, tuple) else (sources,)


def _sources(ground: Ground, sources: Source | tuple[Source, ...], path: str) -> tuple[SourcePlan, ...]:
    return tuple(_source(ground, item, f"{path}[{index}]") for index, item in enumerate(as_sources(sources)))


def _source(ground: Ground, source: Source, path: str) -> SourcePlan:
    local = is_local(source.path)
    kind, because = _format(ground, source)
    if because:
        ground.decide(f"{path}.format", kind, because)
    return SourcePlan(
        path=ground.absolute(source.path) if local else source.path,
        local=local,
        format=kind,
        split=source.split,
        subset=source.subset,
        revision=source.revision,
        weight=source.weight,
        limit=source.limit,
        fields=source.fields,
    )


def _format(ground: Ground, source: Source) -> tuple[DataFormat, str | None]:
    if source.format != "auto":
        return source.format, None
    files = expand(source.path, ground.folder) if is_local(source.path) else ()
    found = next(((file, row) for file, row in first_rows(files, source.fields) if not row.empty), None)
    if found and found[1].format:
        return found[1].format, f"the first row of {found[0].name} shows {found[1].evidence}"
    return "messages", "nothing was there to look at"


def _validation(ground: Ground) -> float | int | tuple[SourcePlan, ...] | None:
    validation = ground.recipe.data.validation
    if isinstance(validation, Source | tuple):
        return _sources(ground, validation, "data.validation")
    return validation


def _overlong(ground: Ground, train: tuple[SourcePlan, ...]) -> Overlong:
    asked = ground.recipe.data.overlong
    if asked != "auto":
        return asked
    if all(source.format == "text" for source in train):
        return ground.decide("data.overlong", "split", "raw text can be cut anywhere")
    return ground.decide("data.overlong", "drop", "a conversation cut in the middle teaches to stop in the middle")


def _packing(ground: Ground) -> bool:
    asked = ground.recipe.data.packing
    objective, kind = ground.recipe.training.objective, ground.recipe.method.kind
    if asked != "auto":
        return asked
    if objective not in ("sft", "pretrain"):
        return ground.decide("data.packing", False, f"{objective} compares whole rows")
    if kind in NO_PACKING:
        return ground.decide("data.packing", False, f"{kind} puts its virtual tokens before each row")
    if ground.target == "native" and ground.facts.mixes_documents:
        because = f"transformers' {ground.facts.family} would let documents in one row see each other"
        return ground.decide("data.packing", False, because)
    if ground.target == "native" and ground.facts.packs_by_package:
        because = f"{ground.facts.family} keeps documents apart only where causal_conv1d is installed"
        return ground.decide("data.packing", False, because)
    return ground.decide("data.packing", True, "short rows share a long one, so that nothing is computed on padding")


def _loss_on(ground: Ground, train: tuple[SourcePlan, ...]) -> LossOn:
    asked = ground.recipe.data.loss_on
    if asked != "auto":
        return asked
    kind = train[0].format
    if kind in ("messages", "sharegpt"):
        return ground.decide("data.loss_on", "assistant", f"{kind} rows are conversations")
    if kind == "text":
        return ground.decide("data.loss_on", "all", "raw text has no prompt")
    return ground.decide("data.loss_on", "completion", f"{kind} rows have a prompt and an answer")
