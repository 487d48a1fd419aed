"""A pruning run from inputs to result: train, rank, search, choose, fine-tune, measure."""
