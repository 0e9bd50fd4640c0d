"""How much memory a run needs: a closed form over the plan, the model's shapes and facts about each stack."""

from __future__ import annotations

from compiler.memory.weighing import weigh

__all__ = ["weigh"]
