"""A first recipe: written from a few answers, and only if it fits."""
