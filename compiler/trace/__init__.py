"""The real training step on fake tensors: every allocation recorded, no weights, no GPU. Loads torch."""

from __future__ import annotations
