"""Run directories: the lock, the journal, artifacts with checksums, TensorBoard."""
