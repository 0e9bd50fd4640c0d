"""What a checkpoint's folder says of itself: sizes from its config.json, its chat template. No weights, no torch."""
