"""Which method for a model and a card, and which base for a use: recipes compiled, then put in order."""
