"""Studies of ``autoprune ticket``: each asks a question and lists the trainings that answer it."""
