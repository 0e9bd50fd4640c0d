"""How fast a plan trains: seconds of an optimizer step by what they go to, for every stack and card, without torch."""

from __future__ import annotations

from compiler.throughput.speed import Interval, Speed, pace, pace_of, speed
from compiler.throughput.words import speed_words

__all__ = ["Interval", "Speed", "pace", "pace_of", "speed", "speed_words"]
