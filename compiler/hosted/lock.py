"""What `ftc.lock.json` says of a job."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from backends.base import ELSEWHERE
from backends.hosted import load
from compiler.build import Compiled
from compiler.hosted.artifact import HostedArtifact
from compiler.refusals import LOSSY
from compiler.report.machine import FORMAT_VERSION, as_data
from schemas.hosted import HostedPlan
from schemas.version import VERSION


def hosted_lock(
    compiled: Compiled, plan: HostedPlan, artifact: HostedArtifact, text: str, sets: tuple[str, ...]
) -> dict[str, object]:
    """All but the hashes of the files, which the writer adds. Nothing of time, user or machine."""
    return {
        "format_version": FORMAT_VERSION,
        "ftc": VERSION,
        "target": plan.provider,
        "tool": load(plan.provider).CLIENT,
        "recipe": {"file": Path(compiled.file).name, "sha256": sha256(text.encode()).hexdigest(), "set": list(sets)},
        "lost": [item.message for item in compiled.diagnostics if item.code in (*LOSSY, ELSEWHERE)],
        "verdict": None,
        "command": list(artifact.command),
        "plan": {path: as_data(value) for path, value in plan.leaves.items() if path != "$schema"},
    }
