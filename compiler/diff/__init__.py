"""Two runs beside each other: what each will really do."""
