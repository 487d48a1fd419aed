"""Foundation of all other packages: files, schemas, options, progress, tables, statistics."""
