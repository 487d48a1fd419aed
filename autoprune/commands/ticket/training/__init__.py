"""Training of tickets and their controls: experiment, recipe, and what is observed on the way."""
