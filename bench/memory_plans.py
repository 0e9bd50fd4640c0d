"""The tests' builder of plans, for the bench: one place that knows where it is, and what its functions give."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from schemas.facts import Gpu, ModelFacts
from schemas.method_plan import FullPlan, LoraPlan, QuantizationPlan
from schemas.plan import Plan

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
plans: Any = import_module("plans")

CPU: Gpu = plans.CPU
NF4: QuantizationPlan = plans.NF4
a_plan: Callable[..., Plan] = plans.a_plan
card: Callable[..., Gpu] = plans.card
facts: Callable[[str], ModelFacts] = plans.facts
full: Callable[..., FullPlan] = plans.full
lora: Callable[..., LoraPlan] = plans.lora
