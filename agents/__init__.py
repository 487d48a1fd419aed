"""Searchers, with and without learning, behind one protocol and one count of evaluations."""
