"""A job as files: the rows, the request, the start, and what it will cost."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from shlex import join
from typing import Final

from msgspec import Struct

import backends.hosted
from backends.base import ELSEWHERE
from backends.hosted import load
from backends.hosted.base import JOB, TRAIN, VALIDATION, HostedBackend, Job
from backends.native.files import literal
from compiler.hosted.cost import Cost, cost, money, steps, token_words
from compiler.hosted.rows import Survey, gone
from compiler.refusals import LOSSY
from compiler.report.machine import as_data
from schemas.diagnostic import Diagnostic
from schemas.hosted import HostedPlan
from schemas.version import VERSION

START: Final = "start.py"
ABOUT: Final = "about.json"


class HostedArtifact(Struct, frozen=True):
    """`files`: path inside the folder → text; `body` names the one that `--stdout` prints. `command` costs money."""

    body: str
    files: dict[str, str]
    command: tuple[str, ...]
    preparation: None = None
    copies: dict[str, str] = {}


def hosted_artifact(plan: HostedPlan, found: Survey, lost: tuple[Diagnostic, ...]) -> HostedArtifact:
    """Everything that the folder holds, but for the lock."""
    backend = load(plan.provider)
    rows = {TRAIN: found.train.text, **({VALIDATION: found.validation.text} if found.validation else {})}
    mark = _mark(plan, backend, rows)
    told = backend.job(plan, mark, validated=found.validation is not None)
    files = {
        **rows,
        JOB: _json(told.body),
        ABOUT: by_name(plan, _json(_about(plan, backend, found, mark, rows))),
        START: (Path(backends.hosted.__file__).parent / backend.SCRIPT).read_text(encoding="utf-8"),
        "requirements.txt": backend.REQUIREMENTS,
        "README.md": _readme(plan, backend, found, told, lost),
    }
    return HostedArtifact(JOB, files, backend.COMMAND)


def by_name(plan: HostedPlan, text: str) -> str:
    """A text, or JSON, that names files of rows without this machine's folders."""
    own = plan.validation if isinstance(plan.validation, tuple) else ()
    for path in {Path(one.path) for one in (*plan.train, *own)}:
        base, rest = literal(path)
        folder = f"{base if rest else base.parent}/"
        text = text.replace(folder, "").replace(json.dumps(folder, ensure_ascii=False)[1:-1], "")
    return text


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _mark(plan: HostedPlan, backend: HostedBackend, rows: dict[str, str]) -> str:
    """Eight hexadecimal digits that stand for the rows and the request: of the same job they are the same anywhere."""
    body = backend.job(plan, "", validated=VALIDATION in rows).body
    return sha256(json.dumps([body, rows], sort_keys=True).encode()).hexdigest()[:8]


def _about(
    plan: HostedPlan, backend: HostedBackend, found: Survey, mark: str, rows: dict[str, str]
) -> dict[str, object]:
    """What is known of the job; the start reads the region from here."""
    return {
        "ftc": VERSION,
        "provider": plan.provider,
        "client": backend.CLIENT,
        "model": plan.model,
        "region": plan.about.region,
        "ends": plan.about.ends,
        "mark": mark,
        "sha256": {name: sha256(text.encode()).hexdigest() for name, text in rows.items()},
        **survey_data(plan, found),
    }


def survey_data(plan: HostedPlan, found: Survey) -> dict[str, object]:
    """Rows, tokens and price, for programs."""
    paid: Cost = cost(plan, found)
    return {
        "rows": {
            "train": len(found.train.lines),
            "validation": len(found.validation.lines) if found.validation else 0,
            "left_out": found.met.told(),
            "may_be_too_long": found.unsure,
        },
        "steps": steps(plan, found),
        "tokens": {
            "train": as_data(found.train.tokens),
            "longest_row": as_data(found.train.longest),
            "trained": as_data(paid.tokens),
            "basis": found.basis,
        },
        "cost": {"usd": paid.usd, "low_usd": paid.low, "high_usd": paid.high, "basis": paid.basis},
    }


def _readme(plan: HostedPlan, backend: HostedBackend, found: Survey, told: Job, lost: tuple[Diagnostic, ...]) -> str:
    paid = cost(plan, found)
    held = f", {len(found.validation.lines):,} to validate with" if found.validation else ""
    left = f"{by_name(plan, gone(found.met))}\n" if found.met.met else ""
    needs = " and ".join(f"`{name}`" for name in told.environment)
    dropped = [item.message for item in lost if item.level == "warning" and item.code in (*LOSSY, ELSEWHERE)]
    said = "".join(f"- {' '.join(item.split())}\n" for item in dropped)
    return (
        f"# {plan.recipe.name}: {plan.about.title}, trained by {plan.title}\n\n"
        f"Written by ftc for {backend.CLIENT}. Starting it **costs money**: {money(paid)}\n({paid.basis}).\n\n"
        f"```\npip install -r requirements.txt\n{join(backend.COMMAND)}\n```\n\n"
        f"It needs {needs} in the environment. It sends the rows, starts the job of `{JOB}` and watches it; "
        "`job.state.json` keeps what was sent and started, so that started again it goes on with that job "
        "and starts none twice. `--anew` starts another one, `--leave` does not wait for the end.\n\n"
        f"{len(found.train.lines):,} rows to train on{held}; {token_words(paid.tokens)} in all epochs "
        f"({found.basis}).\n{left}"
        + (f"\n{plan.about.ends} ({plan.about.sources[0]}).\n" if plan.about.ends else "")
        + (f"\nTrained in {plan.about.region}; `--region` names another one.\n" if plan.about.region else "")
        + "".join(f"\n{remark}\n" for remark in told.remarks)
        + (f"\nNOT EQUIVALENT to the recipe. Lost by --allow-lossy or --drop-raw:\n\n{said}" if said else "")
    )
