"""Callbacks that prune inside other libraries' training; each is a module of its own."""
