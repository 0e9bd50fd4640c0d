"""From a recipe to the artifact of a target: read, check, resolve, weigh, emit, write, run."""

__version__ = "0.1.0"
