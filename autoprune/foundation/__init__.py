"""Ground under every other room: files, schemas, options, progress, tables, statistics."""
