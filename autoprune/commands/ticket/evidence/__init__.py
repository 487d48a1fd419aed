"""Evidence from trainings: figures by level, movement of weights, error barriers, verdicts."""
