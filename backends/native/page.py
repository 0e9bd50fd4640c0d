"""`report.html`: a run as one page, which asks for nothing and runs nothing; all that is put in is text.

Copied as it stands into every native artifact, so it imports nothing of the compiler and no torch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from backends.native.amounts import duration, many, size
from backends.native.page_words import (
    COUNTS,
    banner,
    counted_anywhere,
    figures,
    findings,
    memory,
    same,
    summary,
)
from backends.native.pictures import pictures

Section = dict[str, Any]
FILES = {
    "adapter": "what was trained; PEFT's format, where that has the method",
    "model": "the trained model",
    "merged": "base and adapter as one model",
    "SERVING.md": "how it is served by vLLM and Ollama",
    "Modelfile": "what Ollama makes it of",
    "summary.json": "the figures of this page",
    "metrics.jsonl": "the curves of this page, line by line",
    "samples.json": "the answers of this page",
    "starts.json": "when it was started, and how that ended",
    "checkpoints": "what a stopped run goes on from",
}
"""What lies beside the page."""


@dataclass(frozen=True, slots=True)
class Told:
    """All that the page is made of. `how`: running, finished, stopped or failed; `why`: in whose words.

    `history`: the lines of metrics.jsonl. `memory`: live tensors by phase, `measured`: peaks, both GiB. `summary`:
    empty until the run is finished. `lock`: what the compiler says of the recipe; empty where it is not at hand.
    """

    plan: dict[str, Any]
    how: str
    why: str
    step: int
    steps: int
    history: list[dict[str, Any]]
    about: dict[str, Any]
    memory: dict[str, float]
    measured: dict[str, float]
    summary: dict[str, Any]
    samples: dict[str, Any] | None
    starts: list[dict[str, Any]]
    recipe: str | None
    lock: dict[str, Any]
    versions: dict[str, str]
    written: str
    seconds: float
    speed: float
    device: str


def environment(folders: Sequence[Path], shown: Callable[[object], object]) -> Environment:
    """Templates that escape all they are given. `shown`: what is made of that first."""
    return Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def page(told: Told) -> str:
    """The run as a page."""
    templates = environment((Path(__file__).parent,), _shown)
    filters: Any = templates.filters  # typed more narrowly than what jinja takes
    filters.update(chips=_chips, text=text, day=_day, size=size, duration=duration, many=many, same=same)
    out = Path(told.plan["output"]["dir"])
    return templates.get_template("report.html.jinja").render(
        told=told,
        plan=told.plan,
        summary=summary(told.plan, told.about["trained_parameters"]),
        banner=banner(told),
        figures=figures(told),
        memory=memory(told),
        findings=findings(told.about["findings"]),
        counts={key: name for key, name in COUNTS.items() if counted_anywhere(told.about["rows"], key)},
        pictures=pictures(told),
        settings=_settings(told.plan),
        files={name: what for name, what in FILES.items() if (out / name).exists()},
    )


def _settings(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every leaf, by section: those at the top under no name."""
    found: dict[str, dict[str, Any]] = {"": {}}
    for name, value in plan.items():
        if name == "derived":
            continue
        if isinstance(value, dict):
            found[name] = dict(_leaves(cast("Section", value)))
        else:
            found[""][name] = value
    return found


def _leaves(section: Section, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, dict) and value:
            yield from _leaves(cast("Section", value), f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def text(value: object) -> str:
    """A value of a setting as a recipe has it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(text, cast("list[object]", value))) or "–"
    if isinstance(value, dict):
        said = cast("Section", value).items()
        return ", ".join(f"{name}: {text(each)}" for name, each in said if each is not None)
    return f"{value:,}" if isinstance(value, int) and abs(value) > 9999 else str(value)


SPECIAL = re.compile(r"(<\|[^<>|\s]{1,60}\|>|</?s>|<(?:start|end)_of_turn>|\[/?INST\]|<(?:bos|eos|pad)>)")


def _chips(said: str) -> Markup:
    """Text of a model: special tokens stand out from words."""
    parts = SPECIAL.split(said)
    return Markup("").join(
        Markup("<b>{}</b>").format(_shown(part)) if at % 2 else escape(_shown(part))
        for at, part in enumerate(parts)
        if part
    )


def _day(stamp: str | None) -> str:
    """A moment as it is read."""
    return datetime.fromisoformat(stamp).strftime("%Y-%m-%d %H:%M:%S UTC") if stamp else "–"


def _shown(value: object) -> object:
    """What is put in: text without characters that steer; markup as it is."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else "".join(map(_letter, value))


def _letter(letter: str) -> str:
    return letter if letter.isprintable() or letter in "\n\t\u00a0\u3000" else "\N{MIDDLE DOT}"
