"""Training: configuration, recipes, the loop, checkpoints, training inside a run."""
