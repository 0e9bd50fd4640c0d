"""What a target is, and how its table is applied to a plan."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol, cast

from msgspec import Struct

from schemas.artifact import Artifact
from schemas.diagnostic import Finding
from schemas.footprint import Footprint
from schemas.plan import Plan, leaves
from schemas.support import Answer, Folded, Key, Never, NotImpl, NotYet, Ours, Refusal, Table

if TYPE_CHECKING:  # read only where another version is asked for
    from backends.release import Release, Spoken

OURS: Final = ("version", "hardware.gpu", "hardware.memory", "hardware.reserve")
"""The leaves that the compiler uses up: every other leaf reaches the target or is refused."""

CODES: Final[Mapping[type[Refusal], str]] = {NotImpl: "FTC401", NotYet: "FTC402", Never: "FTC403"}


class Backend(Protocol):
    """A target's module."""

    TITLE: str
    """The tool's name as its authors write it."""
    VERSION: str
    """The tested version, as `package==version`."""
    TABLE: Table

    def losses(self, plan: Plan) -> tuple[Finding, ...]:
        """What of this plan is lost although each leaf alone can be said: combinations."""
        ...

    def largest_micro(self, plan: Plan) -> int | None:
        """The largest micro batch that the target can do, None where it has no limit of its own."""
        ...

    def said(self, plan: Plan, release: Release | None = None) -> Spoken:
        """What is written, key by key, in the words of that version of the tool (None: the tested one)."""
        ...

    def emit(
        self, plan: Plan, footprint: Footprint | None, lost: tuple[Finding, ...], release: Release | None = None
    ) -> Artifact:
        """The files and the command of this plan, for that version of the tool (None: the tested one). `lost` is
        written into the header of the config or script."""
        ...


class Applied(Struct, frozen=True):
    """`keys`: the target's own words and values, in the plan's order. `findings`: what it cannot say."""

    keys: dict[str, object]
    findings: tuple[Finding, ...]


def apply(table: Table, plan: Plan) -> Applied:
    """Answer every leaf of the plan from the table. A leaf without an answer is a `KeyError`: tables are total."""
    keys: dict[str, object] = {}
    said: dict[str, tuple[object, Refusal]] = {}
    for path, value in leaves(plan).items():
        answer = table[pattern(path)]
        refusal = refused(answer, value)
        if refusal:
            said[path] = value, refusal
        elif isinstance(answer, Key) and value is not None:
            keys[answer.key] = answer.via(value)
    return Applied(keys, tuple(finding(path, *item) for path, item in said.items() if not _goes_with(path, said)))


def _goes_with(path: str, said: Mapping[str, tuple[object, Refusal]]) -> bool:
    """Whether it is said already: the preferences of a refused objective, the leaves of a method that is not there."""
    if path.startswith("training.preference"):
        return "training.objective" in said
    kind = said.get("method.kind")
    return (
        kind is not None and path.startswith("method.") and path != "method.kind" and said[path][1].why == kind[1].why
    )


def pattern(path: str) -> str:
    """The path as tables write it, list indices left out."""
    return re.sub(r"\[\d+\]", "[]", path)


def refused(answer: Answer, value: object) -> Refusal | None:
    """Why this value is lost; None where it is not."""
    if isinstance(answer, Key | Folded):
        return next((why for key, why in answer.refused.items() if _equal(key, value)), None)
    if isinstance(answer, Ours):
        return None
    return None if any(_equal(item, value) for item in answer.neutral) else answer


ELSEWHERE: Final = "FTC414"
"""The code of raw keys that are for another target."""
CANNOT: Final = "FTC406"
"""The code of what the tested version can and the one that is asked for cannot."""


def finding(path: str, value: object, refusal: Refusal) -> Finding:
    """A refusal, at the leaf's line."""
    if path.startswith("targets."):
        hint = "--drop-raw builds without them, and says so in the artifact"
        return Finding(ELSEWHERE, path, f"{path} has {refusal.why}", hint, at="key")
    leaf = path.rsplit(".", 1)[-1]
    return Finding(CODES[type(refusal)], path, f"{leaf} cannot be {spelled(value)}: {refusal.why}")


def spelled(value: object) -> str:
    """A value as a recipe spells it, lists and sections on one line."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(spelled, cast(Sequence[object], value)))}]"
    if isinstance(value, dict):
        items = cast(dict[str, object], value).items()
        return f"{{{', '.join(f'{name}: {spelled(item)}' for name, item in items)}}}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _equal(left: object, right: object) -> bool:
    """Equality that tells True from 1."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)
