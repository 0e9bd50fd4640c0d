"""What a target cannot say of a plan, at the user's lines: by its table, in combination, in a version, and raw keys."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from backends import load
from backends.base import CANNOT, ELSEWHERE, Backend, apply
from backends.release import Release
from schemas.artifact import Target
from schemas.diagnostic import Finding
from schemas.plan import Plan

LOSSY = ("FTC401", "FTC402", "FTC403", "FTC404", CANNOT)
"""What a target cannot say: an error, or with `allow_lossy` a warning that the artifact repeats."""
NEVER_LOST = ("method.kind", "method.freeze", "method.train_only", "training.objective")
"""Without these the tool would train something else: every weight in the place of a few, in memory that was
not weighed."""


def refusals(
    plan: Plan,
    target: Target,
    release: Release | None,
    written: frozenset[str],
    *,
    allow_lossy: bool,
    drop_raw: bool,
) -> Iterator[Finding]:
    """What is lost or done otherwise. `written`: the paths of the recipe as it stands there."""
    dropped = (*(LOSSY if allow_lossy else ()), *((ELSEWHERE,) if drop_raw else ()))
    backend = load(target)
    for item in _found(plan, backend, release):
        path = as_written(item.path, written)
        if item.path in NEVER_LOST and allow_lossy and item.level == "error":
            yield replace(item, path=path, hint="--allow-lossy leaves out settings, not what is trained")
        else:
            yield replace(item, path=path, level="warning" if item.code in dropped else item.level)


def _found(plan: Plan, backend: Backend, release: Release | None) -> Iterator[Finding]:
    """The findings, each with the tool that says it, and the version where it is one's own."""
    found = (*apply(backend.TABLE, plan).findings, *backend.losses(plan))
    in_version = backend.said(plan, release).findings if release else ()
    yield from (replace(item, message=f"{backend.TITLE}: {item.message}") for item in found)
    yield from (replace(item, message=f"{backend.TITLE} {item.message}") for item in in_version)


def as_written(path: str, written: frozenset[str]) -> str:
    """A plan always has lists of sources; a recipe with one source may have it without a list."""
    for sources in ("data.train", "data.validation"):
        if f"{sources}[0]" not in written:
            path = path.replace(f"{sources}[0]", sources)
    return path
