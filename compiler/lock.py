"""What `ftc.lock.json` says of an artifact: from which recipe it came, by what, and the plan it carries out."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from backends import load
from compiler.build import Compiled
from compiler.launching.findings import ANEW
from compiler.report.machine import FORMAT_VERSION, as_data
from schemas.artifact import Artifact, Target
from schemas.plan import NOT_LEAVES, Plan
from schemas.version import VERSION


def lock(compiled: Compiled, artifact: Artifact, text: str, sets: tuple[str, ...]) -> dict[str, object]:
    """All but the hashes of the files, which the writer adds. Nothing of time, user or machine."""
    return {
        "format_version": FORMAT_VERSION,
        "ftc": VERSION,
        "target": artifact.target,
        "tool": tool(artifact.target, artifact.version),
        "recipe": {"file": Path(compiled.file).name, "sha256": sha256(text.encode()).hexdigest(), "set": list(sets)},
        "lost": [item.message for item in compiled.diagnostics if item.code.startswith("FTC4") and item.code != ANEW],
        "verdict": compiled.footprint.verdict if compiled.footprint else None,
        "command": list(artifact.command),
        **({"launcher": artifact.launcher, "moved": artifact.moved} if artifact.launcher else {}),
        "plan": plan_data(compiled.plan) if compiled.plan else None,
    }


def tool(target: Target, version: str | None) -> str:
    """The tool as `package==version`; None: in the tested version."""
    tested = load(target).VERSION
    return f"{tested.partition('==')[0]}=={version}" if version else tested


def plan_data(plan: Plan) -> dict[str, object]:
    """Every leaf, as the recipe nests them."""
    return {name: as_data(getattr(plan, name)) for name in plan.__struct_fields__ if name not in NOT_LEAVES}
