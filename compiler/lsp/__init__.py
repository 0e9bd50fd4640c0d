"""The language server: what a JSON Schema cannot say of a recipe, while it is being written."""
