"""How long a run takes and what it costs: tokens of its data, over a speed, times a price, each with an interval."""
