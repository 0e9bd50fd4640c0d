"""From a recipe to an artifact: read, check, resolve, weigh, emit."""
