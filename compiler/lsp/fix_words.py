"""A fix of the plan in one line: what is set, what it comes to, what it costs."""

from __future__ import annotations

from compiler.memory.fixes import Fix
from compiler.report.memory_text import VERDICTS, size
from compiler.yaml_edit.spelling import spell


def fix_title(fix: Fix) -> str:
    """`training.micro_batch_size: 1 (11.9 GiB, fits; the same steps, …)`."""
    said = ", ".join(f"{path}: {spell(value)}" for path, value in fix.set.items())
    return f"{said} (about {size(fix.footprint.device)}, {VERDICTS[fix.footprint.verdict][0]}; {fix.costs})"
