"""Rankings: the order in which a group's units go, the error left after each, and the repair."""
