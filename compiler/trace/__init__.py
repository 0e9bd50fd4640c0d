"""The real training step on fake tensors: every allocation recorded, no weights, no GPU. Loads torch."""  # noqa: A005 - always imported as compiler.trace

from __future__ import annotations
