"""Searchers, learning and not, behind one protocol and one count of evaluations."""
