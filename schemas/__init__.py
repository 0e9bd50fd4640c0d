"""What things are: the recipe, the plan, the answers of a target, diagnostics, the catalogs. No I/O, no torch."""
