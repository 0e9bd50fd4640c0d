"""What raw keys are checked by beside the list of known keys: what ftc says itself, what is refused or harmless."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Final, Literal, get_args

from msgspec import Struct

from schemas.plan import Plan
from schemas.support import Folded, Key, Table

Tool = Literal["axolotl", "llamafactory"]
"""The targets that take raw keys: those whose artifact is a config."""
TOOLS: Final[tuple[Tool, ...]] = get_args(Tool)


class RawKeys(Struct, frozen=True):
    """`owners`: key → the leaf that says it. `fixed`: keys of no leaf that ftc sets by itself → why. `refused`: key →
    why no recipe may set it. `harmless`: keys that change no memory of a card. `plugins`: modules of plugins that are
    refused → why; None where the tool has no plugins."""

    owners: Mapping[str, str]
    fixed: Mapping[str, str]
    refused: Mapping[str, str]
    harmless: frozenset[str]
    plugins: Mapping[str, str] | None = None


SECRET: Final = "secrets do not belong in a recipe: tools read them from the environment"  # noqa: S105 - a sentence
UPLOADS: Final = "it sends results away from the output folder"
PLACES: Final = "ftc decides where files lie, so that runs stay apart"
RUNS_CODE: Final = "it runs code that the recipe does not show"

PATTERNS: Final = (
    (re.compile(r"(^|_)(token|api_?key|access_key|secret|password|credentials|webhook_url)$", re.IGNORECASE), SECRET),
    (re.compile(r"^(worker_extension_cls|serve_module)$"), RUNS_CODE),
    (re.compile(r"^trigger_file_path$"), PLACES),
    (re.compile(r"_server_base_url$"), UPLOADS),
    (re.compile(r"^(hub_|push_to_hub|push_dataset_to_hub|export_hub_)"), UPLOADS),
    (re.compile(r"^trust_remote_code$|^external_plugins$"), RUNS_CODE),
)
"""Names that are refused at any depth, whatever the tool's list says of them."""


def raw_keys(tool: Tool) -> RawKeys:
    """What this tool's raw keys are checked by."""
    return import_module(f"backends.{tool}.raw_keys").RAW_KEYS


def raw_of(tool: str, plan: Plan) -> dict[str, object]:
    """The raw keys for this target, as the user wrote them."""
    return {"axolotl": plan.targets.axolotl, "llamafactory": plan.targets.llamafactory}.get(tool, {})


def refusal(tool: Tool, name: str) -> str | None:
    """Why a key of this name is refused; None where it is not. `name`: without the sections that it stands in."""
    by_name = raw_keys(tool).refused.get(name)
    return by_name or next((why for pattern, why in PATTERNS if pattern.search(name)), None)


def raw_changes_memory(target: str, plan: Plan) -> bool:
    """Whether raw keys for this target may change what a card needs: all but a few that are known not to."""
    return target in TOOLS and bool(raw_of(target, plan).keys() - raw_keys(target).harmless)


def owners(table: Table, more: Mapping[str, str]) -> dict[str, str]:
    """Key → leaf, from the table's answers and what they leave unsaid. A list of sources is named as a whole."""
    found: dict[str, str] = {}
    for path, answer in table.items():
        if isinstance(answer, Key | Folded):
            for word in (answer.key if isinstance(answer, Key) else answer.into).split(" or "):
                found.setdefault(word, path.partition("[]")[0])
    return {**found, **more}
