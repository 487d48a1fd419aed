"""Commands, one folder each: configuration, run, result, view. None imports another."""
