"""The tests' builder of plans, for the bench: one place that knows where it is."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from plans import CPU, NF4, a_plan, card, facts, full, lora

__all__ = ["CPU", "NF4", "a_plan", "card", "facts", "full", "lora"]
