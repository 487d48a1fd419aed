"""Costs of a plan and budgets on them: MACs, parameters, bytes, energy, latency."""
