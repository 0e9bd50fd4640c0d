"""Where the curve of the learning rate is looked at, as shares of the run."""

from __future__ import annotations

POINTS = (0.0, 0.001, 0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999, 1.0)
