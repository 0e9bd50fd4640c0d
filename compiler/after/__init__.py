"""What can be done with a run that has ended: merge it, ask it, evaluate it. Loads torch, so import it in functions."""
