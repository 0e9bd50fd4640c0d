"""One recipe with several values of some leaves: every combination of them is a point, planned, built and run."""
